import { type BdevChannel, type BdevDescription, type BdevIo, Errno, IoStatus, IoType } from '@spdk-ts/bdev';
import type { Bench } from './bench.ts';
import { fillContent, ZEROES } from './content.ts';
import { Framing } from './framing.ts';
import { type Place, plain, Scratch, type Shape } from './scratch.ts';
import { Versions, type Write } from './versions.ts';

export type OpType = 'read' | 'write' | 'zeroes' | 'unmap' | 'copy' | 'compare' | 'flush';

/** An I/O as a test wants it; offsets and lengths in blocks. */
export interface Op {
  readonly type: OpType;
  readonly at: number;
  readonly blocks: number;
  /** Copy: where to read from. */
  readonly from?: number;
  readonly fua?: boolean;
  /** How its data lie in memory. `own`: a read that brings no memory. */
  readonly shape?: Shape | 'own';
  /** Compare: the byte that differs. */
  readonly miss?: number;
  /** The reactor whose channel takes it. */
  readonly reactor?: number;
}

export const ioTypes: Record<OpType, number> = {
  read: IoType.READ,
  write: IoType.WRITE,
  zeroes: IoType.WRITE_ZEROES,
  unmap: IoType.UNMAP,
  copy: IoType.COPY,
  compare: IoType.COMPARE,
  flush: IoType.FLUSH,
};

/** NVMe's statuses of a comparison that failed, media errors (2): 85h, or that protection information is wrong. */
const isMiscompare = (io: BdevIo, protects: boolean): boolean =>
  io.status === IoStatus.MISCOMPARE ||
  (io.status === IoStatus.NVME_ERROR &&
    io.sct === 2 &&
    (io.sc === 0x85 || (protects && io.sc >= 0x82 && io.sc <= 0x84)));

/** An I/O under way, or ended. */
export class Job {
  readonly op: Op;
  readonly io: BdevIo;
  readonly start: number;
  place: Place | null = null;
  /** Of metadata that lie apart from the data. */
  metadata: Place | null = null;
  write: Write | null = null;
  done = false;
  status: number = IoStatus.PENDING;

  constructor(op: Op, io: BdevIo, start: number) {
    this.op = op;
    this.io = io;
    this.start = start;
  }
}

/** What is promised of a bdev's data. */
export interface Promises {
  /** What is read beside a write under way may have bytes of both within a sector. */
  readonly mixes?: boolean;
  /** Of keys: what a value does not fill of the buffer that it is read into is cleared, not left as it is. */
  readonly fills_buffers?: boolean;
  /** What is written can be read. */
  readonly data: boolean;
  /** What an unmapped block reads as. */
  readonly unmapped: 'zeroes' | 'anything';
}

/** A part of a bdev that tests write to, blocks. */
export interface Area {
  readonly first: number;
  readonly count: number;
}

export const show = (op: Op): string => {
  const shape =
    op.shape === undefined || op.shape === 'own' ? (op.shape ?? 'plain') : JSON.stringify(op.shape);
  const more = [
    op.from === undefined ? '' : ` from ${op.from}`,
    op.fua ? ' with FUA' : '',
    op.miss === undefined ? '' : ` that differs at byte ${op.miss}`,
    shape === 'plain' ? '' : ` (memory: ${shape})`,
  ];
  return `${op.type} of ${op.blocks} blocks at ${op.at}${more.join('')}`;
};

/**
 * Gives I/O to a bdev's channels, one on each of two reactors, and holds what comes back against a model: data,
 * statuses, memory around the data, callbacks at the wrong time. What is wrong is collected, and thrown by
 * {@link drain}.
 */
export class Harness {
  readonly bench: Bench;
  readonly description: BdevDescription;
  readonly channels: readonly BdevChannel[];
  readonly scratch: readonly Scratch[];
  readonly versions: Versions;
  readonly area: Area;
  /** Statuses that are right beside the expected one. */
  tolerated: readonly number[] = [];
  /** What has ended, and how, by status. */
  readonly ends = new Map<number, number>();
  jobs: Job[] = [];
  readonly problems: string[] = [];
  private readonly promises: Promises;
  private readonly atomsPerBlock: number;
  private readonly framing: Framing | null;
  private submitting = false;
  /** Ranges whose content must not change while they are copied from or compared with. */
  private readonly pinned = new Set<Job>();

