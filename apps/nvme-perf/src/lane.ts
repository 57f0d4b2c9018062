import { IoVec } from '@spdk-ts/bdev';
import {
  allocateSharedMemory,
  attachSharedMemory,
  releaseSharedMemory,
  type SharedMemory,
  TICKS_PER_US,
} from '@spdk-ts/env';
import { LatencyHistogram, Xorshift, Zipf } from '@spdk-ts/load';
import {
  describeStatus,
  NvmePollGroup,
  type NvmeQpair,
  NvmeRequest,
  type NvmeRequestOwner,
  openIoQueue,
  PciQpair,
} from '@spdk-ts/nvme';
import { dataTransfer, nvmOpcode, psdt, rwFlag } from '@spdk-ts/nvme-spec';
import type { Poller, Reactor } from '@spdk-ts/reactor';
import type { LaneResult, LaneSpec, MemoryQueueCounts, StartParams } from './protocol.ts';

/** The clock is read for this many I/Os at once, and for a quarter of the queue at most. */
const CLOCK_BATCH_MAX = 32;
const MESSAGES_MAX = 10;
const READ_WORD = nvmOpcode.read | (psdt.sgl << 14);
const WRITE_WORD = nvmOpcode.write | (psdt.sgl << 14);
const DRAIN_PERIOD_US = 100;

/** What a lane tells the one who runs it. */
export interface LaneEvents {
  print(lines: readonly string[]): void;
  /** Nothing is in flight any more. */
  ended(lane: Lane): void;
}

/**
 * Keeps `queue_depth` I/Os in flight on one namespace until its time is over. An I/O that completes goes out again at once, as the
 * same request: nothing is allocated and nobody waits.
 */
export class Lane implements NvmeRequestOwner {
  readonly spec: LaneSpec;
  private readonly reactor: Reactor;
  private readonly group: NvmePollGroup;
  private readonly events: LaneEvents;
  private readonly memory: SharedMemory;
  private readonly qpairs: NvmeQpair[] = [];
  private readonly requests: NvmeRequest[] = [];
  private readonly random: Xorshift;
  private readonly zipf: Zipf | null;
  private readonly sequential: boolean;
  private readonly mixed: boolean;
  private readonly io_blocks: number;
  private readonly size_in_ios: number;
  private readonly startedAt: Float64Array;
  private readonly batch: number;
  private nextIo = 0;
  private nextQpair = 0;
  private batchOf = -1;
  private batchTime = 0;
  private batchLeft = 1;

  private histogram = new LatencyHistogram();
  private completed = 0;
  private latencySum = 0;
  private latencyMin = Number.POSITIVE_INFINITY;
  private latencyMax = 0;
  private issued = 0;
  private failed = 0;
  private failure: string | null = null;
  private messages = 0;
  private inFlight = 0;
  private draining = false;
  private measuring = false;
  private since = 0;
  private until = 0;
  private clockPoller: Poller | null = null;
  private over = false;

  constructor(spec: LaneSpec, reactor: Reactor, events: LaneEvents) {
    this.spec = spec;
    this.reactor = reactor;
    this.group = NvmePollGroup.of(reactor);
    this.events = events;
    this.random = new Xorshift(spec.seed);
    this.zipf =
      spec.random && spec.zipf_theta > 0 ? new Zipf(spec.size_in_ios, spec.zipf_theta, this.random) : null;
    this.sequential = !spec.random;
    this.mixed = spec.read_share > 0 && spec.read_share < 100;
    this.io_blocks = spec.io_blocks;
    this.size_in_ios = spec.size_in_ios;
    this.startedAt = new Float64Array(spec.queue_depth);
    this.batch = Math.max(1, Math.min(spec.queue_depth >> 2, CLOCK_BATCH_MAX));
    const stride = Math.ceil(spec.io_size / spec.alignment) * spec.alignment;
    const shareable = spec.queues.some(({ trtype }) => trtype === 'VFIOUSER');
    this.memory = allocateSharedMemory(Math.max(4096, spec.queue_depth * stride), shareable);
    const bytes = attachSharedMemory(this.memory);
    // Pages that were never touched are all one page of zeroes, which would be flattering.
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    for (let i = 0; i < words.length; i++) words[i] = i;
    reactor.regions.add(spec.region, bytes);
    for (let i = 0; i < spec.queue_depth; i++) this.requests.push(this.makeRequest(i, i * stride));
  }

