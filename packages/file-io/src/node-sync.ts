import { fdatasync } from 'node:fs';

const EIO = -5;

/** fdatasync by Node.js's thread pool; `done` is called from the event loop: 0, or a negative errno. */
export function syncFile(fd: number, done: (result: number) => void): void {
  fdatasync(fd, (error) => done(error === null ? 0 : (error.errno ?? EIO)));
}
