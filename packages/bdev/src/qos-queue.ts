import type { Poller } from '@spdk-ts/reactor';
import type { BdevIo } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { IoQueue } from './io-queue.ts';
import { IoType, ioTypeMask } from './io-type.ts';
import { type RateLimiter, SLICE_US } from './rate-limits.ts';

const LIMITED_TYPES = ioTypeMask(IoType.READ, IoType.WRITE, IoType.ZCOPY, IoType.NVME_IO, IoType.NVME_IO_MD);

function isWrite(io: BdevIo): boolean {
  return io.type === IoType.WRITE || (io.type === IoType.ZCOPY && !io.populate);
}

/** A channel's I/O that waits for its bdev's rate limits, in order; what waits for a limit of the other direction is passed. */
export class QosQueue extends IoQueue {
  limiter: RateLimiter | null = null;
  private readonly channel: BdevChannel;
  private poller: Poller | null = null;

  constructor(channel: BdevChannel) {
    super();
    this.channel = channel;
  }

  limits(io: BdevIo): boolean {
    return (LIMITED_TYPES & (1 << io.type)) !== 0;
  }

  /** True if an I/O may start now. Else it is queued, and started when it may. */
  admits(io: BdevIo): boolean {
    if (this.head === null && this.admission(io) === 'admitted') return true;
    this.push(io);
    if (this.head !== io) this.startAdmitted();
    this.poller ??= this.channel.thread.registerPoller('bdev_qos', this.poll, SLICE_US);
    return false;
  }

  private admission(io: BdevIo): 'admitted' | 'rate' | 'direction' {
    const { reactor, block_size } = this.channel;
    return this.limiter!.admit(isWrite(io), io.num_blocks * block_size, reactor.now);
  }

  private readonly poll = (): number => {
    const started = this.startAdmitted();
    if (this.head === null) this.stopPoller();
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

  /** Everything may start: there are no limits any more. */
  startAll(): void {
    for (let io = this.shift(); io !== null; io = this.shift()) this.channel.dispatch(io);
    this.stopPoller();
  }

  stopPoller(): void {
    this.poller?.unregister();
    this.poller = null;
  }
}
