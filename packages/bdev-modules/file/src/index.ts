import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  checkBlockSize,
  checkNumber,
  Errno,
  IoType,
  ioTypeMask,
  uuidOf,
} from '@spdk-ts/bdev';
import { native } from '@spdk-ts/native';
import type { FileContext } from './context.ts';
import { closeFile, openFile, setFileBytes } from './node-open-file.ts';

const MODULE = 'file';
const MIB = 1024 * 1024;
const DEFAULT_BLOCK_BYTES = 512;
const READ_TYPES = ioTypeMask(IoType.READ, IoType.FLUSH, IoType.RESET, IoType.ABORT);
const WRITE_TYPES = ioTypeMask(IoType.WRITE, IoType.WRITE_ZEROES);
const HOLES = ioTypeMask(IoType.UNMAP);

interface CreateParams {
  readonly filename: string;
  readonly name: string;
  readonly block_size?: number;
  readonly size?: number;
  readonly readonly?: boolean;
  readonly uuid?: string;
}

async function create(bdevs: BdevRegistry, params: CreateParams): Promise<BdevDescription> {
  const { name, readonly = false, block_size = DEFAULT_BLOCK_BYTES } = params;
  checkBlockSize(block_size);
  if (params.size !== undefined) checkNumber('size', params.size, 1, Number.MAX_SAFE_INTEGER);
  if (bdevs.get(name) !== undefined)
    throw new BdevError(Errno.EEXIST, `there is a bdev called "${name}" already; choose another name`);
  const file = openFile({ filename: params.filename, block_size, size: params.size, readonly });
  const context: FileContext = {
    filename: file.filename,
    fd: file.fd,
    readonly,
    blockDevice: file.blockDevice,
    flushFailed: new SharedArrayBuffer(4),
    noHoles: new SharedArrayBuffer(4),
  };
  try {
    return await bdevs.register(MODULE, {
      // The same file keeps its identity over restarts: a host's namespace is found again.
      ...{ name, uuid: params.uuid ?? uuidOf(`file:${file.realpath}`), block_size, context },
      num_blocks: file.bytes / block_size,
      product_name: 'File disk',
      io_types: READ_TYPES | (readonly ? 0 : WRITE_TYPES) | (readonly || native === null ? 0 : HOLES),
    });
  } catch (error) {
    closeFile(file.fd);
    throw error;
  }
}

async function resize(bdevs: BdevRegistry, name: string, new_size_mib: number): Promise<void> {
  const description = bdevs.get(name);
  if (description?.module !== MODULE)
    throw new BdevError(Errno.ENODEV, `no file bdev has the name "${name}"`);
  checkNumber('new_size', new_size_mib, 1, Math.floor(Number.MAX_SAFE_INTEGER / MIB));
  const { fd, filename, blockDevice, readonly } = description.context as FileContext;
  if (blockDevice)
    throw new BdevError(
      Errno.ENOTSUP,
      `${filename} of bdev ${name} is a block device: it has the size it has`,
    );
  if (readonly) throw new BdevError(Errno.EPERM, `bdev ${name} is read-only: its file cannot be resized`);
  const bytes = new_size_mib * MIB;
  const grows = bytes > description.num_blocks * description.block_size;
  // The file has the blocks before anybody may use them, and loses them after nobody may.
  if (grows) setFileBytes(fd, filename, bytes);
  await bdevs.resize(name, bytes / description.block_size);
  if (!grows) setFileBytes(fd, filename, bytes);
}

function config(description: BdevDescription): { method: string; params: Record<string, unknown> }[] {
  const { filename, readonly, blockDevice } = description.context as FileContext;
  const params = {
    filename,
    name: description.name,
    block_size: description.block_size,
    ...(!blockDevice && !readonly && { size: description.num_blocks * description.block_size }),
    ...(readonly && { readonly }),
    uuid: description.uuid,
  };
  return [{ method: 'bdev_file_create', params }];
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    bdevs.registerModule({
      name: MODULE,
      destroy: (description) => closeFile((description.context as FileContext).fd),
      config,
      info(description) {
        const { filename, readonly, blockDevice } = description.context as FileContext;
        return { file: { filename, readonly, block_device: blockDevice } };
      },
    });
    rpc.register('bdev_file_create', async (params) => (await create(bdevs, params)).name);
    rpc.register('bdev_file_delete', async ({ name }) => {
      await bdevs.unregister(name, MODULE);
      return true;
    });
    rpc.register('bdev_file_resize', async ({ name, new_size }) => {
      await resize(bdevs, name, new_size);
      return true;
    });
  },
};
export default plugin;
