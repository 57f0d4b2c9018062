import { native } from '@spdk-ts/native';

/**
 * The descriptors that came with a message. Who handles the message takes those that it keeps; the rest are closed when
 * it has been handled.
 */
export class Descriptors {
  private readonly fds: number[];

  constructor(fds: readonly number[] = []) {
    this.fds = [...fds];
  }

  /** How many came, those that were taken included. */
  get count(): number {
    return this.fds.length;
  }

  /** Descriptor `index`, which is now the caller's to close; -1 if there is none, or it was taken already. */
  take(index: number): number {
    const fd = this.fds[index] ?? -1;
    if (fd >= 0) this.fds[index] = -1;
    return fd;
  }

  add(fds: readonly number[]): void {
    this.fds.push(...fds);
  }

  /** Closes what nobody took. */
  close(): void {
    for (let i = 0; i < this.fds.length; i++) closeDescriptor(this.take(i));
  }
}

/** Closes a descriptor, if it is one (not negative). One that is closed already is no error. */
export function closeDescriptor(fd: number): void {
  if (fd < 0 || native === null) return;
  try {
    native.closeFd(fd);
  } catch {
    // Whatever close() says, the number is free.
  }
}