  private makeRequest(index: number, offset: number): NvmeRequest {
    const { spec } = this;
    const request = new NvmeRequest(this);
    const reads = spec.read_share > 0;
    request.ownerIndex = index;
    request.begin(reads ? nvmOpcode.read : nvmOpcode.write, spec.nsid);
    request.range(0, spec.io_blocks, spec.fua ? rwFlag.fua : 0);
    const transfer = reads ? dataTransfer.controllerToHost : dataTransfer.hostToController;
    request.place(transfer, spec.region, offset, spec.io_size);
    if (spec.io_unit_size < spec.io_size) {
      const iovs = new IoVec(Math.ceil(spec.io_size / spec.io_unit_size));
      for (let at = 0; at < spec.io_size; at += spec.io_unit_size)
        iovs.push(spec.region, offset + at, Math.min(spec.io_unit_size, spec.io_size - at));
      request.iovs = iovs;
    }
    return request;
  }

  /** Opens the queue pairs. */
  async open(): Promise<void> {
    for (const params of this.spec.queues) this.qpairs.push(await openIoQueue(this.group, params));
  }

  /** Starts the load. Within an iteration. */
  start({ warmup_us, time_us }: StartParams): void {
    this.batchTime = this.reactor.clock.now();
    this.since = this.batchTime;
    this.measuring = warmup_us === 0;
    this.until = this.since + (warmup_us > 0 ? warmup_us : time_us) * TICKS_PER_US;
    this.clockPoller = this.group.thread.registerPoller(
      'nvme_perf_clock',
      () => this.checkClock(time_us),
      DRAIN_PERIOD_US,
    );
    for (let i = 0; i < this.requests.length && !this.draining; i++) this.submitNext(this.requests[i]!);
  }

  private checkClock(time_us: number): number {
    const { now } = this.reactor;
    if (now < this.until || this.draining) return 0;
    if (!this.measuring) {
      this.measuring = true;
      this.histogram = new LatencyHistogram();
      this.completed = 0;
      this.latencySum = 0;
      this.latencyMin = Number.POSITIVE_INFINITY;
      this.latencyMax = 0;
      this.since = now;
      this.until = now + time_us * TICKS_PER_US;
      return 0;
    }
    this.drain();
    return 0;
  }

