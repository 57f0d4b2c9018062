import {
  type BdevChannel,
  type BdevIo,
  type BdevIoOwner,
  Errno,
  getBdevService,
  IoStatus,
  IoType,
  ioErrorNames,
} from '@spdk-ts/bdev';
import {
  allocateSharedMemory,
  attachSharedMemory,
  isShareable,
  releaseSharedMemory,
  type SharedMemory,
  TICKS_PER_US,
} from '@spdk-ts/env';
import { LatencyHistogram, RandomMap, Xorshift, Zipf } from '@spdk-ts/load';
import type { Poller, Reactor, Thread } from '@spdk-ts/reactor';
import type { JobCounters, JobResult, JobSpec } from './protocol.ts';
import { isRandom } from './workload.ts';

/**
 * The clock, which costs more than an I/O of a null bdev, is read for this many I/Os at once, and for a quarter of
 * the queue at most.
 */
const CLOCK_BATCH_MAX = 32;
/** An adaptive reactor sleeps after 200 µs without work: while a job runs, it hears of some more often. */
const KEEP_AWAKE_TICKS = 100 * TICKS_PER_US;
/** A reset job resets its bdev this often, or twice in a shorter run. */
const RESET_PERIOD_US = 10_000_000;
/** Failures that are printed, for each job. */
const MESSAGES_MAX = 10;
/** What the I/O of a place is taken from. */
const PICK_SEQUENTIAL = 0;
const PICK_RANDOM = 1;
const PICK_OTHER = 2;

/** What a job tells the one who runs it. */
export interface JobEvents {
  print(job: Job, lines: readonly string[]): void;
  /** The job met an error that ends the run. */
  failed(job: Job): void;
  /** Nothing is in flight any more, and the channel is given back. */
  ended(job: Job): void;
}

/**
 * Keeps `queue_depth` I/Os in flight until its time is over. An I/O that completes goes out again at once, as the
 * same object: nothing is allocated and nobody waits.
 */
export abstract class Job implements BdevIoOwner {
  readonly spec: JobSpec;
  readonly reactor: Reactor;
  readonly thread: Thread;
  protected readonly channel: BdevChannel;
  protected readonly depth: number;
  protected readonly io_blocks: number;
  protected readonly random: Xorshift;
  private readonly memory: SharedMemory;
  /** The job's buffers. */
  protected readonly words: Int32Array;
  /** The I/O of each slot. */
  protected readonly ios: BdevIo[] = [];
  protected draining = false;
  protected readonly histogram = new LatencyHistogram();
  protected completed = 0;
  protected miscompares = 0;

  private readonly events: JobEvents;
  private failedIos = 0;
  private timeouts = 0;
  private failure: string | null = null;
  private inFlight = 0;
  private messages = 0;

  private readonly pick: number;
  private readonly size_in_ios: number;
  private readonly first_block: number;
  private readonly picker: RandomMap | Zipf | null;
  private nextIo = 0;

  private readonly batch: number;
  private batchOf = -1;
  private batchTime = 0;
  private batchLeft = 1;
  /** When the I/O of each slot went out, ticks. */
  private readonly startedAt: Float64Array;
  /** For each slot, the start of the I/O that was last seen to take too long. */
  private readonly lateSince: Float64Array;

  private startTick = 0;
  private endTick = 0;
  private toldAwake = 0;
  private completedThen = 0;
  private pollers: Poller[] = [];
  private resetTimer: Poller | null = null;
  private over = false;

