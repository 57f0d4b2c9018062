import { lstatSync, unlinkSync } from 'node:fs';
import { native } from '@spdk-ts/native';

/** Bytes of sun_path in struct sockaddr_un, less the NUL. */
const PATH_BYTES_MAX = 107;
const BACKLOG = 128;

/** Why there can be no socket at a path; `code` is the errno's name. */
export class SocketError extends Error {
  readonly code: 'EINVAL' | 'EIO' | 'EBUSY';
  constructor(code: SocketError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** Removes a socket that nobody listens at any more: its target has died. Throws SocketError for anything else there. */
function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new SocketError('EIO', `${path} exists and is not a socket; move it away, or choose another ctrlr`);
  let fd: number;
  try {
    fd = native!.unixConnect(path);
  } catch {
    unlinkSync(path);
    return;
  }
  native!.closeFd(fd);
  throw new SocketError('EBUSY', `somebody listens at ${path} already; choose another ctrlr`);
}

/** A socket that listens at a path, where one that is left over is replaced. Throws SocketError. */
export function listenAt(path: string): number {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX)
    throw new SocketError(
      'EINVAL',
      `the socket path ${path} has more than ${PATH_BYTES_MAX} bytes; choose a shorter ctrlr, or another -S`,
    );
  removeStale(path);
  try {
    return native!.unixListen(path, BACKLOG);
  } catch (error) {
    throw new SocketError('EIO', `no socket can listen at ${path}: ${(error as Error).message}`);
  }
}

/** Closes a socket that nobody was given, and removes it. */
export function unlisten(path: string, fd: number): void {
  native!.closeFd(fd);
  removeSocket(path);
}

export function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // somebody else has removed it
  }
}
