import { native } from '@spdk-ts/native';
import type { Reactor } from '@spdk-ts/reactor';

/** An eventfd that a controller signals when there are completions, and which wakes the reactor that sleeps. */
export class QueueEvent {
  readonly fd: number;
  private readonly watch: unknown;

  constructor(reactor: Reactor) {
    this.fd = native!.eventFd();
    this.watch = native!.ringWatch(this.fd, () => reactor.wake());
  }

  /** Before a look at the completion queue, and a sleep: what was signalled is old. */
  drain(): void {
    native!.drainEventFd(this.fd);
  }
  /** The reactor goes to sleep. */
  arm(): void {
    native!.ringWatchStart(this.watch);
  }
  disarm(): void {
    native!.ringWatchStop(this.watch);
  }
  close(): void {
    native!.ringWatchClose(this.watch);
    native!.closeFd(this.fd);
  }
}
