import type { UringSock } from './uring-sock.ts';

/** Sockets that something is to be done for. Emptied by its count: to set an array's length costs more than an I/O. */
export class SockList {
  count = 0;
  private readonly socks: UringSock[] = [];

  push(sock: UringSock): void {
    this.socks[this.count++] = sock;
  }

  at(index: number): UringSock {
    return this.socks[index]!;
  }

  clear(): void {
    this.count = 0;
  }
}
