import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { BdevError, Errno } from '@spdk-ts/bdev';
import { native } from '@spdk-ts/native';
import { tryDirect } from './node-direct.ts';

/** What the kernel tells of a block device. */
export interface BlockDeviceFacts {
  /** Bytes. */
  readonly physical_block_size: number;
  /** It has zones that are written from their start on (host-managed). 0: any number may be open, or active. */
  readonly zoned: boolean;
  readonly max_open_zones: number;
  readonly max_active_zones: number;
}

export interface OpenedFile {
  readonly fd: number;
  /** Absolute, as given. */
  readonly filename: string;
  /** What is the same however the file was named. */
  readonly realpath: string;
  readonly bytes: number;
  readonly block_size: number;
  readonly blockDevice: boolean;
  /** Null for a regular file. */
  readonly device: BlockDeviceFacts | null;
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
  /** That of a regular file, if none is given. */
  readonly regular_block_size?: number;
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

/** What the kernel tells of a block device in sysfs: node:fs cannot ask the device. */
function deviceFact(filename: string, { rdev }: Pick<Stats, 'rdev'>, name: string): string {
  const major = Math.floor(rdev / 256) & 0xfff;
  const minor = (rdev & 0xff) | ((Math.floor(rdev / 0x100000) & 0xfff) << 8);
  const folder = `/sys/dev/block/${major}:${minor}`;
  try {
    // A partition has the queue of its disk.
    const queue = name.startsWith('queue/') ? `${folder}/../${name}` : `${folder}/${name}`;
    try {
      return readFileSync(`${folder}/${name}`, 'utf8').trim();
    } catch {
      return readFileSync(queue, 'utf8').trim();
    }
  } catch (error) {
    throw fileError(error, filename, 'measured');
  }
}

const deviceNumber = (filename: string, stats: Pick<Stats, 'rdev'>, name: string): number =>
  Number(deviceFact(filename, stats, name));

function blockDeviceFacts(filename: string, stats: Stats): BlockDeviceFacts {
  const number = (name: string): number => deviceNumber(filename, stats, `queue/${name}`);
  const zoned = deviceFact(filename, stats, 'queue/zoned') === 'host-managed';
  return {
    ...{ physical_block_size: number('physical_block_size'), zoned },
    max_open_zones: zoned ? number('max_open_zones') : 0,
    max_active_zones: zoned ? number('max_active_zones') : 0,
  };
}

/** Why the device that a file is, or lies on, cannot be polled for completions; empty if it can. */
export function notPolled(filename: string): string {
  try {
    const stats = statSync(filename);
    const rdev = stats.isBlockDevice() ? stats.rdev : stats.dev;
    if (deviceNumber(filename, { rdev }, 'queue/io_poll') > 0) return '';
    return 'its device has no polled queues (an NVMe device needs the kernel parameter nvme.poll_queues)';
  } catch {
    return 'it lies on no block device that could be polled';
  }
}

/** Bytes that a file or block device has now. */
export function measureFile(fd: number, filename: string): number {
  const stats = fstatSync(fd);
  // Sysfs counts in sectors of 512 bytes.
  return stats.isBlockDevice() ? deviceNumber(filename, stats, 'size') * 512 : stats.size;
}

function blockSize(filename: string, stats: Stats, options: OpenFileOptions): number {
  const { block_size, direct } = options;
  if (!stats.isBlockDevice()) {
    const given = block_size ?? options.regular_block_size;
    if (given !== undefined) return given;
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
      device: blockDevice ? blockDeviceFacts(filename, stats) : null,
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
