import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  realpathSync,
  type Stats,
} from 'node:fs';
import { resolve } from 'node:path';
import { BdevError, Errno } from '@spdk-ts/bdev';
import { native } from '@spdk-ts/native';
import { tryDirect } from './node-direct.ts';

export interface OpenedFile {
  readonly fd: number;
  /** Absolute, as given. */
  readonly filename: string;
  /** What is the same however the file was named. */
  readonly realpath: string;
  readonly bytes: number;
  readonly block_size: number;
  readonly blockDevice: boolean;
  /** Ranges can be given back: files have holes (with the addon), devices discard. */
  readonly discards: boolean;
  /** Opened with O_DIRECT; if that was asked for and is not so, `notDirect` says why. */
  readonly direct: boolean;
  readonly notDirect: string;
  /** Alignment that I/O's memory needs, bytes: a power of two. */
  readonly alignment: number;
}

export interface OpenFileOptions {
  readonly filename: string;
  /** Bytes; without it, that of the block device. A regular file needs it. */
  readonly block_size?: number | undefined;
  /** Bytes that the file is to have at least; it is created if need be. */
  readonly size?: number | undefined;
  readonly readonly: boolean;
  /** Past the page cache, where the file system can. */
  readonly direct?: boolean;
}

const codes: Record<string, number> = {
  ENOENT: Errno.ENOENT,
  EACCES: Errno.EACCES,
  EPERM: Errno.EPERM,
  EISDIR: Errno.EISDIR,
  ENOSPC: Errno.ENOSPC,
  EROFS: Errno.EROFS,
  EFBIG: Errno.EFBIG,
  EINVAL: Errno.EINVAL,
};

/** A system call's error with the file's name and what to do. */
export function fileError(error: unknown, filename: string, what: string, advice = ''): BdevError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new BdevError(
    codes[code ?? ''] ?? Errno.EIO,
    `filename "${filename}" cannot be ${what} (${message})${advice}`,
  );
}

