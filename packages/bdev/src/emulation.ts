import { type BdevIo, type BdevIoOwner, IoState, type IoWork } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { ioEquals } from './gather.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType, ioTypeMask } from './io-type.ts';
import { ZERO_BYTES } from './options.ts';

const READ_AND_WRITE = ioTypeMask(IoType.READ, IoType.WRITE);
const FROM_READ: readonly number[] = [IoType.COMPARE, IoType.SEEK_DATA, IoType.SEEK_HOLE];
/** Types that take both. */
const FROM_BOTH = ioTypeMask(IoType.COPY, IoType.COMPARE_AND_WRITE, IoType.ZCOPY);

/** True if the layer can do a type with the types that a module has. */
export function emulates(type: number, module_types: number): boolean {
  if (type === IoType.WRITE_ZEROES) return (module_types & (1 << IoType.WRITE)) !== 0;
  if (FROM_READ.includes(type)) return (module_types & (1 << IoType.READ)) !== 0;
  if (type === IoType.UNMAP) return (module_types & (1 << IoType.WRITE_ZEROES)) !== 0;
  return (FROM_BOTH & (1 << type)) !== 0 && (module_types & READ_AND_WRITE) === READ_AND_WRITE;
}

/** Blocks that are done at once for an I/O. */
function pieceBlocks(channel: BdevChannel, type: number): number {
  if (type === IoType.UNMAP) return Number.MAX_SAFE_INTEGER;
  const bytes = type === IoType.WRITE_ZEROES ? ZERO_BYTES : channel.reactor.buffers.max_bytes;
  const unit = channel.device.description.write_unit_size;
  return Math.max(1, Math.floor(bytes / channel.block_size / unit)) * unit;
}

/**
 * Does write zeroes, compare or copy with reads and writes, a piece at a time, for modules that lack them, and
 * unmap with the module's own write zeroes. The pieces are I/Os of the same channel and are counted there; they
 * do not come from the thread's pool, so that they go on when that is empty.
 */
export class Emulation implements BdevIoOwner, IoWork {
  readonly inLayer = true;
  readonly blocksLocks = true;
  private readonly channel: BdevChannel;
  private readonly parent: BdevIo;
  private readonly pieceBlocks: number;
  /** Copies whose target overlaps what is still to be read go from the end. */
  private readonly backwards: boolean;
  private doneBlocks = 0;
  private aborted = false;
  /** Of a copy's piece: the read that holds the data while they are written. */
  private data: BdevIo | null = null;

  constructor(channel: BdevChannel, parent: BdevIo) {
    this.channel = channel;
    this.parent = parent;
    this.pieceBlocks = pieceBlocks(channel, parent.type);
    this.backwards = parent.type === IoType.COPY && parent.offset_blocks > parent.src_offset_blocks;
  }

  start(): void {
    this.step();
  }

  /** Starts the next piece, or ends. */
  private step(): void {
    if (this.aborted || this.doneBlocks === this.parent.num_blocks) {
      this.end(IoStatus.SUCCESS);
      return;
    }
    const io = this.channel.takeSpare();
    const parent = this.parent;
    const blocks = this.blocks;
    const at = this.at;
    io.owner = this;
    io.num_blocks = blocks;
    if (this.data !== null) {
      io.type = IoType.WRITE;
      io.offset_blocks = parent.offset_blocks + at;
      io.region = this.data.region;
      io.offset = this.data.offset;
      io.length = this.data.length;
      io.iovs = this.data.iovs;
    } else if (parent.type === IoType.WRITE_ZEROES) {
      io.type = IoType.WRITE;
      io.offset_blocks = parent.offset_blocks + at;
      io.region = this.channel.device.zeroRegion;
      io.length = blocks * this.channel.block_size;
      io.fua = parent.fua;
    } else if (parent.type === IoType.UNMAP) {
      io.type = IoType.WRITE_ZEROES;
      io.offset_blocks = parent.offset_blocks + at;
    } else {
      io.type = IoType.READ;
      io.offset_blocks = (parent.type === IoType.COPY ? parent.src_offset_blocks : parent.offset_blocks) + at;
    }
    const result = this.channel.submit(io);
    if (result === 0) return;
    this.channel.giveSpare(io);
    // Where the bdev is being removed, what has not been done yet is aborted, as what waits in queues is.
    this.end(result === Errno.ENODEV ? IoStatus.ABORTED : IoStatus.FAILED);
  }

  private get blocks(): number {
    return Math.min(this.pieceBlocks, this.parent.num_blocks - this.doneBlocks);
  }
  /** First block of the current piece, from the parent's first. */
  private get at(): number {
    return this.backwards ? this.parent.num_blocks - this.doneBlocks - this.blocks : this.doneBlocks;
  }

  bdevIoDone(io: BdevIo): void {
    const status = io.status;
    if (status === IoStatus.NVME_ERROR) {
      this.parent.sct = io.sct;
      this.parent.sc = io.sc;
    }
    if (io.type === IoType.READ && status === IoStatus.SUCCESS && this.parent.type === IoType.COPY) {
      this.data = io;
      this.step();
      return;
    }
    const differs = io.type === IoType.READ && status === IoStatus.SUCCESS && !this.matches(io);
    this.channel.giveSpare(io);
    this.releaseData();
    if (status !== IoStatus.SUCCESS || differs) {
      this.end(differs ? IoStatus.MISCOMPARE : status);
      return;
    }
    this.doneBlocks += this.blocks;
    this.step();
  }

  private matches(io: BdevIo): boolean {
    const skip = this.doneBlocks * this.channel.block_size;
    const memory = this.channel.device.memory;
    const pieces = io.iovs;
    if (pieces === null) return ioEquals(memory, this.parent, skip, io.region, io.offset, io.length);
    let at = skip;
    for (let i = 0; i < pieces.count; i++) {
      const length = pieces.length[i]!;
      if (!ioEquals(memory, this.parent, at, pieces.region[i]!, pieces.offset[i]!, length)) return false;
      at += length;
    }
    return true;
  }

  private releaseData(): void {
    if (this.data === null) return;
    this.channel.giveSpare(this.data);
    this.data = null;
  }

  /** The parent is to end ABORTED: after the piece that is under way. */
  abort(): boolean {
    this.aborted = true;
    return true;
  }

  private end(status: number): void {
    this.releaseData();
    // Whoever aborted it was told that it ends so, whatever its last piece came to.
    const said = this.aborted ? IoStatus.ABORTED : status;
    if (this.parent.state === IoState.SUBMITTED) this.channel.workDone(this.parent, said);
  }
}
