import type { IoChannel, Reactor, Thread } from '@spdk-ts/reactor';
import { type BdevIo, type BdevIoOwner, IoState, type IoWork } from './bdev-io.ts';
import { beginBounce, endBounce, enterBounce } from './bounce.ts';
import { ChannelAborts } from './channel-aborts.ts';
import { ChannelCalls } from './channel-calls.ts';
import { After, Gate } from './channel-gate.ts';
import { ChannelResets } from './channel-resets.ts';
import { CompareAndWrite } from './compare-and-write.ts';
import { DataRule } from './data-rule.ts';
import type { BdevDevice } from './device.ts';
import { Emulation, emulates } from './emulation.ts';
import type { Histogram } from './histogram.ts';
import { countIo, countIoError, newIoStat } from './io-stat.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType, KV_TYPES, MODIFYING_TYPES } from './io-type.ts';
import { checkKvPlace, countKv, kvLimitStatus } from './kv.ts';
import { MetadataEmulation } from './metadata-emulation.ts';
import type { ModuleChannel } from './module.ts';
import { NomemQueue } from './nomem-queue.ts';
import { checkPassthru, PASSTHRU_TYPES } from './nvme-passthru.ts';
import { QosQueue } from './qos-queue.ts';
import type { LbaRangeLock, RangeLock } from './range-lock.ts';
import { RangeQueue } from './range-queue.ts';
import type { RateLimiter } from './rate-limits.ts';
import type { BdevIoWaiter, ThreadContext } from './thread-context.ts';
import { Zcopies } from './zcopy.ts';
import { ZONE_TYPES, zoneIoValid } from './zoned.ts';

/** What carries an I/O out that the module cannot. */
function workFor(channel: BdevChannel, io: BdevIo): IoWork & { start(): void } {
  if (io.type === IoType.COMPARE_AND_WRITE) return new CompareAndWrite(channel, io);
  const moves_data = io.type !== IoType.UNMAP;
  if (moves_data && channel.device.description.md_size > 0) return new MetadataEmulation(channel, io);
  return new Emulation(channel, io);
}

/**
 * One logical thread's way to one bdev: checks, counts, queues, and hands I/O to the module's channel. Everything
 * here happens on that thread. No owner is called from within submit.
 */
export class BdevChannel extends ChannelCalls {
  readonly reactor: Reactor;
  readonly thread: Thread;
  readonly device: BdevDevice;
  readonly block_size: number;
  num_blocks: number;
  readonly stat: Float64Array = newIoStat();

  /** The module's channel. */
  private readonly module: ModuleChannel;
  private readonly context: ThreadContext;
  private readonly types: number;
  /** Low bits of a place's address that must be 0 for the module. */
  private readonly alignmentMask: number;
  private readonly in_place: boolean;
  /** As {@link SplitRule.asTheyAre}. */
  private readonly blocksAsTheyAre: number;
  private readonly data: DataRule;
  /** What the thread holds of this channel. */
  private held: IoChannel<BdevChannel> | null = null;

  /** I/Os at the module, or back from it and their owners not told yet. */
  private outstanding = 0;
  /** Those among them that the module never saw: a reset does not wait for them, their owners may never stop. */
  private unstarted = 0;
  /** I/Os that something other than the module carries out: see {@link BdevIo.work}. */
  private works = 0;
  /** A set of {@link Gate}: 0 while nothing is in the way. For the channel's parts. */
  gate = 0;
  /** I/Os that a buffer stands in for: see {@link bounce}. */
  private bouncing = 0;
  /** A set of {@link After}. For the channel's parts. */
  after = 0;
  private histogram: Histogram | null = null;

  private readonly nomem = new NomemQueue(this);
  private readonly qos = new QosQueue(this);
  private readonly ranges = new RangeQueue(this);
  private readonly zcopies: Zcopies;
  private readonly aborts: ChannelAborts;
  private readonly resets = new ChannelResets(this);

