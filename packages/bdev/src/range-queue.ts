import { type BdevIo, type BdevIoOwner, IoState } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { After, Gate } from './channel-gate.ts';
import { CompareAndWrite } from './compare-and-write.ts';
import { IoQueue } from './io-queue.ts';
import type { LbaRangeLock, RangeLock } from './range-lock.ts';

/** A channel's part in locked ranges: the I/O that waits for them, and what waits for ranges of its own. */
export class RangeQueue extends IoQueue {
  private readonly channel: BdevChannel;
  private readonly lockers = new Set<CompareAndWrite>();

  constructor(channel: BdevChannel) {
    super();
    this.channel = channel;
  }

  /** See {@link BdevChannel.lockRange}. The channel's reference is held until the range is released. */
  async lockRange(offset_blocks: number, num_blocks: number, owner: BdevIoOwner): Promise<LbaRangeLock> {
    const { device, reactor } = this.channel;
    const { id } = device.description;
    const holder = device.addHolder({ channel: this.channel, owner });
    const put = this.channel.holdMore();
    const drop = (): void => {
      device.dropHolder(holder);
      put();
    };
    if (owner instanceof CompareAndWrite) this.lockers.add(owner);
    try {
      const range = { id, offset_blocks, num_blocks, reactor: reactor.index, holder };
      const lock = await reactor.control.call('bdev', 'lockRange', range);
      return { release: () => reactor.control.call('bdev', 'unlockRange', { id, lock }).then(drop, drop) };
    } catch (error) {
      drop();
      throw error;
    } finally {
      if (owner instanceof CompareAndWrite) this.lockers.delete(owner);
    }
  }

  /** What waits for a range of its own ends ABORTED. */
  abortLockers(): void {
    for (const locker of this.lockers) locker.abort();
  }

  wait(io: BdevIo): void {
    this.push(io);
    io.state = IoState.LOCKED;
  }

  /** A range is to be locked, once what is under way there has ended. */
  lockAdded(lock: RangeLock): void {
    const { channel } = this;
    channel.gate |= Gate.LOCKED;
    channel.forEachUnderWay((io) => {
      if (io.state === IoState.LOCKED || io.work?.blocksLocks === false) return;
      if (lock.excludes(io)) lock.blockers.add(io);
    });
    if (lock.blockers.size > 0) channel.after |= After.LOCKING;
  }

  /** A lock is gone. `any`: there are others; `waiting`: some are not held yet. */
  lockRemoved(any: boolean, waiting: boolean): void {
    const { channel } = this;
    if (!waiting) channel.after &= ~After.LOCKING;
    if (!any) channel.gate &= ~Gate.LOCKED;
    for (let io = this.takeAll(); io !== null; ) {
      const next: BdevIo | null = io.next;
      io.next = null;
      if (channel.device.locksOut(io)) this.wait(io);
      else channel.proceed(io);
      io = next;
    }
  }
}
