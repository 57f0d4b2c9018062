import { TICKS_PER_US } from '@spdk-ts/env';
import { IoDevice, type Reactor, type Thread } from '@spdk-ts/reactor';
import type { BdevIo, BdevIoOwner } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { ChannelPollers } from './channel-pollers.ts';
import type { BdevDescription } from './description.ts';
import { Histogram, type HistogramOptions } from './histogram.ts';
import { addIoStat, newIoStat, resetIoStat, type StatResetMode } from './io-stat.ts';
import { IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { LateIo, TimeoutMessage } from './io-watch-control.ts';
import type { Memory } from './memory.ts';
import { hideMetadata } from './metadata.ts';
import type { BdevInstance } from './module.ts';
import { type QueueDepthMessage, QueueDepthSamples } from './queue-depth.ts';
import { RangeLock, type RangeLockDescription, type RangeLockHolder } from './range-lock.ts';
import { RateLimiter } from './rate-limits.ts';
import type { RateLimitMessage } from './rate-limits-control.ts';

/** How often the I/O under way is looked through for what is late. */
const LATE_PERIOD_US = 1_000_000;

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
  /** The same device as one without metadata, for those who have it open so. */
  hidden: BdevDevice | null = null;
  /** Of such a device: the one that it hides the metadata of. */
  private shown: BdevDevice | null = null;
  private channels: BdevChannel[] = [];
  private readonly gone = newIoStat();
  private histogramOptions: HistogramOptions | null = null;
  /** Latencies of channels that are gone. */
  private goneLatencies: Histogram | null = null;

  limiter: RateLimiter | null = null;
  private samples: QueueDepthSamples | null = null;
  private readonly samplers = new ChannelPollers('bdev_queue_depth', (channel) => this.sample(channel));
  /** Whose I/O is reported, and after how many ticks, by watcher. */
  private readonly timeouts = new Map<number, { readonly descriptor: number; readonly ticks: number }>();
  private readonly timers = new ChannelPollers('bdev_timeout', (channel, elapsed) =>
    this.reportLate(channel, elapsed),
  );
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
        this.samplers.add(channel);
        this.timers.add(channel);
        return channel;
      },
      (channel) => {
        channel.destroy();
        this.channels = this.channels.filter((other) => other !== channel);
        this.samplers.remove(channel);
        this.timers.remove(channel);
        if (this.channels.length === 0) this.samples?.leave(this.reactor.index);
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
    this.hidden?.update(hideMetadata(description));
  }

  /** `device` is this one with its metadata hidden: what holds for the one holds for the other. */
  hide(device: BdevDevice): void {
    this.hidden = device;
    device.shown = this;
    device.frozen = this.frozen;
    device.locks = this.locks;
    for (const [watcher, { descriptor, ticks }] of this.timeouts)
      device.watchLate({ watcher, descriptor, timeout_us: ticks / TICKS_PER_US });
  }

  /** New I/O is refused from now on, and queued I/O aborted. */
  retire(): void {
    this.removed = true;
    for (const channel of this.channels) channel.retire();
    this.hidden?.retire();
    this.instance.retire?.();
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
    this.hidden?.freeze();
  }

  unfreeze(): void {
    this.frozen = false;
    for (const channel of this.channels) channel.unfreeze();
    this.hidden?.unfreeze();
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

  /** While frozen: waits for what is outstanding, so long at most. False if something still is. */
  drain(timeout_us: number): Promise<boolean> {
    const busy = this.channels.find((channel) => !channel.idle);
    if (busy === undefined) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (drained: boolean): void => {
        timer.unregister();
        this.drained = null;
        resolve(drained);
      };
      const expired = (): number => {
        end(false);
        return 1;
      };
      const timer = busy.thread.registerPoller('bdev_reset_drain', expired, timeout_us);
      this.drained = () => end(true);
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
    if (this.shown !== null) return this.shown.addHolder(holder);
    this.holders.set(++this.holderIds, holder);
    return this.holderIds;
  }
  dropHolder(number: number): void {
    if (this.shown !== null) this.shown.dropHolder(number);
    else this.holders.delete(number);
  }

  /** Locks a range for new I/O. Resolves once none is under way there. */
  lockRange(description: RangeLockDescription): Promise<void> {
    const own = description.reactor === this.reactor.index;
    const lock = new RangeLock(description, (own && this.holders.get(description.holder)) || null);
    this.addLock(lock);
    return lock.held();
  }

  private addLock(lock: RangeLock): void {
    this.locks = [...this.locks, lock];
    for (const channel of this.channels) channel.lockAdded(lock);
    this.hidden?.addLock(lock);
  }

  unlockRange(number: number): void {
    this.locks = this.locks.filter((other) => other.lock !== number);
    this.locksChanged();
    this.hidden?.unlockRange(number);
  }

  private locksChanged(): void {
    const waiting = this.locks.some(({ blockers }) => blockers.size > 0);
    for (const channel of this.channels) channel.lockRemoved(this.locks.length > 0, waiting);
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

  // --- queue depth and timeouts ---

  setSampling({ period_us, shared }: QueueDepthMessage): void {
    this.samples = period_us > 0 ? new QueueDepthSamples(shared, period_us) : null;
    this.samplers.set(period_us, this.channels);
  }

  /** One of the channels samples for all of the reactor. */
  private sample(channel: BdevChannel): void {
    if (channel !== this.channels[0]) return;
    let depth = 0;
    for (const { queueDepth } of this.channels) depth += queueDepth;
    this.samples!.sample(this.reactor.index, depth);
  }

  watchLate({ watcher, descriptor, timeout_us }: Omit<TimeoutMessage, 'id'>): void {
    const before = this.timeouts.size;
    if (timeout_us > 0) this.timeouts.set(watcher, { descriptor, ticks: timeout_us * TICKS_PER_US });
    else this.timeouts.delete(watcher);
    this.hidden?.watchLate({ watcher, descriptor, timeout_us });
    const { size } = this.timeouts;
    if (size === 0 || before === 0) this.timers.set(size > 0 ? LATE_PERIOD_US : 0, this.channels);
  }

  /** Reports what has become late in the last ticks. */
  private reportLate(channel: BdevChannel, since: number): void {
    const { now, index: reactor } = this.reactor;
    channel.forEachUnderWay((io) => {
      if (io.owner.inLayer === true || io.status !== IoStatus.PENDING) return;
      const elapsed = now - io.submitted_at;
      const { descriptor: whose } = io.owner;
      for (const [watcher, { descriptor, ticks }] of this.timeouts) {
        if (whose !== undefined && whose !== descriptor) continue;
        if (elapsed < ticks || elapsed - ticks >= since) continue;
        const late: LateIo = {
          ...{ id: this.description.id, watcher, reactor, thread_id: channel.thread.id },
          ...{ type: io.type, offset_blocks: io.offset_blocks, num_blocks: io.num_blocks },
          elapsed_us: elapsed / TICKS_PER_US,
        };
        this.reactor.control.notify('bdev', 'late', late);
      }
    });
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
