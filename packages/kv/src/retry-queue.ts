import type { BdevIo } from '@spdk-ts/bdev';
import type { Poller, Thread } from '@spdk-ts/reactor';

/** A channel's I/Os that could not go on, for a lock or for something else that will come soon: tried again at each poll. */
export class RetryQueue {
  private readonly thread: Thread;
  private readonly name: string;
  private readonly attempt: (io: BdevIo) => boolean;
  private waiting: BdevIo[] = [];
  private tried: BdevIo[] = [];
  private poller: Poller | null = null;

  /** `attempt`: true if the I/O went on; it must not queue it itself. */
  constructor(thread: Thread, name: string, attempt: (io: BdevIo) => boolean) {
    this.thread = thread;
    this.name = name;
    this.attempt = attempt;
  }

  push(io: BdevIo): void {
    this.waiting.push(io);
    if (this.poller === null) this.poller = this.thread.registerPoller(this.name, this.poll);
  }

  private readonly poll = (): number => {
    const list = this.waiting;
    this.waiting = this.tried;
    this.tried = list;
    const count = list.length;
    for (let i = 0; i < count; i++) if (!this.attempt(list[i]!)) this.waiting.push(list[i]!);
    list.length = 0;
    if (this.waiting.length === 0) this.stop();
    return count;
  };

  /** Takes an I/O out: false if it is not here. */
  remove(io: BdevIo): boolean {
    const at = this.waiting.indexOf(io);
    if (at < 0) return false;
    this.waiting.splice(at, 1);
    return true;
  }

  get ios(): readonly BdevIo[] {
    return this.waiting;
  }

  stop(): void {
    this.poller?.unregister();
    this.poller = null;
  }
}
