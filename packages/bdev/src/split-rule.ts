import type { BdevIo } from './bdev-io.ts';
import type { BdevDescription } from './description.ts';
import { IoType } from './io-type.ts';
import type { IoVec } from './iovec.ts';
import { splitBoundary } from './limits.ts';

/** A limit where there is none: more than any I/O has. */
const NONE = Number.MAX_SAFE_INTEGER;
/** What V8 keeps in a field without a box. */
const SMALL_INTEGER_MAX = 2 ** 31 - 1;
const limit = (value: number): number => (value > 0 ? value : NONE);

/** Which I/O a device takes as it is, and how much of a larger one it takes at once: its limits made ready for use. */
export class SplitRule {
  /** False: everything is taken as it is, as far as limits go. */
  readonly limited: boolean;
  /** Blocks of data in one piece of memory up to which reads and writes are taken as they are, wherever they begin. */
  readonly asTheyAre: number;
  readonly block_size: number;
  /** Pieces of memory, and bytes of one. */
  readonly segments: number;
  readonly segment_bytes: number;
  /** Blocks that a write is a multiple of. */
  readonly write_unit: number;
  private readonly readBoundary: number;
  private readonly writeBoundary: number;
  private readonly rwBlocks: number;
  /** Blocks of data in one piece that need no closer look, but for boundaries. */
  private readonly plainBlocks: number;
  private readonly unmapBlocks: number;
  private readonly zeroesBlocks: number;
  private readonly copyBlocks: number;

  constructor(d: BdevDescription) {
    const boundary = splitBoundary(d.optimal_io_boundary, d);
    this.block_size = d.block_size;
    this.segments = limit(d.max_num_segments);
    this.segment_bytes = limit(d.max_segment_size);
    this.write_unit = d.write_unit_size;
    this.readBoundary = boundary;
    this.writeBoundary = d.split_on_write_unit ? d.write_unit_size : boundary;
    this.rwBlocks = limit(d.max_rw_size);
    this.plainBlocks = Math.min(this.rwBlocks, Math.floor(this.segment_bytes / d.block_size));
    this.unmapBlocks = limit(d.max_unmap * Math.max(1, d.max_unmap_segments));
    this.zeroesBlocks = limit(d.max_write_zeroes);
    this.copyBlocks = limit(d.max_copy);
    const anywhere = this.writeBoundary + this.readBoundary === 0 && this.write_unit <= 1;
    const smallest = Math.min(this.plainBlocks, this.segments, this.unmapBlocks, this.zeroesBlocks);
    this.limited = Math.min(smallest, this.copyBlocks) < Math.floor(NONE / d.block_size) || !anywhere;
    this.asTheyAre = anywhere ? Math.min(this.plainBlocks, SMALL_INTEGER_MAX) : 0;
  }

  /** Blocks that an I/O's data are a multiple of: what cannot be split further. */
  unit(type: number): number {
    // Its parts would go to several places.
    if (type === IoType.ZONE_APPEND) return NONE;
    return type === IoType.WRITE ? this.write_unit : 1;
  }

  /** True if the device does not take the I/O as it is, and it can be split. */
  splits(io: BdevIo): boolean {
    const blocks = io.num_blocks;
    switch (io.type) {
      case IoType.READ:
      case IoType.WRITE:
      case IoType.COMPARE: {
        if (blocks <= this.unit(io.type)) return false;
        if (blocks > (io.iovs === null ? this.plainBlocks : this.rwBlocks)) return true;
        const boundary = io.type === IoType.WRITE ? this.writeBoundary : this.readBoundary;
        if (boundary > 0 && (io.offset_blocks % boundary) + blocks > boundary) return true;
        return io.iovs !== null && (this.scattered(io.iovs) || this.oversized(io.iovs));
      }
      case IoType.UNMAP:
        return blocks > this.unmapBlocks;
      case IoType.WRITE_ZEROES:
        return blocks > this.zeroesBlocks;
      case IoType.COPY:
        return blocks > this.copyBlocks;
      default:
        return false;
    }
  }

  /** True if data are in more pieces than the device takes. */
  scattered(iovs: IoVec): boolean {
    return iovs.count > this.segments;
  }

  private oversized(iovs: IoVec): boolean {
    if (this.segment_bytes === NONE) return false;
    for (let i = 0; i < iovs.count; i++) if (iovs.length[i]! > this.segment_bytes) return true;
    return false;
  }

  /** Blocks that the device takes at once of an I/O that has `left` blocks from `at` on; pieces of memory aside. */
  take(type: number, at: number, left: number): number {
    if (type === IoType.UNMAP) return Math.min(left, this.unmapBlocks);
    if (type === IoType.WRITE_ZEROES) return Math.min(left, this.zeroesBlocks);
    if (type === IoType.COPY) return Math.min(left, this.copyBlocks);
    const boundary = type === IoType.WRITE ? this.writeBoundary : this.readBoundary;
    const blocks = Math.min(left, this.rwBlocks);
    return boundary > 0 ? Math.min(blocks, boundary - (at % boundary)) : blocks;
  }
}