  constructor(device: BdevDevice, thread: Thread, context: ThreadContext) {
    super();
    const description = device.description;
    this.device = device;
    this.thread = thread;
    this.reactor = thread.reactor;
    this.context = context;
    this.block_size = description.block_size;
    this.num_blocks = description.num_blocks;
    this.types = description.io_types;
    this.alignmentMask = 2 ** description.required_alignment - 1;
    this.in_place = description.reads_in_place;
    this.data = new DataRule(thread.reactor, description);
    this.zcopies = new Zcopies(this);
    this.blocksAsTheyAre = this.data.limits.asTheyAre;
    this.module = device.instance.createChannel(thread);
    const { module, nomem, qos, ranges } = this;
    this.aborts = new ChannelAborts(this, { module, context, nomem, qos, ranges });
    if (this.data.separate_md > 0) this.gate |= Gate.METADATA;
    if (description.kv !== null) {
      this.gate |= Gate.KV;
      this.after |= After.KV;
    }
    if (device.locks.length > 0) this.gate |= Gate.LOCKED;
    if (device.frozen) this.freeze();
    if (device.removed) this.retire();
    this.setHistogram(device.newHistogram());
    this.setRateLimiter(device.limiter);
  }

  /** True if I/O of a type can be submitted: the module does it, or the layer does it for the module. */
  supports(type: number): boolean {
    return type === IoType.RESET || (this.types & (1 << type)) !== 0 || emulates(type, this.types);
  }

  /** True if a zero-copy I/O is lent the module's own memory, not a buffer. */
  get lendsPlaces(): boolean {
    return (this.types & (1 << IoType.ZCOPY)) !== 0;
  }

  /** A free I/O object, or null if there is none now (then queueWait). */
  getIo(): BdevIo | null {
    const io = this.context.take();
    if (io !== null) io.channel = this;
    return io;
  }

  /** For stacked modules: an I/O object although none is free, see {@link ThreadContext.takeBeyond}. */
  getIoBeyond(): BdevIo {
    const io = this.context.takeBeyond();
    io.channel = this;
    return io;
  }

  /** Called once when an I/O object is free again on this thread; never from within this call. */
  queueWait(waiter: BdevIoWaiter): void {
    this.context.wait(waiter);
  }

  freeIo(io: BdevIo): void {
    this.context.give(io);
  }

  /**
   * Submits an I/O that was set up by hand (type, offset_blocks, num_blocks, region/offset/length or iovs, owner,
   * ownerIndex). Returns 0, or a negative errno (EINVAL: range, length or place; EPERM: not writable; ENOTSUP;
   * ENODEV: the bdev is being removed); the I/O then was not started and stays the caller's. The callback never runs
   * inside. A completed I/O may be submitted again without freeing it first. Data that are not aligned as the bdev
   * requires go through a buffer of the pool, and what is more than the device takes at once is split. A read that
   * brings no place and needs a buffer may not be longer than the largest (EINVAL).
   */
  submit(io: BdevIo): number {
    const type = io.type;
    const blocks = io.num_blocks;
    if (
      this.gate !== 0 ||
      type > IoType.WRITE ||
      io.iovs !== null ||
      !(blocks > 0 && blocks <= this.blocksAsTheyAre)
    )
      return this.submitOther(io);
    if (io.region < 0 && (!this.in_place || type !== IoType.READ || io.ownBuffer >= 0))
      return this.submitOther(io);
    if (!this.inRange(io.offset_blocks, blocks)) return Errno.EINVAL;
    const bytes = blocks * this.block_size;
    if (io.region < 0) io.length = bytes;
    else if (io.length !== bytes || !this.reactor.regions.contains(io.region, io.offset, bytes))
      return Errno.EINVAL;
    else if (
      this.alignmentMask !== 0 &&
      !this.reactor.regions.aligned(io.region, io.offset, this.alignmentMask)
    )
      return this.submitOther(io);
    if ((this.types & (1 << type)) === 0) return this.refusal(type);
    this.start(io);
    return 0;
  }

  /** True if the blocks are whole numbers and lie within the device. */
  private inRange(first: number, blocks: number): boolean {
    return (
      first >= 0 &&
      blocks >= 0 &&
      blocks <= this.num_blocks - first &&
      Math.floor(first) === first &&
      Math.floor(blocks) === blocks
    );
  }

