import type { BdevIo, BdevIoOwner, IoWork } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { SplitRule } from './split-rule.ts';
import type { ThreadContext } from './thread-context.ts';

/** Children of a read, write or compare that are under way at once. */
const DATA_CHILDREN_MAX = 32;
/** ... and of an unmap, write zeroes or copy. */
const RANGE_CHILDREN_MAX = 8;

const DATA_TYPES = (1 << IoType.READ) | (1 << IoType.WRITE) | (1 << IoType.COMPARE);

/**
 * Carries out an I/O that exceeds its device's limits as several that do not: I/Os of the same channel, which are
 * counted there in its stead. It ends when they have; the first failure is its status, and stops further ones.
 * Pooled: one object of its own it always has, so that a split goes on although the thread's pool is empty.
 */
export class Split implements BdevIoOwner, IoWork {
  readonly inLayer = true;
  readonly blocksLocks = true;
  /** For the pool. */
  next: Split | null = null;
  private readonly context: ThreadContext;
  private readonly own: BdevIo;
  private ownBusy = false;
  private readonly children: BdevIo[] = [];

  private channel!: BdevChannel;
  private rule!: SplitRule;
  private parent!: BdevIo;
  private isData = false;
  private unit = 1;
  /** Blocks that a buffer which stands in for unaligned data holds. */
  private buffered = 0;
  /** Copies that overlap themselves: one at a time, if need be from the end. */
  private most = 1;
  private backwards = false;
  /** Blocks that children have, or had. */
  private handed = 0;
  /** Where the data go on: piece, and byte in it. */
  private piece = 0;
  private inside = 0;
  private status: number = IoStatus.SUCCESS;

  constructor(context: ThreadContext) {
    this.context = context;
    this.own = context.takeSpare();
  }

  /** Starts: `buffered` is the most blocks of a child, beside the limits. Called from within submit. */
  begin(channel: BdevChannel, rule: SplitRule, parent: BdevIo, buffered: number): void {
    const type = parent.type;
    const distance = parent.offset_blocks - parent.src_offset_blocks;
    const overlaps = type === IoType.COPY && Math.abs(distance) < parent.num_blocks;
    this.channel = channel;
    this.rule = rule;
    this.parent = parent;
    this.isData = (DATA_TYPES & (1 << type)) !== 0;
    this.unit = rule.unit(type);
    this.buffered = buffered - (buffered % this.unit);
    this.most = overlaps ? 1 : this.isData ? DATA_CHILDREN_MAX : RANGE_CHILDREN_MAX;
    this.backwards = overlaps && distance > 0;
    this.handed = 0;
    this.piece = 0;
    this.inside = 0;
    this.status = IoStatus.SUCCESS;
    this.submitChildren();
    if (this.children.length === 0) this.end(false);
  }

  private submitChildren(): void {
    const parent = this.parent;
    while (
      this.status === IoStatus.SUCCESS &&
      this.handed < parent.num_blocks &&
      this.children.length < this.most
    ) {
      const io = this.ownBusy ? this.channel.getIo() : this.own;
      if (io === null) return;
      if (io === this.own) this.ownBusy = true;
      this.prepare(io);
      this.children.push(io);
      const result = this.channel.submit(io);
      if (result === 0) continue;
      this.status = result === Errno.ENODEV ? IoStatus.ABORTED : IoStatus.FAILED;
      this.release(io);
    }
  }

  private prepare(io: BdevIo): void {
    const parent = this.parent;
    const left = parent.num_blocks - this.handed;
    let blocks = this.rule.take(parent.type, parent.offset_blocks + this.handed, left);
    io.channel = this.channel;
    io.type = parent.type;
    io.owner = this;
    io.fua = parent.fua;
    if (this.isData) {
      blocks = Math.min(blocks, this.buffered);
      blocks = this.takeData(io, blocks - (blocks % this.unit));
    }
    const at = this.backwards ? left - blocks : this.handed;
    io.offset_blocks = parent.offset_blocks + at;
    io.src_offset_blocks = parent.src_offset_blocks + at;
    io.num_blocks = blocks;
    const { description } = this.channel.device;
    if (description.md_size > 0) io.takeMetadata(parent, at, description);
    this.handed += blocks;
  }

  /** Gives a child as many of the next blocks' pieces as the device takes. Returns how many blocks that is. */
  private takeData(io: BdevIo, blocks: number): number {
    const { rule, parent } = this;
    const unit_bytes = this.unit * rule.block_size;
    const fitting = this.fitting(blocks * rule.block_size);
    // A unit in too many pieces: the layer lets a buffer stand in.
    const bytes = Math.max(fitting - (fitting % unit_bytes), unit_bytes);
    io.length = bytes;
    for (let done = 0; done < bytes; ) {
      while (this.pieceLeft === 0) this.nextPiece();
      const count = Math.min(this.pieceLeft, bytes - done, rule.segment_bytes);
      const region = parent.iovs === null ? parent.region : parent.iovs.region[this.piece]!;
      const offset = (parent.iovs === null ? parent.offset : parent.iovs.offset[this.piece]!) + this.inside;
      if (count === bytes) {
        io.region = region;
        io.offset = offset;
      } else {
        io.iovs ??= this.context.takeIovs(Math.ceil(bytes / rule.segment_bytes) + (parent.iovs?.count ?? 1));
        io.iovs.push(region, offset, count);
      }
      done += count;
      this.inside += count;
    }
    return bytes / rule.block_size;
  }

  /** Bytes of the next data, `bytes` at most, that are in as many pieces as the device takes. */
  private fitting(bytes: number): number {
    const { rule, piece, inside } = this;
    let total = 0;
    for (let count = 0; total < bytes && count < rule.segments; count++) {
      while (this.pieceLeft === 0) this.nextPiece();
      const length = Math.min(this.pieceLeft, bytes - total, rule.segment_bytes);
      total += length;
      this.inside += length;
    }
    this.piece = piece;
    this.inside = inside;
    return total;
  }

  private get pieceLeft(): number {
    const { iovs, length } = this.parent;
    return (iovs === null ? length : iovs.length[this.piece]!) - this.inside;
  }
  private nextPiece(): void {
    this.piece++;
    this.inside = 0;
  }

  bdevIoDone(io: BdevIo): void {
    if (io.status !== IoStatus.SUCCESS && this.status === IoStatus.SUCCESS) {
      this.status = io.status;
      this.parent.sct = io.sct;
      this.parent.sc = io.sc;
      this.parent.cdw0 = io.cdw0;
    }
    this.release(io);
    this.submitChildren();
    if (this.children.length === 0) this.end(true);
  }

  private release(io: BdevIo): void {
    const at = this.children.indexOf(io);
    const last = this.children.pop()!;
    if (last !== io) this.children[at] = last;
    if (io.iovs !== null) this.context.giveIovs(io.iovs);
    io.iovs = null;
    if (io === this.own) this.ownBusy = false;
    else io.free();
  }

  /** The parent is to end ABORTED: no more children, and those under way are aborted as far as they can be. */
  abort(): boolean {
    if (this.status === IoStatus.SUCCESS) this.status = IoStatus.ABORTED;
    for (let i = this.children.length - 1; i >= 0; i--) this.channel.abortTarget(this.children[i]!);
    return this.status === IoStatus.ABORTED;
  }

  private end(from_completion: boolean): void {
    const { channel, parent, status } = this;
    this.context.giveSplit(this);
    channel.splitDone(parent, status, from_completion);
  }
}
