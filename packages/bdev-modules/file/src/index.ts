import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  checkNumber,
  Errno,
} from '@spdk-ts/bdev';
import {
  closeFileBdev,
  createFileBdev,
  type FileContext,
  findFileBdev,
  setFileBytes,
} from '@spdk-ts/file-io';
import { methods } from './schema.ts';

const MODULE = 'file';
const MIB = 1024 * 1024;
const DEFAULT_BLOCK_BYTES = 512;

interface CreateParams {
  readonly filename: string;
  readonly name: string;
  readonly block_size?: number;
  readonly size?: number;
  readonly readonly?: boolean;
  readonly uuid?: string;
}

function create(bdevs: BdevRegistry, params: CreateParams): Promise<BdevDescription> {
  const { name, filename, readonly = false, block_size = DEFAULT_BLOCK_BYTES, size, uuid } = params;
  return createFileBdev(bdevs, {
    ...{ module: MODULE, product_name: 'File disk', name, filename, block_size, size, readonly, uuid },
    ...{ direct: false, ranges: true },
  });
}

async function resize(bdevs: BdevRegistry, name: string, new_size_mib: number): Promise<void> {
  const description = findFileBdev(bdevs, MODULE, name);
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
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  capabilities: () => [{ name: 'bdev_file', unavailable: '' }],
  setup({ bdevs, rpc }: BdevPluginContext) {
    bdevs.registerModule({
      name: MODULE,
      destroy: closeFileBdev,
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