  private refusal(type: number): number {
    // What has other types altogether is not read-only.
    const read_only = (this.types & KV_TYPES) === 0 && (this.types & (1 << IoType.WRITE)) === 0;
    return read_only && (MODIFYING_TYPES & (1 << type)) !== 0 ? Errno.EPERM : Errno.ENOTSUP;
  }

  private start(io: BdevIo): void {
    if (io.state !== IoState.SETUP && io.state !== IoState.DONE) this.misused(io);
    io.status = IoStatus.PENDING;
    io.state = IoState.SUBMITTED;
    io.submitted_at = this.reactor.now;
    this.outstanding++;
    this.module.submit(io);
  }

  private misused(io: BdevIo): never {
    throw new Error(`bdev I/O ${io.index} was submitted in state ${io.state}: it is not its owner's now`);
  }

  /** Everything but plain reads and writes of one piece while nothing is in the way. */
  private submitOther(io: BdevIo): number {
    if (io.state !== IoState.SETUP && io.state !== IoState.DONE) this.misused(io);
    const type = io.type;
    if ((this.gate & Gate.REMOVED) !== 0) return Errno.ENODEV;
    if (!this.supports(type)) return this.refusal(type);
    if (type === IoType.RESET) return this.resets.submit(io);
    if (type === IoType.ABORT) return this.aborts.submit(io);
    if (((KV_TYPES | PASSTHRU_TYPES) & (1 << type)) !== 0)
      return type > IoType.NVME_IOV_MD ? this.submitKv(io) : this.submitPassthru(io);
    if (!this.inRange(io.offset_blocks, io.num_blocks)) return Errno.EINVAL;
    if (type === IoType.COPY && !this.inRange(io.src_offset_blocks, io.num_blocks)) return Errno.EINVAL;
    if ((ZONE_TYPES & (1 << type)) !== 0 && !zoneIoValid(this.device.description, io)) return Errno.EINVAL;
    if (!this.data.accepts(io)) return Errno.EINVAL;
    if (type === IoType.ZCOPY && !this.zcopies.begin(io)) return Errno.EINVAL;
    io.status = IoStatus.PENDING;
    io.submitted_at = this.reactor.now;
    if ((this.gate & Gate.FROZEN) !== 0) this.finishUnstarted(io, IoStatus.ABORTED);
    else if (io.num_blocks === 0 && type !== IoType.FLUSH) this.finishUnstarted(io, IoStatus.SUCCESS);
    else if (type === IoType.COPY && io.offset_blocks === io.src_offset_blocks)
      this.finishUnstarted(io, IoStatus.SUCCESS);
    else if (type === IoType.WRITE && !this.data.wholeUnits(io)) this.finishUnstarted(io, IoStatus.FAILED);
    else if ((this.gate & Gate.LOCKED) !== 0 && this.device.locksOut(io)) this.ranges.wait(io);
    else this.proceed(io);
    return 0;
  }

  private submitKv(io: BdevIo): number {
    const refused = checkKvPlace(this.reactor.regions, io);
    if (refused !== 0) return refused;
    io.offset_blocks = 0;
    io.num_blocks = 0;
    io.status = IoStatus.PENDING;
    io.submitted_at = this.reactor.now;
    io.cdw0 = 0;
    io.sct = 0;
    io.sc = kvLimitStatus(this.device.description.kv!, io);
    if ((this.gate & Gate.FROZEN) !== 0) this.finishUnstarted(io, IoStatus.ABORTED);
    else if (io.sc !== 0) this.finishUnstarted(io, IoStatus.NVME_ERROR);
    else this.proceed(io);
    return 0;
  }

  private submitPassthru(io: BdevIo): number {
    const refused = checkPassthru(this.reactor, io);
    if (refused !== 0) return refused;
    io.offset_blocks = 0;
    io.num_blocks = 0;
    io.status = IoStatus.PENDING;
    io.submitted_at = this.reactor.now;
    io.cdw0 = 0;
    if ((this.gate & Gate.FROZEN) !== 0) this.finishUnstarted(io, IoStatus.ABORTED);
    else if ((this.gate & Gate.LOCKED) !== 0 && this.device.locksOut(io)) this.ranges.wait(io);
    else this.proceed(io);
    return 0;
  }