function openIt({ filename, size, readonly }: OpenFileOptions): number {
  const create = size !== undefined && !readonly ? constants.O_CREAT : 0;
  try {
    return openSync(filename, (readonly ? constants.O_RDONLY : constants.O_RDWR) | create, 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const advice: Record<string, string> = {
      ENOENT: create
        ? '; create its folder first'
        : '; give size to create it, or the name of a file that exists',
      EACCES: '; change its permissions, or give readonly true if reading is enough',
      EROFS: '; give readonly true',
    };
    throw fileError(error, filename, 'opened', advice[code ?? '']);
  }
}

/** A number that the kernel tells of a block device in sysfs: node:fs cannot ask the device. */
function deviceNumber(filename: string, { rdev }: Stats, name: string): number {
  const major = Math.floor(rdev / 256) & 0xfff;
  const minor = (rdev & 0xff) | ((Math.floor(rdev / 0x100000) & 0xfff) << 8);
  const folder = `/sys/dev/block/${major}:${minor}`;
  try {
    // A partition has the queue of its disk.
    const queue = name.startsWith('queue/') ? `${folder}/../${name}` : `${folder}/${name}`;
    try {
      return Number(readFileSync(`${folder}/${name}`, 'utf8'));
    } catch {
      return Number(readFileSync(queue, 'utf8'));
    }
  } catch (error) {
    throw fileError(error, filename, 'measured');
  }
}

/** Bytes that a file or block device has now. */
export function measureFile(fd: number, filename: string): number {
  const stats = fstatSync(fd);
  // Sysfs counts in sectors of 512 bytes.
  return stats.isBlockDevice() ? deviceNumber(filename, stats, 'size') * 512 : stats.size;
}

function blockSize(filename: string, stats: Stats, { block_size, direct }: OpenFileOptions): number {
  if (!stats.isBlockDevice()) {
    if (block_size !== undefined) return block_size;
    throw new BdevError(
      Errno.EINVAL,
      `block_size was not given, and filename "${filename}" is a regular file, which has none of its own; ` +
        'give block_size, such as 512',
    );
  }
  const of_device = deviceNumber(filename, stats, 'queue/logical_block_size');
  if (block_size !== undefined && block_size < of_device && direct)
    throw new BdevError(
      Errno.EINVAL,
      `block_size is ${block_size}, smaller than the ${of_device} bytes of ${filename}; leave it out`,
    );
  return block_size ?? of_device;
}

function checkKind(filename: string, stats: Stats): void {
  if (stats.isFile() || stats.isBlockDevice()) return;
  throw new BdevError(
    stats.isDirectory() ? Errno.EISDIR : Errno.EINVAL,
    `filename "${filename}" is neither a regular file nor a block device; give the name of one`,
  );
}

function checkSize(filename: string, bytes: number, block_size: number, { size }: OpenFileOptions): void {
  if (size !== undefined && size > bytes)
    throw new BdevError(
      Errno.EINVAL,
      `size is ${size}, but the block device ${filename} has ${bytes} bytes; leave size out`,
    );
  if (bytes === 0)
    throw new BdevError(
      Errno.EINVAL,
      `filename "${filename}" has no bytes; give size, a multiple of block_size (${block_size} bytes)`,
    );
  if (bytes % block_size !== 0)
    throw new BdevError(
      Errno.EINVAL,
      `filename "${filename}" has ${bytes} bytes, not a multiple of block_size ${block_size}; ` +
        `give another block_size, or a size of ${Math.ceil(bytes / block_size) * block_size} to extend it`,
    );
}

/** Opens, creates, extends and locks a file as asked. Throws BdevError with what to change. */
export function openFile(options: OpenFileOptions): OpenedFile {
  const { block_size: wanted, size, readonly } = options;
  const filename = resolve(options.filename);
  if (size !== undefined && wanted !== undefined && size % wanted !== 0)
    throw new BdevError(
      Errno.EINVAL,
      `size is ${size}, not a multiple of block_size ${wanted}; give ${Math.ceil(size / wanted) * wanted}`,
    );
  const fd = openIt({ ...options, filename });
  try {
    const stats = fstatSync(fd);
    checkKind(filename, stats);
    const blockDevice = stats.isBlockDevice();
    if (native !== null && !readonly && !native.lockFile(fd))
      throw new BdevError(
        Errno.EBUSY,
        `filename "${filename}" is in use by another process or another bdev; two writers would destroy its data`,
      );
    const block_size = blockSize(filename, stats, options);
    const bytes = blockDevice ? measureFile(fd, filename) : fileBytes(fd, filename, stats.size, options);
    checkSize(filename, bytes, block_size, options);
    const { direct, alignment, why } = options.direct
      ? tryDirect(fd, block_size)
      : { direct: false, alignment: 1, why: '' };
    const has_holes = !blockDevice || deviceNumber(filename, stats, 'queue/discard_max_bytes') > 0;
    return {
      ...{ fd, filename, realpath: realpathSync(filename), bytes, block_size, blockDevice },
      ...{ discards: has_holes && native !== null, direct, notDirect: why, alignment },
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The bytes that a regular file has once it has been extended to `size`. */
function fileBytes(fd: number, filename: string, now: number, options: OpenFileOptions): number {
  const { size } = options;
  if (size === undefined || size <= now) return now;
  if (options.readonly)
    throw new BdevError(
      Errno.EINVAL,
      `size is ${size}, but ${filename} has ${now} bytes and readonly is true; leave one of them out`,
    );
  setFileBytes(fd, filename, size);
  return size;
}

/** Extends (with a hole) or cuts a file. */
export function setFileBytes(fd: number, filename: string, bytes: number): void {
  try {
    ftruncateSync(fd, bytes);
  } catch (error) {
    throw fileError(error, filename, `given ${bytes} bytes`, '; give a smaller size');
  }
}

/** Closes a file that {@link openFile} opened. Rings may hold the file a little longer, but not its lock. */
export function closeFile(fd: number, readonly: boolean): void {
  if (!readonly) native?.unlockFile(fd);
  closeSync(fd);
}