  /** Submits no more; the lane ends when everything in flight has. */
  drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.until = this.reactor.now;
    if (this.inFlight === 0) this.finishSoon();
  }

  // --- the way of an I/O ---

  private nextPlace(): number {
    if (this.sequential) {
      const io = this.nextIo;
      this.nextIo = io + 1 === this.size_in_ios ? 0 : io + 1;
      return io * this.io_blocks;
    }
    const io = this.zipf === null ? this.random.below(this.size_in_ios) : this.zipf.next();
    return io * this.io_blocks;
  }

  private submitNext(request: NvmeRequest): void {
    const { sqe } = request;
    const lba = this.nextPlace();
    sqe[10] = lba;
    sqe[11] = lba / 0x1_0000_0000;
    if (this.mixed) this.draw(request);
    let at = this.nextQpair;
    const qpair = this.qpairs[at]!;
    if (++at === this.qpairs.length) at = 0;
    this.nextQpair = at;
    this.inFlight++;
    this.issued++;
    this.startedAt[request.ownerIndex] = this.batchTime;
    if (qpair.submit(request) !== 0) this.refused(qpair);
    if (this.issued === this.spec.ios_max) this.drain();
  }

  private draw(request: NvmeRequest): void {
    const reads = this.random.below(100) < this.spec.read_share;
    request.sqe[0] = reads ? READ_WORD : WRITE_WORD;
    request.transfer = reads ? dataTransfer.controllerToHost : dataTransfer.hostToController;
  }

  /** Time to reckon latencies with, ticks. It is read once for a few I/Os of an iteration. */
  private time(): number {
    const { now } = this.reactor;
    if (this.batchOf !== now || --this.batchLeft === 0) {
      this.batchOf = now;
      this.batchLeft = this.batch;
      this.batchTime = this.reactor.clock.now();
    }
    return this.batchTime;
  }

  nvmeDone(request: NvmeRequest): void {
    this.inFlight--;
    const took = this.time() - this.startedAt[request.ownerIndex]!;
    if (request.status !== 0) this.ioFailed(request);
    else {
      this.completed++;
      this.latencySum += took;
      if (took < this.latencyMin) this.latencyMin = took;
      if (took > this.latencyMax) this.latencyMax = took;
      this.histogram.tally(took);
    }
    if (!this.draining) this.submitNext(request);
    else if (this.inFlight === 0) this.finishSoon();
  }

  // --- errors ---

  private refused(qpair: NvmeQpair): void {
    this.inFlight--;
    this.stopFor(qpair.error?.message ?? `${qpair.name} takes no more commands`);
    if (this.inFlight === 0) this.finishSoon();
  }

  private ioFailed(request: NvmeRequest): void {
    this.failed++;
    const lba = request.sqe[10]! + request.sqe[11]! * 0x1_0000_0000;
    const name = (request.sqe[0]! & 0xff) === nvmOpcode.read ? 'Read' : 'Write';
    const broken = this.qpairs.find(({ error }) => error !== null)?.error ?? null;
    const why = broken === null ? describeStatus(request.status) : broken.message;
    const text = `${name} of ${this.io_blocks} blocks at LBA ${lba} of ${this.spec.name} failed: ${why}`;
    this.failure ??= text;
    const every = this.spec.continue_on_error;
    if (every > 0 ? this.failed % every === 0 : ++this.messages <= MESSAGES_MAX) this.events.print([text]);
    if (every === 0 || broken !== null) this.drain();
  }

  private stopFor(why: string): void {
    this.failure ??= why;
    if (++this.messages <= MESSAGES_MAX) this.events.print([why]);
    this.drain();
  }

  // --- the end ---

  private finishSoon(): void {
    if (this.over) return;
    this.over = true;
    this.clockPoller?.unregister();
    this.clockPoller = null;
    this.group.thread.send(() => this.events.ended(this));
  }

  /** Gives connections and memory back. */
  close(): void {
    for (const qpair of this.qpairs) qpair.close();
    this.reactor.regions.remove(this.spec.region);
    releaseSharedMemory(this.memory);
  }

  /** I/Os that have completed so far in what is measured. */
  get done(): number {
    return this.completed;
  }

  result(): LaneResult {
    const sum = (of: (qpair: NvmeQpair) => number): number =>
      this.qpairs.reduce((total, one) => total + of(one), 0);
    return {
      index: this.spec.index,
      runtime_us: Math.max(1, ((this.draining ? this.until : this.reactor.now) - this.since) / TICKS_PER_US),
      io_completed: this.completed,
      io_failed: this.failed,
      latencies: this.histogram.counts.slice(),
      latency_sum_ns: this.latencySum,
      latency_min_ns: this.completed > 0 ? this.latencyMin : 0,
      latency_max_ns: this.latencyMax,
      failure: this.failure,
      submitted: sum((one) => one.submitted),
      waited: sum((one) => one.waited),
      connections: this.qpairs.length,
      memory: this.memoryCounts(),
    };
  }

  private memoryCounts(): MemoryQueueCounts | null {
    const qpairs = this.qpairs.filter((one) => one instanceof PciQpair);
    const sum = (of: (qpair: PciQpair) => number): number =>
      qpairs.reduce((total, one) => total + of(one), 0);
    if (qpairs.length === 0) return null;
    return {
      doorbells: qpairs[0]!.doorbellKind,
      mapped: sum(({ doorbells }) => doorbells.mapped),
      trapped: sum(({ doorbells }) => doorbells.trapped),
      shadowed: sum(({ doorbells }) => doorbells.shadowed),
      copied: sum(({ copied }) => copied),
    };
  }
}
