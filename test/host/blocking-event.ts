import { spawnSync } from 'node:child_process';
import { readFileSync, readSync, writeSync } from 'node:fs';

const O_NONBLOCK = 0o4000;

const flagsOf = (fd: number): number =>
  Number.parseInt(/^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!, 8);

/**
 * Makes an eventfd one that blocks who signals or drains it, for all who have it: what a child process has as standard input
 * is made so, and the flag is the open file's.
 */
export function makeBlocking(fd: number): void {
  spawnSync('true', { stdio: [fd, 'ignore', 'ignore'] });
  if ((flagsOf(fd) & O_NONBLOCK) !== 0) throw new Error(`descriptor ${fd} still does not block`);
}

/** The same of a full one: the next signal would have to wait. */
export function fillAndBlock(fd: number): void {
  try {
    readSync(fd, new Uint8Array(8));
  } catch {} // it is empty
  writeSync(fd, new Uint8Array(BigUint64Array.of(2n ** 64n - 2n).buffer));
  makeBlocking(fd);
}
