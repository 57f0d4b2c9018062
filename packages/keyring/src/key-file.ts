import { closeSync, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { errnoError } from '@spdk-ts/rpc';

/** Longest file that can be a key. */
const KEY_BYTES_MAX = 4096;
const OTHERS = 0o077;

function check(path: string, stats: Stats): void {
  if (!stats.isFile()) throw errnoError('EPERM', `path ${path} is not a regular file`);
  const mode = stats.mode & 0o777;
  if ((mode & OTHERS) !== 0)
    throw errnoError(
      'EPERM',
      `path ${path} has mode 0${mode.toString(8)}: group and others may have no access; chmod it to 0600`,
    );
  const user = process.getuid?.() ?? stats.uid;
  if (stats.uid !== user)
    throw errnoError('EPERM', `path ${path} is owned by user ${stats.uid}: it must be owned by user ${user}`);
  if (stats.size > KEY_BYTES_MAX)
    throw errnoError('ENOBUFS', `path ${path} has ${stats.size} bytes: a key has at most ${KEY_BYTES_MAX}`);
}

function failed(path: string, error: unknown): never {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') throw errnoError('ENOENT', `path ${path}: there is no such file`);
  if (code === 'EACCES') throw errnoError('EACCES', `path ${path} cannot be opened by this process`);
  throw errnoError('EIO', `path ${path}: ${message}`);
}

/**
 * Throws an RPC error that names the path if it cannot be a key's: it must be absolute (-1), exist (-2), be owned by
 * the user that runs the process and closed to all others (-1), and be of a key's size (-105).
 */
export function checkKeyFile(path: string): void {
  if (!isAbsolute(path)) throw errnoError('EPERM', `path is "${path}": give an absolute path`);
  let stats: Stats;
  try {
    stats = statSync(path);
  } catch (error) {
    failed(path, error);
  }
  check(path, stats);
}

/**
 * Reads a key. The file is checked again, on its descriptor: it may have changed since it was added. Throws as
 * {@link checkKeyFile} does.
 */
export function readKeyFile(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    failed(path, error);
  }
  try {
    const stats = fstatSync(fd);
    check(path, stats);
    const bytes = Buffer.alloc(stats.size);
    const length = readSync(fd, bytes, 0, stats.size, 0);
    return bytes.toString('utf8', 0, length);
  } finally {
    closeSync(fd);
  }
}
