import type { Poller, Thread } from '@spdk-ts/reactor';
import type { BdevIo } from './bdev-io.ts';
import { IoStatus } from './io-status.ts';

/**
 * For modules: I/O of one channel that cannot begin yet because of what another reactor does, and that nobody tells of
 * its end. It is tried again in each iteration, in order: while one waits, those behind it do.
 */
export class ParkedIo {
  private readonly thread: Thread;
  private readonly name: string;
  /** True if the I/O has begun, or has ended. */
  private readonly attempt: (io: BdevIo) => boolean;
  private ios: BdevIo[] = [];
  private poller: Poller | null = null;

  constructor(thread: Thread, name: string, attempt: (io: BdevIo) => boolean) {
    this.thread = thread;
    this.name = name;
    this.attempt = attempt;
  }

  /** Begins an I/O now, or when it can and those before it have. */
  begin(io: BdevIo): void {
    if (this.ios.length === 0 && this.attempt(io)) return;
    this.ios.push(io);
    this.poller ??= this.thread.registerPoller(this.name, this.poll);
  }

  private readonly poll = (): number => {
    while (this.ios.length > 0 && this.attempt(this.ios[0]!)) this.ios.shift();
    this.stopIfEmpty();
    return 1;
  };

  private stopIfEmpty(): void {
    if (this.ios.length > 0 || this.poller === null) return;
    this.poller.unregister();
    this.poller = null;
  }

  /** Ends an I/O that waits. False if it does not. */
  abort(io: BdevIo): boolean {
    const at = this.ios.indexOf(io);
    if (at < 0) return false;
    this.ios.splice(at, 1);
    this.stopIfEmpty();
    io.complete(IoStatus.ABORTED);
    return true;
  }

  /** Ends all that `mayEnd` lets. */
  abortAll(mayEnd: (io: BdevIo) => boolean): void {
    for (const io of this.ios.filter(mayEnd)) this.abort(io);
  }
}
