import type { RegionTable } from '@spdk-ts/env';

/** A power of two. */
const SLOTS = 256;
const none = new Uint8Array(0);

/**
 * Views of places in regions, kept where the same place is likely to come again: buffers of a pool do, and making a view
 * takes longer than looking one up.
 */
export class PieceViews {
  private readonly regions: RegionTable;
  private readonly views: Uint8Array[] = Array.from({ length: SLOTS }, () => none);
  private readonly region = new Int32Array(SLOTS).fill(-1);
  private readonly offset = new Float64Array(SLOTS);

  constructor(regions: RegionTable) {
    this.regions = regions;
  }

  get(region: number, offset: number, length: number): Uint8Array {
    const whole = this.regions.bytes(region);
    const slot = (Math.floor(offset / 512) + region) & (SLOTS - 1);
    const known = this.views[slot]!;
    if (
      this.region[slot] === region &&
      this.offset[slot] === offset &&
      known.length === length &&
      known.buffer === whole.buffer
    )
      return known;
    const view = whole.subarray(offset, offset + length);
    this.views[slot] = view;
    this.region[slot] = region;
    this.offset[slot] = offset;
    return view;
  }
}