  /** What a split's parts cost is taken from them; what the layer does for a module, from its reads and writes. */
  proceed(io: BdevIo): void {
    const from_module = (this.types & (1 << io.type)) !== 0;
    if ((this.gate & Gate.QOS) === 0 || !from_module || !this.qos.limits(io) || this.data.splits(io))
      this.dispatch(io);
    else if (this.qos.admits(io)) this.dispatch(io);
  }

  /** The way of an I/O that nothing keeps from being started. */
  dispatch(io: BdevIo): void {
    if ((this.types & (1 << io.type)) === 0) this.emulate(io);
    else if (io.type === IoType.COMPARE_AND_WRITE && !this.data.suitBoth(io)) this.emulate(io);
    else if (this.data.wantsPlace(io)) this.findPlace(io);
    else if (this.data.splits(io)) this.split(io);
    else if (this.data.bounces(io)) this.bounce(io);
    else this.startOrQueue(io);
  }

  private split(io: BdevIo): void {
    const split = this.context.takeSplit();
    this.beginWork(io, split);
    split.begin(this, this.data.limits, io, this.data.bufferedBlocks(io));
  }

  /** For Split: its I/O ends; `from_completion`: its owner may be told at once. Its children were counted. */
  splitDone(io: BdevIo, status: number, from_completion: boolean): void {
    io.work = null;
    this.works--;
    if (!from_completion) {
      this.finishUnstarted(io, status);
      return;
    }
    io.status = status;
    io.state = IoState.DONE;
    if ((this.after & After.LOCKING) !== 0) this.device.ended(io);
    if ((this.after & After.FROZEN) !== 0 && this.idle) this.device.channelDrained();
    io.owner.bdevIoDone(io);
  }

  /** Lets a buffer of the pool stand in for data that are not aligned for the module. */
  private bounce(io: BdevIo): void {
    const bytes = io.num_blocks * this.block_size;
    beginBounce(io, bytes);
    this.bouncing++;
    this.after |= After.BOUNCED;
    const buffer = this.context.buffersWanted ? -1 : this.reactor.buffers.get(bytes);
    if (buffer < 0) this.context.queueForBuffer(io);
    else this.startWithBuffer(io, buffer);
  }

  /** Ends an I/O that the module never sees. */
  finishUnstarted(io: BdevIo, status: number): void {
    this.outstanding++;
    this.unstarted++;
    this.after |= After.UNSTARTED;
    io.unstarted = true;
    io.state = IoState.SUBMITTED;
    this.completed(io, status);
  }

  private startOrQueue(io: BdevIo): void {
    if ((this.gate & Gate.NOMEM) === 0) this.giveToModule(io);
    else this.nomem.push(io);
  }

  /** For the channel's parts: past every queue. */
  giveToModule(io: BdevIo): void {
    io.state = IoState.SUBMITTED;
    this.outstanding++;
    this.module.submit(io);
  }

  /** A read that brings no place for its data, or a zero-copy I/O that is to have one. */
  private findPlace(io: BdevIo): void {
    const bytes = io.num_blocks * this.block_size;
    io.length = bytes;
    if (io.ownBuffer >= 0) this.context.release(io);
    if (this.in_place && io.type === IoType.READ && !this.data.splits(io)) {
      this.startOrQueue(io);
      return;
    }
    const buffer = this.context.buffersWanted ? -1 : this.reactor.buffers.get(bytes);
    if (buffer < 0) this.context.queueForBuffer(io);
    else this.startWithBuffer(io, buffer);
  }

  /** For the context: an I/O that waited for a buffer has it. */
  startWithBuffer(io: BdevIo, buffer: number): void {
    if (io.bounced) enterBounce(this.device.memory, io, this.reactor.buffers.region, buffer);
    else io.ownBuffer = buffer;
    io.region = this.reactor.buffers.region;
    io.offset = buffer;
    if (io.type === IoType.ZCOPY) this.zcopies.hasBuffer(io);
    else if (!io.bounced && this.data.splits(io)) this.split(io);
    else this.startOrQueue(io);
  }

