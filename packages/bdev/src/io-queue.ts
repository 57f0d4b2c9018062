import { type BdevIo, IoState } from './bdev-io.ts';

/** I/Os in order, linked through {@link BdevIo.next}; those in it are QUEUED. */
export class IoQueue {
  head: BdevIo | null = null;
  private tail: BdevIo | null = null;

  push(io: BdevIo): void {
    io.state = IoState.QUEUED;
    io.next = null;
    if (this.tail === null) this.head = io;
    else this.tail.next = io;
    this.tail = io;
  }

  unshift(io: BdevIo): void {
    io.state = IoState.QUEUED;
    io.next = this.head;
    this.head = io;
    if (this.tail === null) this.tail = io;
  }

  shift(): BdevIo | null {
    const io = this.head;
    if (io !== null) this.unlink(io, null);
    return io;
  }

  /** Takes everything out: the first I/O, which leads to the others. */
  takeAll(): BdevIo | null {
    const first = this.head;
    this.head = null;
    this.tail = null;
    return first;
  }

  /** Takes an I/O out. False if it is not in this queue. */
  remove(io: BdevIo): boolean {
    let before: BdevIo | null = null;
    for (let other = this.head; other !== null; before = other, other = other.next) {
      if (other !== io) continue;
      this.unlink(io, before);
      return true;
    }
    return false;
  }

  /** Takes the first I/O of a channel out, or returns null. */
  removeOf(channel: unknown): BdevIo | null {
    let before: BdevIo | null = null;
    for (let io = this.head; io !== null; before = io, io = io.next) {
      if (io.channel !== channel) continue;
      this.unlink(io, before);
      return io;
    }
    return null;
  }

  private unlink(io: BdevIo, before: BdevIo | null): void {
    if (before === null) this.head = io.next;
    else before.next = io.next;
    if (this.tail === io) this.tail = before;
    io.next = null;
  }
}
