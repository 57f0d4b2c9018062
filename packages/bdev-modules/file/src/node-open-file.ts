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

export interface OpenedFile {
  readonly fd: number;
  /** Absolute, as given. */
  readonly filename: string;
  /** What is the same however the file was named. */
  readonly realpath: string;
  readonly bytes: number;
  readonly blockDevice: boolean;
}

export interface OpenFileOptions {
  readonly filename: string;
  readonly block_size: number;
  /** Bytes that the file is to have at least; it is created if need be. */
  readonly size?: number | undefined;
  readonly readonly: boolean;
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

/** A block device's size: node:fs cannot ask the device, the kernel also says it in sysfs (in sectors of 512). */
function deviceBytes(filename: string, { rdev }: Stats): number {
  const major = Math.floor(rdev / 256) & 0xfff;
  const minor = (rdev & 0xff) | ((Math.floor(rdev / 0x100000) & 0xfff) << 8);
  try {
    return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * 512;
  } catch (error) {
    throw fileError(error, filename, 'measured');
  }
}

/** Opens, creates, extends and locks a file as asked. Throws BdevError with what to change. */
export function openFile(options: OpenFileOptions): OpenedFile {
  const { block_size, size } = options;
  const filename = resolve(options.filename);
  if (size !== undefined && size % block_size !== 0)
    throw new BdevError(
      Errno.EINVAL,
      `size is ${size}, not a multiple of block_size ${block_size}; give ${Math.ceil(size / block_size) * block_size}`,
    );
  const fd = openIt({ ...options, filename });
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() && !stats.isBlockDevice())
      throw new BdevError(
        stats.isDirectory() ? Errno.EISDIR : Errno.EINVAL,
        `filename "${filename}" is neither a regular file nor a block device; give the name of one`,
      );
    if (native !== null && !options.readonly && !native.lockFile(fd))
      throw new BdevError(
        Errno.EBUSY,
        `filename "${filename}" is in use by another process or another bdev; two writers would destroy its data`,
      );
    const bytes = stats.isFile()
      ? fileBytes(fd, filename, stats.size, options)
      : deviceBytes(filename, stats);
    if (stats.isBlockDevice() && size !== undefined && size > bytes)
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
    return { fd, filename, realpath: realpathSync(filename), bytes, blockDevice: stats.isBlockDevice() };
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

export function closeFile(fd: number): void {
  closeSync(fd);
}