  private emulate(io: BdevIo): void {
    if (io.type === IoType.ZCOPY) {
      this.findPlace(io);
      return;
    }
    if (io.type === IoType.SEEK_DATA || io.type === IoType.SEEK_HOLE) {
      // Everything is data, as far as the layer knows.
      io.seek_offset_blocks = io.type === IoType.SEEK_DATA ? io.offset_blocks : -1;
      this.finishUnstarted(io, IoStatus.SUCCESS);
      return;
    }
    const work = workFor(this, io);
    this.beginWork(io, work);
    work.start();
  }

  /** Something other than the module carries an I/O out from now on. */
  beginWork(io: BdevIo, work: IoWork): void {
    io.state = IoState.SUBMITTED;
    io.work = work;
    this.works++;
  }

  /** For {@link BdevIo.work}: its I/O ends. */
  workDone(io: BdevIo, status: number): void {
    io.work = null;
    this.works--;
    this.finishUnstarted(io, status);
  }

  /** For modules, through {@link BdevIo.complete}. */
  completed(io: BdevIo, status: number): void {
    if (io.state !== IoState.SUBMITTED)
      throw new Error(`bdev I/O ${io.index} was completed in state ${io.state}: twice, or never submitted`);
    if (status === IoStatus.NOMEM) {
      this.outOfMemory(io);
      return;
    }
    io.status = status;
    io.state = IoState.COMPLETING;
    this.context.complete(io);
  }

  /** For stacked modules, through {@link BdevIo.completeNow}. */
  completedNow(io: BdevIo, status: number): void {
    if (io.state !== IoState.SUBMITTED)
      throw new Error(`bdev I/O ${io.index} was completed in state ${io.state}: twice, or never submitted`);
    io.status = status;
    io.state = IoState.COMPLETING;
    this.finish(io);
  }

  /** For the context: tells the owner of a completed I/O. */
  finish(io: BdevIo): void {
    this.outstanding--;
    const status = io.status;
    const ticks = this.reactor.now - io.submitted_at;
    if (status === IoStatus.SUCCESS) countIo(this.stat, io.type, io.num_blocks * this.block_size, ticks);
    else countIoError(this.stat, status);
    io.state = IoState.DONE;
    if (this.after !== 0) this.finishOther(io, ticks);
    io.owner.bdevIoDone(io);
  }

  private finishOther(io: BdevIo, ticks: number): void {
    if (io.bounced) {
      if (--this.bouncing === 0) this.after &= ~After.BOUNCED;
      endBounce(this.device.memory, io, this.reactor.buffers);
    }
    if (io.unstarted) {
      io.unstarted = false;
      if (--this.unstarted === 0) this.after &= ~After.UNSTARTED;
    }
    if ((this.after & After.KV) !== 0 && io.status === IoStatus.SUCCESS) countKv(this.stat, io, ticks);
    const histogram = this.histogram;
    if (histogram !== null && (histogram.type < 0 || histogram.type === io.type)) histogram.tally(ticks);
    if (this.nomem.head !== null) this.nomem.retry();
    if (io.type === IoType.ZCOPY) this.zcopies.done(io, ticks);
    if ((this.after & After.LOCKING) !== 0 && !io.zcopy_open) this.device.ended(io);
    if ((this.after & After.FROZEN) !== 0 && this.idle) this.device.channelDrained();
  }

  /** True if the module has nothing of this channel, and the layer does nothing for it; resets aside. */
  get idle(): boolean {
    return this.outstanding === this.unstarted && this.works === 0;
  }

  // --- I/O that the module could not take for lack of resources ---

  private outOfMemory(io: BdevIo): void {
    this.outstanding--;
    if ((this.gate & (Gate.FROZEN | Gate.REMOVED)) !== 0) {
      this.finishUnstarted(io, IoStatus.ABORTED);
      return;
    }
    this.nomem.refused(io, this.outstanding);
  }

  /** For the queue: I/Os at the module, or back from it and their owners not told yet. */
  get atModule(): number {
    return this.outstanding;
  }

