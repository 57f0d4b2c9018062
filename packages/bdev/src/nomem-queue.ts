import type { Poller } from '@spdk-ts/reactor';
import type { BdevIo } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { After, Gate } from './channel-gate.ts';
import { IoQueue } from './io-queue.ts';

/** I/O that waits for the module's resources is tried again when this many fewer are outstanding. */
const NOMEM_THRESHOLD = 8;
/** ... or this often, if nothing is outstanding. */
const NOMEM_RETRY_US = 10_000;

/** A channel's I/O that the module could not take for lack of resources, and what came after it. */
export class NomemQueue extends IoQueue {
  private readonly channel: BdevChannel;
  private threshold = 0;
  private poller: Poller | null = null;

  constructor(channel: BdevChannel) {
    super();
    this.channel = channel;
  }

  /** The module has refused an I/O, while `outstanding` others are with it. */
  refused(io: BdevIo, outstanding: number): void {
    this.threshold = Math.max(outstanding >> 1, outstanding - NOMEM_THRESHOLD);
    this.unshift(io);
    this.channel.gate |= Gate.NOMEM;
    this.channel.after |= After.NOMEM;
    if (outstanding === 0 && this.poller === null)
      this.poller = this.channel.thread.registerPoller('bdev_no_mem', this.poll, NOMEM_RETRY_US);
  }

  private readonly poll = (): number => {
    this.stopPoller();
    if (this.head === null) return 0;
    this.retry();
    return 1;
  };

  /** Gives the module what waits, until it refuses again, if enough has ended since it last did. */
  retry(): void {
    if (this.channel.atModule > this.threshold) return;
    for (let io = this.head; io !== null; io = this.head) {
      this.shift();
      this.changed();
      this.channel.giveToModule(io);
      if (this.head === io) return;
    }
  }

  /** I/Os were taken out. */
  changed(): void {
    if (this.head !== null) return;
    this.channel.gate &= ~Gate.NOMEM;
    this.channel.after &= ~After.NOMEM;
  }

  stopPoller(): void {
    this.poller?.unregister();
    this.poller = null;
  }
}