  constructor(spec: JobSpec, depth: number, buffers_per_slot: number, thread: Thread, events: JobEvents) {
    this.spec = spec;
    this.thread = thread;
    this.reactor = thread.reactor;
    this.events = events;
    this.depth = depth;
    this.io_blocks = spec.io_blocks;
    this.size_in_ios = spec.size_in_ios;
    this.first_block = spec.ios_base * spec.io_blocks;
    this.random = new Xorshift(spec.seed);
    this.picker = isRandom(spec.workload) ? makePicker(spec, this.random) : null;
    if (this.picker !== null) this.pick = PICK_OTHER;
    else this.pick = isRandom(spec.workload) ? PICK_RANDOM : PICK_SEQUENTIAL;
    this.batch = Math.max(1, Math.min(depth >> 2, CLOCK_BATCH_MAX));
    this.startedAt = new Float64Array(depth);
    this.lateSince = new Float64Array(depth);
    this.memory = allocateSharedMemory(
      Math.max(4096, depth * buffers_per_slot * spec.io_size),
      isShareable(this.reactor.buffers.bytes), // as those of the application are
    );
    const bytes = attachSharedMemory(this.memory);
    this.words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    // Pages that were never touched are all one page of zeroes, which would be flattering.
    for (let i = 0; i < this.words.length; i++) this.words[i] = i;
    try {
      this.channel = getBdevService(this.reactor).getChannel(spec.bdev_id, thread, spec.hide_metadata);
    } catch (error) {
      releaseSharedMemory(this.memory);
      throw error;
    }
    this.reactor.regions.add(spec.region, bytes);
  }

  /** Sets up and submits the first I/O of a slot or, where that has completed, its next one. */
  protected abstract submitNext(slot: number, io: BdevIo): void;
  abstract bdevIoDone(io: BdevIo): void;

  /** Starts the load; it ends `time_us` from now. On the job's thread, within an iteration. */
  start(time_us: number): void {
    this.startTick = this.reactor.now;
    this.toldAwake = this.startTick;
    this.batchTime = this.reactor.clock.now();
    const { thread, spec } = this;
    this.pollers.push(
      thread.registerPoller(`bdevperf_${spec.name}`, () => this.poll()),
      thread.registerPoller('bdevperf_end', () => this.timeOver(), time_us),
    );
    if (spec.timeout_us > 0)
      this.pollers.push(
        thread.registerPoller(
          'bdevperf_timeout',
          () => this.findLate(),
          Math.min(1_000_000, spec.timeout_us),
        ),
      );
    if (spec.workload === 'reset') this.armReset(Math.min(RESET_PERIOD_US, Math.ceil(time_us / 3)));
    for (let slot = 0; slot < this.depth && !this.draining; slot++) {
      const io = this.channel.getIo();
      if (io === null) {
        const count = `${slot} of ${this.depth} I/Os of job ${spec.name} could be started`;
        this.stopFor(`${count}: there are no more I/O objects (lower -q, or raise bdev_io_pool_size)`);
        break;
      }
      io.owner = this;
      io.ownerIndex = slot;
      io.num_blocks = this.io_blocks;
      io.length = spec.io_size;
      io.region = spec.region;
      this.ios.push(io);
      this.submitNext(slot, io);
    }
  }

  private timeOver(): number {
    this.drain();
    return 1;
  }