  constructor(bench: Bench, description: BdevDescription, area: Area, promises: Promises) {
    this.bench = bench;
    this.description = description;
    this.area = area;
    this.promises = promises;
    const { block_size, writes_at_once } = description;
    // Whoever has a write's data at once takes blocks as a whole. Of others, a block may be more than the medium's.
    const plain_bytes = writes_at_once || block_size % 512 !== 0 ? block_size : 512;
    this.framing = Framing.of(description);
    // Protection information, and metadata that lie apart, are about whole blocks.
    const atom_bytes = this.framing === null ? plain_bytes : this.framing.data_block_size;
    this.atomsPerBlock = this.framing === null ? block_size / atom_bytes : 1;
    this.versions = new Versions(
      area.first * this.atomsPerBlock,
      area.count * this.atomsPerBlock,
      atom_bytes,
    );
    this.channels = [0, 1].map((index) => bench.channel(description, index));
    this.scratch = [0, 1].map((index) => new Scratch(bench.reactor(index), bench.host.allocateRegionId()));
  }

  channelOf(op: Op): BdevChannel {
    return this.channels[op.reactor ?? 0]!;
  }

  supports(type: OpType): boolean {
    return this.channels[0]!.supports(ioTypes[type]);
  }

  /** What is promised of it, or what it says of itself. */
  private get zeroesUnmapped(): boolean {
    return this.promises.unmapped === 'zeroes' || this.description.unmap_zeroes;
  }

  private atoms(at: number): number {
    return at * this.atomsPerBlock;
  }

  private bytes(op: Op): number {
    return op.blocks * this.description.block_size;
  }

  /** True if the layer may refuse it for want of a buffer that is large enough. */
  private mayBeTooLong(op: Op): boolean {
    const { reads_in_place, required_alignment, block_size } = this.description;
    if (op.blocks * block_size <= this.bench.reactor(0).buffers.max_bytes) return false;
    if (op.shape === 'own') return !reads_in_place;
    return required_alignment > 0;
  }

  /** A write's range, or null if it writes nothing. */
  private beginWrite(op: Op): Write | null {
    const { versions } = this;
    const first = this.atoms(op.at);
    const count = this.atoms(op.blocks);
    const fua = op.fua ?? false;
    switch (op.type) {
      case 'write': {
        const content = versions.newContents(count);
        return versions.begin(
          first,
          count,
          Array.from({ length: count }, (_, i) => content + i),
          fua,
        );
      }
      case 'zeroes':
        return versions.begin(first, count, ZEROES, fua);
      case 'unmap':
        return versions.begin(first, count, this.zeroesUnmapped ? ZEROES : -1, fua);
      case 'copy':
        return versions.begin(first, count, versions.read(this.atoms(op.from!), count), fua);
      default:
        return null;
    }
  }

  /** The data of a write or compare, in its place. */
  private fill(job: Job): void {
    const { op, write, place } = job;
    const { versions } = this;
    const words = versions.atom_bytes / 4;
    const count = this.atoms(op.blocks);
    const data = new Int32Array(count * words);
    const contents = write === null ? versions.read(this.atoms(op.at), count) : write.contents;
    for (let i = 0; i < count; i++) fillContent(data, i * words, words, (contents as readonly number[])[i]!);
    const { framing } = this;
    const framed = framing?.wrap(new Uint8Array(data.buffer), op.at);
    const bytes = framed?.data ?? new Uint8Array(data.buffer);
    if (job.metadata !== null) job.metadata.scatter(framed!.metadata!);
    if (op.miss !== undefined) bytes[op.miss]! ^= 0x10;
    place!.scatter(bytes);
  }

  private overlaps(job: Job, at: number, blocks: number): boolean {
    const first = job.op.type === 'copy' ? job.op.from! : job.op.at;
    return first < at + blocks && at < first + job.op.blocks;
  }

  /** True if it cannot be told what it would do beside what is under way. */
  blocked(op: Op): boolean {
    if (op.type === 'read' || op.type === 'flush') return false;
    if (op.type === 'copy' || op.type === 'compare') {
      const first = this.atoms(op.type === 'copy' ? op.from! : op.at);
      const count = this.atoms(op.blocks);
      if (this.versions.busy(first, count)) return true;
      if (op.type === 'compare') return false;
    }
    for (const job of this.pinned) if (this.overlaps(job, op.at, op.blocks)) return true;
    return false;
  }

