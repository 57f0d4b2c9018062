import type { BufferPool, RegionTable } from '@spdk-ts/env';
import type { Reactor } from '@spdk-ts/reactor';
import type { BdevIo } from './bdev-io.ts';
import { placeAligned, placeValid } from './bounce.ts';
import type { BdevDescription } from './description.ts';
import { IoType, ioTypeMask } from './io-type.ts';
import { SplitRule } from './split-rule.ts';

const WITH_DATA = ioTypeMask(IoType.READ, IoType.WRITE, IoType.COMPARE, IoType.ZONE_APPEND);
const WITH_TWO = ioTypeMask(IoType.COMPARE_AND_WRITE);

/** What becomes of the data of an I/O that is not plain: refused, moved through a buffer, given to the module in parts. */
export class DataRule {
  readonly limits: SplitRule;
  private readonly regions: RegionTable;
  private readonly buffers: BufferPool;
  private readonly block_size: number;
  /** Low bits of a place's address that must be 0 for the module. */
  private readonly mask: number;
  private readonly in_place: boolean;
  private readonly acwu: number;
  /** Bytes of a block's metadata where they are separate, else 0. */
  readonly separate_md: number;

  constructor(reactor: Reactor, description: BdevDescription) {
    this.limits = new SplitRule(description);
    this.regions = reactor.regions;
    this.buffers = reactor.buffers;
    this.block_size = description.block_size;
    this.mask = 2 ** description.required_alignment - 1;
    this.in_place = description.reads_in_place;
    this.acwu = description.acwu;
    this.separate_md = description.md_interleave ? 0 : description.md_size;
  }

  /** A read that leaves the place of its data to the layer or the module. */
  wantsPlace(io: BdevIo): boolean {
    return io.type === IoType.READ && io.iovs === null && io.region < 0;
  }

  /** True if the data of an I/O lie where they can be, and what needs a buffer can have one. */
  accepts(io: BdevIo): boolean {
    const type = 1 << io.type;
    const bytes = io.num_blocks * this.block_size;
    if (io.type === IoType.ZCOPY) return bytes > 0;
    if (((WITH_DATA | WITH_TWO) & type) === 0) return true;
    if (!this.acceptsMetadata(io)) return false;
    const most = this.buffers.max_bytes;
    if (this.wantsPlace(io)) return bytes <= most || (this.in_place && !this.splits(io));
    if (io.iovs === null && io.length !== bytes) return false;
    if (!placeValid(this.regions, io.region, io.offset, io.iovs, bytes)) return false;
    if ((WITH_TWO & type) !== 0)
      return (
        io.num_blocks <= this.acwu &&
        placeValid(this.regions, io.write_region, io.write_offset, io.write_iovs, bytes)
      );
    return bytes <= most || this.limits.unit(io.type) * this.block_size <= most || !this.bounces(io);
  }

  private acceptsMetadata(io: BdevIo): boolean {
    if (this.separate_md === 0 || io.md_region < 0) return true;
    return this.regions.contains(io.md_region, io.md_offset, io.num_blocks * this.separate_md);
  }

  /** True if a write is whole write units. */
  wholeUnits(io: BdevIo): boolean {
    const unit = this.limits.write_unit;
    return unit === 1 || (io.offset_blocks % unit === 0 && io.num_blocks % unit === 0);
  }

  /** True if the module can have the data as they are: aligned, and in no more pieces than it takes. */
  private suits(region: number, offset: number, iovs: BdevIo['iovs']): boolean {
    if (iovs !== null && this.limits.scattered(iovs)) return false;
    return placeAligned(this.regions, region, offset, iovs, this.mask);
  }

  /** True if a buffer must stand in for an I/O's data. */
  bounces(io: BdevIo): boolean {
    return (WITH_DATA & (1 << io.type)) !== 0 && !this.suits(io.region, io.offset, io.iovs);
  }

  /** True if the module can have both data of a compare-and-write as they are. */
  suitBoth(io: BdevIo): boolean {
    return (
      this.suits(io.region, io.offset, io.iovs) && this.suits(io.write_region, io.write_offset, io.write_iovs)
    );
  }

  /** True if an I/O goes to the module as several: it exceeds limits, or would need too large a buffer. */
  splits(io: BdevIo): boolean {
    if (this.limits.limited && this.limits.splits(io)) return true;
    const bytes = io.num_blocks * this.block_size;
    return bytes > this.bounceBytes && io.num_blocks > this.limits.unit(io.type) && this.bounces(io);
  }

  /** Blocks that a part of an I/O may have, so that it finds a buffer if it needs one. */
  bufferedBlocks(io: BdevIo): number {
    const data = (WITH_DATA & (1 << io.type)) !== 0;
    if (!data || placeAligned(this.regions, io.region, io.offset, io.iovs, this.mask))
      return Number.MAX_SAFE_INTEGER;
    return Math.floor(this.bounceBytes / this.block_size);
  }

  /** Bytes of the largest buffer that may stand in for data. */
  private get bounceBytes(): number {
    return Math.min(this.buffers.max_bytes, this.limits.segment_bytes);
  }
}
