import type { Poller } from '@spdk-ts/reactor';
import type { BdevIo } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { IoQueue } from './io-queue.ts';
import { IoType, ioTypeMask } from './io-type.ts';
import { sendsData } from './nvme-passthru.ts';
import { type RateLimiter, SLICE_US } from './rate-limits.ts';

const LIMITED_TYPES = ioTypeMask(IoType.READ, IoType.WRITE, IoType.ZCOPY, IoType.NVME_IO, IoType.NVME_IO_MD);

function isWrite(io: BdevIo): boolean {
  if (io.type === IoType.NVME_IO) return sendsData(io.command!);
  return io.type === IoType.WRITE || (io.type === IoType.ZCOPY && !io.populate);
}

/** A channel's I/O that waits for its bdev's rate limits, in order; what waits for a limit of the other direction is passed. */
export class QosQueue extends IoQueue {
  private limiter: RateLimiter | null = null;
  /** The limiter knows that something waits here. */
  private announced = false;
  private readonly channel: BdevChannel;
  private poller: Poller | null = null;

  constructor(channel: BdevChannel) {
    super();
    this.channel = channel;
  }

  /** null: no limits any more, and everything goes on. */
  setLimiter(limiter: RateLimiter | null): void {
    if (this.announced) this.limiter!.waiting(-1);
    this.announced = false;
    this.limiter = limiter;
    if (limiter === null)
      for (let io = this.shift(); io !== null; io = this.shift()) this.channel.dispatch(io);
    this.changed();
  }

  /** I/Os were taken out, or put in. */
  changed(): void {
    const waits = this.head !== null;
    if (waits) this.poller ??= this.channel.thread.registerPoller('bdev_qos', this.poll, SLICE_US);
    else this.stopPoller();
    if (waits === this.announced) return;
    this.announced = waits;
    this.limiter!.waiting(waits ? 1 : -1);
  }

  limits(io: BdevIo): boolean {
    return (LIMITED_TYPES & (1 << io.type)) !== 0;
  }

  /** True if an I/O may start now. Else it is queued, and started when it may. */
  admits(io: BdevIo): boolean {
    if (this.head === null && this.admission(io) === 'admitted') return true;
    this.push(io);
    if (this.head !== io) this.startAdmitted();
    this.changed();
    return false;
  }

  private admission(io: BdevIo): 'admitted' | 'rate' | 'direction' {
    const { reactor, block_size } = this.channel;
    const bytes = io.type === IoType.NVME_IO ? io.bytes : io.num_blocks * block_size;
    return this.limiter!.admit(isWrite(io), bytes, reactor.now);
  }

  private readonly poll = (): number => {
    const started = this.startAdmitted();
    this.changed();
    return started;
  };

  private startAdmitted(): number {
    let reads = true;
    let writes = true;
    let started = 0;
    for (let io = this.head; io !== null && (reads || writes); ) {
      const next: BdevIo | null = io.next;
      if (isWrite(io) ? writes : reads) {
        const admission = this.admission(io);
        if (admission === 'rate') return started;
        if (admission === 'admitted') {
          this.remove(io);
          this.channel.dispatch(io);
          started++;
        } else if (isWrite(io)) writes = false;
        else reads = false;
      }
      io = next;
    }
    return started;
  }

  private stopPoller(): void {
    this.poller?.unregister();
    this.poller = null;
  }
}