  /**
   * Submits an I/O. Null: it cannot be now (no I/O object, no memory, or it is to be compared with what cannot be
   * known). Otherwise it was submitted, or refused with an errno.
   */
  start(op: Op): Job | number | null {
    if (this.blocked(op)) return null;
    if (op.type === 'compare' && this.promises.data) if (!this.comparable(op)) return null;
    const channel = this.channelOf(op);
    const with_place =
      op.type === 'write' || op.type === 'compare' || (op.type === 'read' && op.shape !== 'own');
    const shape = op.shape === undefined || op.shape === 'own' ? plain : op.shape;
    const place = with_place ? this.scratch[op.reactor ?? 0]!.take(this.bytes(op), shape) : null;
    if (with_place && place === null) return null;
    const io = channel.getIo();
    if (io === null) {
      if (place !== null) this.scratch[op.reactor ?? 0]!.give(place);
      return null;
    }
    const write = this.beginWrite(op);
    const job = new Job(op, io, write?.start ?? this.versions.now());
    job.place = place;
    job.write = write;
    job.metadata = this.placeOfMetadata(op, place);
    if (op.type === 'write' || op.type === 'compare') this.fill(job);
    io.type = ioTypes[op.type];
    io.offset_blocks = op.at;
    io.num_blocks = op.blocks;
    io.src_offset_blocks = op.from ?? 0;
    io.fua = op.fua ?? false;
    if (place !== null) {
      io.region = place.region;
      io.offset = place.offset;
      io.length = place.length;
      io.iovs = place.iovs;
    }
    if (job.metadata !== null) {
      io.md_region = job.metadata.region;
      io.md_offset = job.metadata.offset;
    }
    io.owner = { bdevIoDone: () => this.ended(job) };
    this.jobs.push(job);
    if (op.type === 'copy' || op.type === 'compare') this.pinned.add(job);
    this.submitting = true;
    const result = channel.submit(io);
    this.submitting = false;
    if (result === 0) return job;
    this.release(job);
    if (write !== null) this.versions.forget(write);
    io.free();
    return result;
  }

  /** True if it is known what a block is, bytes of metadata within it included. */
  private comparable({ at, blocks }: Op): boolean {
    const first = this.atoms(at);
    const count = this.atoms(blocks);
    if (!this.versions.certain(first, count)) return false;
    // Zeroes may have been unmapped, and then have the protection information of that.
    return this.framing?.within !== true || !this.versions.read(first, count).includes(ZEROES);
  }

  /** Where metadata that lie apart go, or null: what the layer makes and checks by itself needs none at times. */
  private placeOfMetadata(op: Op, place: Place | null): Place | null {
    const { framing } = this;
    if (framing === null || framing.separate_md === 0 || place === null || op.type === 'compare') return null;
    if (framing.protects && (op.at + op.blocks) % 3 === 0) return null;
    return this.scratch[op.reactor ?? 0]!.take(op.blocks * framing.separate_md, plain);
  }

  private release(job: Job): void {
    const scratch = this.scratch[job.op.reactor ?? 0]!;
    if (job.place !== null) scratch.give(job.place);
    if (job.metadata !== null) scratch.give(job.metadata);
    this.pinned.delete(job);
    this.jobs = this.jobs.filter((other) => other !== job);
  }

  private problem(job: Job, what: string): void {
    this.problems.push(`${show(job.op)}: ${what}`);
  }

  private ended(job: Job): void {
    const { io, op } = job;
    if (this.submitting) this.problem(job, 'its owner was told from within submit');
    if (job.done) this.problem(job, 'its owner was told twice');
    job.done = true;
    job.status = io.status;
    this.ends.set(io.status, (this.ends.get(io.status) ?? 0) + 1);
    const ok = io.status === IoStatus.SUCCESS;
    if (!this.expected(job)) this.problem(job, `ended with status ${io.status} (sct ${io.sct}, sc ${io.sc})`);
    if (ok && op.type === 'read' && this.promises.data) this.checkRead(job);
    if (ok && op.type === 'flush') this.versions.flushed(job.start);
    if (job.place !== null && !job.place.guarded) this.problem(job, 'memory around its data was written to');
    if (job.metadata !== null && !job.metadata.guarded)
      this.problem(job, 'memory around its metadata was written to');
    if (job.write !== null) this.versions.end(job.write, ok);
    this.release(job);
    io.free();
  }

  private expected(job: Job): boolean {
    const { io, op } = job;
    if (this.tolerated.includes(io.status)) return true;
    if (op.type !== 'compare') return io.status === IoStatus.SUCCESS;
    const missed = isMiscompare(io, this.framing?.protects === true);
    if (!this.promises.data) return io.status === IoStatus.SUCCESS || missed;
    return op.miss === undefined ? io.status === IoStatus.SUCCESS : missed;
  }