  /** Submits no more; the job ends when everything in flight has. */
  drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.resetTimer?.unregister();
    this.resetTimer = null;
    if (this.inFlight === 0) this.finishSoon();
  }

  /** Says that there was work while there is: no adaptive reactor is to sleep under a job. */
  private poll(): number {
    const now = this.reactor.now;
    const idle = this.completed === this.completedThen;
    this.completedThen = this.completed;
    if (idle && now - this.toldAwake < KEEP_AWAKE_TICKS) return 0;
    this.toldAwake = now;
    return 1;
  }

  // --- the way of an I/O, for subclasses ---

  /** Block at which the next I/O goes. */
  protected nextBlock(): number {
    let io: number;
    if (this.pick === PICK_RANDOM) io = this.random.below(this.size_in_ios);
    else if (this.pick === PICK_SEQUENTIAL) {
      io = this.nextIo;
      this.nextIo = io + 1 === this.size_in_ios ? 0 : io + 1;
    } else io = this.picker!.next();
    return this.first_block + io * this.io_blocks;
  }

  /** Time to reckon latencies with, ticks. It is read once for a few I/Os of an iteration. */
  private time(): number {
    const now = this.reactor.now;
    if (this.batchOf !== now || --this.batchLeft === 0) {
      this.batchOf = now;
      this.batchLeft = this.batch;
      this.batchTime = this.reactor.clock.now();
    }
    return this.batchTime;
  }

  /** Submits a slot's I/O, which is set up. */
  protected submit(slot: number, io: BdevIo): void {
    this.inFlight++;
    this.startedAt[slot] = this.batchTime;
    const result = this.channel.submit(io);
    if (result !== 0) this.refused(slot, io, result);
  }

  /** Counts an I/O that completed. True if it succeeded. */
  protected arrived(slot: number, io: BdevIo): boolean {
    this.inFlight--;
    this.histogram.tally(this.time() - this.startedAt[slot]!);
    if (io.status === IoStatus.SUCCESS) return true;
    this.ioFailed(io);
    return false;
  }

  /** Goes on with a slot whose I/O has run its course. */
  protected goOn(slot: number, io: BdevIo): void {
    if (!this.draining) this.submitNext(slot, io);
    else if (this.inFlight === 0) this.finishSoon();
  }

  // --- errors ---

  private refused(slot: number, io: BdevIo, result: number): void {
    this.inFlight--;
    if (result === Errno.ENODEV) {
      // The bdev is being removed: the job ends, as it would if it were told a moment later.
      this.abandoned(slot);
      this.drain();
      if (this.inFlight === 0) this.finishSoon();
      return;
    }
    this.failedIos++;
    const what = `submitting a ${typeName(io.type)} of ${this.io_blocks} blocks at block ${io.offset_blocks} of ${this.spec.name}`;
    this.abandoned(slot);
    this.stopFor(`${what} failed with ${errorText(result)}`);
    if (this.inFlight === 0) this.finishSoon();
  }

  /** The I/O of a slot was refused: what the slot stood for is free. */
  protected abandoned(_slot: number): void {}

  private ioFailed(io: BdevIo): void {
    this.failedIos++;
    const { spec } = this;
    // A reset aborts what is in flight: that is what it is for.
    if (spec.workload === 'reset' && io.status === IoStatus.ABORTED) return;
    const status = io.status === IoStatus.NVME_ERROR ? ` (sct ${io.sct}, sc ${io.sc})` : '';
    const reason = `${ioErrorNames[-io.status] ?? `status ${io.status}`}${status}`;
    this.say([
      `task offset: ${io.offset_blocks} on job bdev=${spec.name} fails`,
      `  ${typeName(io.type)} of ${io.num_blocks} blocks: ${reason}`,
    ]);
    this.failure ??= `a ${typeName(io.type)} at block ${io.offset_blocks} of ${spec.name} failed: ${reason}`;
    if (!spec.continue_on_failure) this.endRun();
  }

  /** Data read are not those written. */
  protected miscompared(block: number, lines: readonly string[]): void {
    const { name, continue_on_failure } = this.spec;
    this.miscompares++;
    this.failedIos++;
    this.say([`Buffer mismatch! Target: ${name} Disk Offset: ${block}`, ...lines]);
    this.failure ??= `data read at block ${block} of ${name} are not those written`;
    if (!continue_on_failure) this.endRun();
  }

  private say(lines: readonly string[]): void {
    if (++this.messages > MESSAGES_MAX) return;
    this.events.print(this, lines);
    if (this.messages === MESSAGES_MAX)
      this.events.print(this, [`  (no more of job ${this.spec.name} is shown)`]);
  }

  /** The job cannot go on. */
  private stopFor(why: string): void {
    this.failure ??= why;
    this.events.print(this, [why]);
    this.endRun();
  }

  private endRun(): void {
    this.events.failed(this);
    this.drain();
  }

  // --- timeouts and resets: not on the path of an I/O ---

  private findLate(): number {
    const limit = this.reactor.now - this.spec.timeout_us * TICKS_PER_US;
    for (let slot = 0; slot < this.ios.length; slot++) {
      const io = this.ios[slot]!;
      const since = io.submitted_at;
      if (io.status !== IoStatus.PENDING || since > limit || this.lateSince[slot] === since) continue;
      this.lateSince[slot] = since;
      this.timeouts++;
      if (this.spec.abort && !this.draining && this.channel.supports(IoType.ABORT)) this.abortIo(io);
    }
    return 0;
  }

  private abortIo(target: BdevIo): void {
    this.submitAside(IoType.ABORT, target, () => {});
  }

  private armReset(period_us: number): void {
    this.resetTimer = this.thread.registerPoller(
      'bdevperf_reset',
      () => {
        this.resetTimer?.unregister();
        this.resetTimer = null;
        this.submitAside(IoType.RESET, null, (ok) => {
          if (!ok) this.stopFor(`Reset blockdev=${this.spec.name} failed`);
          else if (!this.draining) this.armReset(period_us);
        });
        return 1;
      },
      period_us,
    );
  }

  /** Submits an I/O beside the load. */
  private submitAside(type: number, target: BdevIo | null, done: (ok: boolean) => void): void {
    const io = this.channel.getIo();
    if (io === null) {
      done(type !== IoType.RESET);
      return;
    }
    io.type = type;
    io.target = target;
    io.owner = {
      bdevIoDone: () => {
        const ok = io.status === IoStatus.SUCCESS;
        io.free();
        this.inFlight--;
        done(ok);
        if (this.draining && this.inFlight === 0) this.finishSoon();
      },
    };
    this.inFlight++;
    const result = this.channel.submit(io);
    if (result === 0) return;
    io.free();
    this.inFlight--;
    done(false);
  }

  // --- the end ---

  /** Ends the job, once, after the channel's own loop is through. */
  private finishSoon(): void {
    if (this.over) return;
    this.over = true;
    this.endTick = this.reactor.now;
    this.thread.send(() => this.finish());
  }

  private finish(): void {
    for (const poller of this.pollers) poller.unregister();
    for (const io of this.ios) io.free();
    this.close();
    this.events.ended(this);
  }

  /** Gives channel and memory back. For a job that was never started, too. */
  close(): void {
    this.channel.put();
    this.reactor.regions.remove(this.spec.region);
    releaseSharedMemory(this.memory);
  }

  counters(): JobCounters {
    const now = this.over ? this.endTick : this.reactor.now;
    return {
      index: this.spec.index,
      runtime_us: this.startTick === 0 ? 0 : (now - this.startTick) / TICKS_PER_US,
      io_completed: this.completed,
      io_failed: this.failedIos,
      io_timeout: this.timeouts,
      latencies: this.histogram.counts.slice(),
    };
  }

  result(): JobResult {
    return {
      ...this.counters(),
      queue_depth: this.depth,
      miscompares: this.miscompares,
      failure: this.failure,
    };
  }
}

function makePicker(spec: JobSpec, random: Xorshift): RandomMap | Zipf | null {
  if (spec.zipf_theta > 0) return new Zipf(spec.size_in_ios, spec.zipf_theta, random);
  return spec.random_map ? new RandomMap(spec.size_in_ios, random) : null;
}

const typeName = (type: number): string =>
  Object.entries(IoType)
    .find(([, number]) => number === type)?.[0]
    .toLowerCase() ?? `type ${type}`;

const errnoTexts: Record<number, string> = {
  [-1]: 'EPERM (the bdev is read-only)',
  [-22]: 'EINVAL (range, size or alignment)',
  [-95]: 'ENOTSUP (the bdev does not do this)',
};
const errorText = (result: number): string => errnoTexts[result] ?? `errno ${-result}`;