  /**
   * Ends a zero-copy I/O that {@link zcopyStart} has started with success: `commit`: what is in its memory is written
   * to its blocks (ABORTED while the bdev is reset or removed); else it is forgotten, save what the module's own memory
   * has taken of it. The owner is told once more, and then frees the I/O.
   */
  zcopyEnd(io: BdevIo, commit: boolean): void {
    if (io.state !== IoState.DONE || !io.zcopy_open) this.misused(io);
    this.zcopies.end(io, commit);
  }

  /**
   * Locks a range of blocks for an owner: on every channel of the bdev, what would change those blocks waits until
   * it is released; what this channel's `owner` submits does not. Resolves once no such I/O is under way; locks that
   * overlap are held one after another. Rejects with BdevError ENODEV if the bdev is gone.
   */
  lockRange(offset_blocks: number, num_blocks: number, owner: BdevIoOwner): Promise<LbaRangeLock> {
    return this.ranges.lockRange(offset_blocks, num_blocks, owner);
  }

  /** For the device. */
  lockAdded(lock: RangeLock): void {
    this.ranges.lockAdded(lock);
  }
  lockRemoved(any: boolean, waiting: boolean): void {
    this.ranges.lockRemoved(any, waiting);
  }

  // --- reset and abort ---

  /** For the device: new I/O ends ABORTED, and so does what is queued, until {@link unfreeze}. */
  freeze(): void {
    this.gate |= Gate.FROZEN;
    this.after |= After.FROZEN;
    this.aborts.abortQueued();
  }
  unfreeze(): void {
    this.gate &= ~Gate.FROZEN;
    this.after &= ~After.FROZEN;
  }

  /** For the device: gives the module a reset; `owner` frees it with {@link giveSpare}. */
  startModuleReset(owner: BdevIoOwner): void {
    this.resets.startInModule(owner);
  }

  /** For the layer: an I/O object beside the pool, never refused. */
  takeSpare(): BdevIo {
    const io = this.context.takeSpare();
    io.channel = this;
    return io;
  }
  giveSpare(io: BdevIo): void {
    this.context.giveSpare(io);
  }

  /** Tries to abort an I/O of this channel, for stacked modules too: true if it will end ABORTED (or has ended). */
  abortTarget(target: BdevIo): boolean {
    return this.aborts.abort(target);
  }

  // --- for the device ---

  /** The bdev is being removed: new I/O is refused, queued I/O aborted; what is with the module ends as it ends. */
  retire(): void {
    this.gate |= Gate.REMOVED;
    this.aborts.abortQueued();
  }

  /** The bdev's rate limits, or null: then what waits for them goes on. */
  setRateLimiter(limiter: RateLimiter | null): void {
    if (limiter !== null) this.gate |= Gate.QOS;
    else this.gate &= ~Gate.QOS;
    this.qos.setLimiter(limiter);
  }

  /** I/Os at the module, or back from it. */
  get queueDepth(): number {
    return this.outstanding - this.unstarted;
  }
  /** Calls `fn` with each I/O that is under way, queued ones and the layer's own included. */
  forEachUnderWay(fn: (io: BdevIo) => void): void {
    this.context.forEachUnderWay(this, fn);
  }

  setHistogram(histogram: Histogram | null): void {
    this.histogram = histogram;
    if (histogram === null) this.after &= ~After.HISTOGRAM;
    else this.after |= After.HISTOGRAM;
  }
  get latencies(): Histogram | null {
    return this.histogram;
  }

  /** For the service: the reference that {@link put} gives back. */
  hold(held: IoChannel<BdevChannel>): void {
    this.held = held;
  }

  /** For the layer: one more reference. What is returned gives it back. */
  holdMore(): () => void {
    this.held!.ref++;
    return () => this.put();
  }

  /** Gives the channel back. In-flight I/O must have completed. */
  put(): void {
    this.held!.put();
  }

  /** For the service: the last reference is gone. */
  destroy(): void {
    if (
      this.outstanding + this.works + this.resets.pending + this.zcopies.open > 0 ||
      this.nomem.head !== null ||
      this.ranges.head !== null ||
      this.qos.head !== null ||
      this.context.unqueueOf(this) !== null
    )
      throw new Error(`the channel of bdev ${this.device.description.name} was put with I/O in flight`);
    this.nomem.stopPoller();
    this.module.destroy();
  }
}