  /** The data that a read brought, wherever they lie. */
  private dataOf(job: Job): Uint8Array {
    const { io, place, op } = job;
    if (place !== null) return place.gather();
    const { regions } = this.bench.reactor(op.reactor ?? 0);
    const parts: Uint8Array[] = [];
    if (io.iovs === null) parts.push(regions.bytes(io.region).subarray(io.offset, io.offset + io.length));
    else
      for (let i = 0; i < io.iovs.count; i++) {
        const offset = io.iovs.offset[i]!;
        parts.push(regions.bytes(io.iovs.region[i]!).subarray(offset, offset + io.iovs.length[i]!));
      }
    return new Uint8Array(Buffer.concat(parts));
  }

  private checkRead(job: Job): void {
    const { op } = job;
    const data = this.dataOf(job);
    if (data.length !== this.bytes(op)) {
      this.problem(job, `brought ${data.length} bytes`);
      return;
    }
    // A place in the module's own memory changes while it is looked at.
    const in_place = op.shape === 'own' && this.description.reads_in_place;
    const mixes = this.promises.mixes === true || in_place;
    // ... and then its protection information is of no data.
    if (in_place && this.framing !== null && !this.versions.certain(this.atoms(op.at), this.atoms(op.blocks)))
      return;
    const words = new Int32Array(this.plainOf(job, data).slice().buffer);
    const wrong = this.versions.check(this.atoms(op.at), this.atoms(op.blocks), words, job.start, mixes);
    if (wrong !== '') this.problem(job, wrong);
  }

  /** What was read, without metadata, which are held against it. */
  private plainOf(job: Job, data: Uint8Array): Uint8Array {
    const { framing } = this;
    if (framing === null) return data;
    const { op } = job;
    const { plain: bytes, problem } = framing.unwrap(
      { data, metadata: job.metadata?.gather() ?? null },
      op.at,
    );
    if (problem !== '') this.problem(job, problem);
    return bytes;
  }

  /** Submits an I/O as soon as that can be. It must not be refused, save for its length. */
  async submit(op: Op): Promise<Job | null> {
    let job = this.start(op);
    if (job === null) {
      await this.bench.until(`a chance to submit a ${show(op)}`, () => {
        if (job === null) job = this.start(op);
        return job !== null || (this.jobs.length === 0 && op.type === 'compare');
      });
    }
    if (typeof job === 'number' && !(job === Errno.EINVAL && this.mayBeTooLong(op)))
      throw new Error(`${show(op)} was refused with errno ${job}`);
    return typeof job === 'number' ? null : job;
  }

  /** Does an I/O from beginning to end. Returns its status, or null if it was too long. */
  async run(op: Op): Promise<number | null> {
    const job = await this.submit(op);
    await this.drain();
    return job?.status ?? null;
  }

  /** Waits for everything, and throws what was wrong. */
  async drain(): Promise<void> {
    await this.bench.until('I/O to end', () => this.jobs.length === 0);
    this.throwProblems();
    this.versions.settle();
  }

  throwProblems(): void {
    if (this.problems.length === 0) return;
    const problems = this.problems.splice(0);
    const more = problems.length > 5 ? [`… and ${problems.length - 5} more`] : [];
    throw new Error([...problems.slice(0, 5), ...more].join('\n'));
  }

  /** Reads the whole area in steps, and holds it against the model; doubts about it end. */
  async check(): Promise<void> {
    const { first, count } = this.area;
    const { block_size } = this.description;
    const step = Math.max(1, Math.floor((1024 * 1024) / block_size));
    for (let done = 0; done < count; done += step)
      await this.submit({ type: 'read', at: first + done, blocks: Math.min(step, count - done) });
    await this.drain();
  }

  /** Writes data that are known to the whole area. */
  async writeAll(): Promise<void> {
    const { first, count } = this.area;
    const step = Math.max(1, Math.floor((1024 * 1024) / this.description.block_size));
    for (let done = 0; done < count; done += step)
      await this.submit({ type: 'write', at: first + done, blocks: Math.min(step, count - done) });
    await this.drain();
  }

  /** Gives back what it holds. */
  close(): void {
    for (const channel of this.channels) channel.put();
    for (const scratch of this.scratch) scratch.destroy();
  }
}
