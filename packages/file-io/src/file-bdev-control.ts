import {
  type BdevDescription,
  BdevError,
  type BdevRegistry,
  checkBlockSize,
  checkNumber,
  Errno,
  IoType,
  ioTypeMask,
  uuidOf,
} from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import type { FileContext } from './context.ts';
import type { FileZones } from './kernel-zones.ts';
import { closeFile, measureFile, type OpenedFile, openFile } from './node-open-file.ts';
import { zonesOfFile } from './zoned-control.ts';

const READ_TYPES = ioTypeMask(IoType.READ, IoType.FLUSH, IoType.RESET, IoType.ABORT);
/** Of regular files; the addon asks the file system. */
const SEEK_TYPES = ioTypeMask(IoType.SEEK_DATA, IoType.SEEK_HOLE);
const WRITE_TYPES = ioTypeMask(IoType.WRITE);
const ZEROES = ioTypeMask(IoType.WRITE_ZEROES);
const HOLES = ioTypeMask(IoType.UNMAP);

/** A bdev on a file, as a module wants it. */
export interface FileBdevOptions {
  readonly module: 'aio' | 'file' | 'uring' | 'xnvme';
  readonly product_name: string;
  readonly name: string;
  readonly filename: string;
  readonly block_size?: number | undefined;
  /** The block size of a regular file, if none is given. */
  readonly regular_block_size?: number;
  readonly size?: number | undefined;
  readonly readonly: boolean;
  readonly direct: boolean;
  /** Direct I/O is not only preferred. */
  readonly needsDirect?: boolean;
  readonly uuid?: string | undefined;
  /** The module makes holes itself, and zeroes ranges; else the layer writes zeroes for it. */
  readonly ranges: boolean;
  /** It knows zones; else a zoned block device is refused. */
  readonly zoned?: boolean;
  /** What else the module's reactor half needs. */
  readonly more?: Readonly<Record<string, unknown>>;
}

function makeContext(file: OpenedFile, readonly: boolean, zones: FileZones | null): FileContext {
  const { filename, fd, blockDevice, direct } = file;
  return {
    ...{ filename, fd, readonly, blockDevice, direct, zones },
    flushFailed: new SharedArrayBuffer(4),
    noHoles: new SharedArrayBuffer(4),
    noZeroRange: new SharedArrayBuffer(4),
  };
}

/** A device's physical block, where it is more than a block of the bdev. */
function physicalBlock({ device, block_size }: OpenedFile): { physical_block_size?: number } {
  const bytes = device?.physical_block_size ?? 0;
  return bytes > block_size ? { physical_block_size: bytes } : {};
}

/**
 * Opens a file and registers a bdev on it. Throws BdevError with what to change, and then leaves nothing open. The
 * same file has the same UUID whatever module it is used through.
 */
export async function createFileBdev(
  bdevs: BdevRegistry,
  options: FileBdevOptions,
): Promise<BdevDescription> {
  const { module, product_name, name, readonly, ranges } = options;
  if (options.block_size !== undefined) checkBlockSize(options.block_size);
  if (options.size !== undefined) checkNumber('size', options.size, 1, Number.MAX_SAFE_INTEGER);
  if (bdevs.get(name) !== undefined)
    throw new BdevError(Errno.EEXIST, `there is a bdev called "${name}" already; choose another name`);
  const file = openFile(options);
  if (options.direct && !file.direct && !options.needsDirect)
    new Logger(`bdev_${module}`).notice(
      `bdev ${name}: ${file.filename} is used through the page cache: ${file.notDirect}`,
    );
  if (options.needsDirect && !file.direct) {
    closeFile(file.fd, readonly);
    throw new BdevError(
      Errno.ENOTSUP,
      `io_poll needs direct I/O, which ${file.filename} has not: ${file.notDirect}; leave io_poll out`,
    );
  }
  const written = readonly ? 0 : WRITE_TYPES | (ranges ? ZEROES : 0) | (ranges && file.discards ? HOLES : 0);
  const seeks = native !== null && !file.blockDevice ? SEEK_TYPES : 0;
  try {
    const zoned = zonesOfFile(file, options.zoned ?? false);
    return await bdevs.register(module, {
      // The same file keeps its identity over restarts: a host's namespace is found again.
      ...{ name, uuid: options.uuid ?? uuidOf(`file:${file.realpath}`), block_size: file.block_size },
      ...{ product_name, num_blocks: file.bytes / file.block_size, io_types: READ_TYPES | written | seeks },
      required_alignment: Math.log2(file.alignment),
      // Holes read as zeroes; what a block device makes of a discard is its own affair.
      unmap_zeroes: !file.blockDevice,
      ...physicalBlock(file),
      ...zoned?.spec,
      context: { ...makeContext(file, readonly, zoned?.zones ?? null), ...options.more },
    });
  } catch (error) {
    closeFile(file.fd, readonly);
    throw error;
  }
}

/** For modules: the bdev is gone. */
export function closeFileBdev({ context }: BdevDescription): void {
  const { fd, readonly } = context as FileContext;
  closeFile(fd, readonly);
}

/** The bdev of a module by name, or BdevError ENODEV. */
export function findFileBdev(bdevs: BdevRegistry, module: string, name: string): BdevDescription {
  const description = bdevs.get(name);
  if (description?.module === module) return description;
  throw new BdevError(Errno.ENODEV, `no ${module} bdev has the name "${name}"`);
}

/** Takes over the size that the file has now. Rejects with BdevError EBUSY if it shrank while the bdev is open. */
export async function rescanFileBdev(bdevs: BdevRegistry, module: string, name: string): Promise<void> {
  const { context, block_size, num_blocks } = findFileBdev(bdevs, module, name);
  const { fd, filename } = context as FileContext;
  const blocks = Math.floor(measureFile(fd, filename) / block_size);
  if (blocks === 0)
    throw new BdevError(
      Errno.EINVAL,
      `filename "${filename}" has less than one block of ${block_size} bytes now; extend it, or delete the bdev`,
    );
  if (blocks !== num_blocks) await bdevs.resize(name, blocks);
}
