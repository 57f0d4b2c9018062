import { IoDevice, type Reactor, type Thread } from '@spdk-ts/reactor';
import type { BdevIo, BdevIoOwner } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import type { BdevDescription } from './description.ts';
import { Histogram, type HistogramOptions } from './histogram.ts';
import { addIoStat, newIoStat, resetIoStat, type StatResetMode } from './io-stat.ts';
import { IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { Memory } from './memory.ts';
import type { BdevInstance } from './module.ts';
import { RangeLock, type RangeLockDescription, type RangeLockHolder } from './range-lock.ts';
import { RateLimiter } from './rate-limits.ts';
import type { RateLimitMessage } from './rate-limits-control.ts';

/** Counters of one bdev on one reactor: of its channels, and of those that are gone. */
export interface DeviceStat {
  readonly id: number;
  readonly gone: Float64Array;
  readonly channels: { readonly thread_id: number; readonly stat: Float64Array }[];
}

export interface DeviceParts {
  readonly reactor: Reactor;
  readonly memory: Memory;
  readonly zeroRegion: number;
  makeChannel(device: BdevDevice, thread: Thread): BdevChannel;
  channelGone(channel: BdevChannel): void;
}

/** A bdev on one reactor: its instance, its channels, and what concerns all of them. */
export class BdevDevice implements BdevIoOwner {
  description: BdevDescription;
  readonly instance: BdevInstance;
  readonly ioDevice: IoDevice<BdevChannel>;
  readonly reactor: Reactor;
  readonly memory: Memory;
  readonly zeroRegion: number;
  frozen = false;
  removed = false;
  private channels: BdevChannel[] = [];
  private readonly gone = newIoStat();
  private histogramOptions: HistogramOptions | null = null;
  /** Latencies of channels that are gone. */
  private goneLatencies: Histogram | null = null;

  limiter: RateLimiter | null = null;
  locks: readonly RangeLock[] = [];
  private readonly holders = new Map<number, RangeLockHolder>();
  private holderIds = 0;

  private moduleResets = 0;
  private resetFailed = false;
  private drained: ((ok: boolean) => void) | null = null;

  constructor(description: BdevDescription, instance: BdevInstance, parts: DeviceParts) {
    this.description = description;
    this.instance = instance;
    this.reactor = parts.reactor;
    this.memory = parts.memory;
    this.zeroRegion = parts.zeroRegion;
    this.ioDevice = new IoDevice<BdevChannel>(
      `bdev_${description.name}`,
      (thread) => {
        const channel = parts.makeChannel(this, thread);
        this.channels = [...this.channels, channel];
        return channel;
      },
      (channel) => {
        channel.destroy();
        this.channels = this.channels.filter((other) => other !== channel);
        this.keep(channel);
        parts.channelGone(channel);
        if (this.frozen) this.channelDrained();
      },
    );
  }

  private keep(channel: BdevChannel): void {
    addIoStat(this.gone, channel.stat);
    const from = channel.latencies?.buckets;
    const to = this.goneLatencies?.buckets;
    if (from === undefined || to === undefined) return;
    for (let at = 0; at < to.length; at++) to[at] = to[at]! + from[at]!;
  }

  /** The device changed. The module knows of new blocks before they are let through. */
  update(description: BdevDescription): void {
    const shrinks = description.num_blocks < this.description.num_blocks;
    this.description = description;
    if (!shrinks) this.instance.update?.(description);
    for (const channel of this.channels) channel.num_blocks = description.num_blocks;
    if (shrinks) this.instance.update?.(description);
  }

  /** New I/O is refused from now on, and queued I/O aborted. */
  retire(): void {
    this.removed = true;
    for (const channel of this.channels) channel.retire();
  }

  /** Resolves when the last channel has been put. */
  remove(): Promise<void> {
    this.retire();
    return new Promise((resolve) => this.ioDevice.unregister(resolve));
  }

  // --- reset ---

  freeze(): void {
    this.frozen = true;
    for (const channel of this.channels) channel.freeze();
  }

  unfreeze(): void {
    this.frozen = false;
    for (const channel of this.channels) channel.unfreeze();
  }

  /**
   * While frozen: gives a reset to the module on every channel, if it takes resets, and waits for what is
   * outstanding. False if a reset failed.
   */
  moduleReset(): Promise<boolean> {
    return new Promise((resolve) => {
      this.drained = resolve;
      this.resetFailed = false;
      if ((this.description.io_types & (1 << IoType.RESET)) !== 0)
        for (const channel of this.channels) {
          this.moduleResets++;
          channel.startModuleReset(this);
        }
      this.channelDrained();
    });
  }

  /** A reset that the module was given has ended. */
  bdevIoDone(io: BdevIo): void {
    if (io.status !== IoStatus.SUCCESS) this.resetFailed = true;
    io.channel!.giveSpare(io);
    this.moduleResets--;
    this.channelDrained();
  }

  /** For channels: one of them has nothing outstanding any more. */
  channelDrained(): void {
    if (this.drained === null || this.moduleResets > 0) return;
    for (const channel of this.channels) if (!channel.idle) return;
    const done = this.drained;
    this.drained = null;
    done(!this.resetFailed);
  }

  // --- locked ranges ---

  /** A channel's owner is to hold a range: the number that the control thread knows it by. */
  addHolder(holder: RangeLockHolder): number {
    this.holders.set(++this.holderIds, holder);
    return this.holderIds;
  }
  dropHolder(number: number): void {
    this.holders.delete(number);
  }

  /** Locks a range for new I/O. Resolves once none is under way there. */
  lockRange(description: RangeLockDescription): Promise<void> {
    const own = description.reactor === this.reactor.index;
    const lock = new RangeLock(description, (own && this.holders.get(description.holder)) || null);
    this.locks = [...this.locks, lock];
    for (const channel of this.channels) channel.lockAdded(lock);
    return lock.held();
  }

  unlockRange(number: number): void {
    this.locks = this.locks.filter((other) => other.lock !== number);
    this.locksChanged();
  }

  private locksChanged(): void {
    const waiting = this.locks.some(({ blockers }) => blockers.size > 0);
    for (const channel of this.channels) channel.locksChanged(this.locks.length > 0, waiting);
  }

  /** True if an I/O has to wait for a locked range. */
  locksOut(io: BdevIo): boolean {
    for (const lock of this.locks) if (lock.excludes(io)) return true;
    return false;
  }

  /** For channels: an I/O has ended that may be in a lock's way. */
  ended(io: BdevIo): void {
    for (const lock of this.locks) lock.ended(io);
  }

  setRateLimits({ limits, shared }: RateLimitMessage): void {
    this.limiter = limits === null ? null : new RateLimiter(limits, shared);
    for (const channel of this.channels) channel.setRateLimiter(this.limiter);
  }

  // --- counters ---

  stat(reset: StatResetMode): DeviceStat {
    const stat = {
      id: this.description.id,
      gone: this.gone.slice(),
      channels: this.channels.map((c) => ({ thread_id: c.thread.id, stat: c.stat.slice() })),
    };
    this.resetStat(reset);
    return stat;
  }

  resetStat(mode: StatResetMode): void {
    resetIoStat(this.gone, mode);
    for (const channel of this.channels) resetIoStat(channel.stat, mode);
  }

  newHistogram(): Histogram | null {
    return this.histogramOptions === null ? null : new Histogram(this.histogramOptions);
  }

  /** Starts counting latencies anew, or stops (null). */
  setHistogram(options: HistogramOptions | null): void {
    this.histogramOptions = options;
    this.goneLatencies = this.newHistogram();
    for (const channel of this.channels) channel.setHistogram(this.newHistogram());
  }

  /** The buckets of all channels added up, or null if latencies are not counted. */
  latencies(): Float64Array | null {
    if (this.goneLatencies === null) return null;
    const total = this.goneLatencies.buckets.slice();
    for (const channel of this.channels) {
      const buckets = channel.latencies!.buckets;
      for (let i = 0; i < total.length; i++) total[i] = total[i]! + buckets[i]!;
    }
    return total;
  }
}
