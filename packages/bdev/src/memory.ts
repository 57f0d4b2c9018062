import { Batch, type RegionTable } from '@spdk-ts/env';

/** Up to here a loop over words is faster than `set` with its two views, bytes. */
const WORD_LOOP_BYTES = 1024;
/** Offsets beyond are not 32 bit integers. */
const MAX_SMALL = 2 ** 31;
/** From here on a native comparison is worth its two views. */
const COMPARE_BYTES = 256;
const LINE_WORDS = 16;
const none = { bytes: new Uint8Array(0), words: new Int32Array(0) };

/** A region's bytes, and the same as words where they are aligned for it. */
interface View {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

function viewOf(bytes: Uint8Array): View {
  const aligned = bytes.byteOffset % 4 === 0;
  const words = new Int32Array(
    bytes.buffer,
    aligned ? bytes.byteOffset : 0,
    aligned ? bytes.length >>> 2 : 0,
  );
  return { bytes, words };
}

/**
 * Copies, clears and compares memory: places are a region and a byte offset, which the caller has checked to lie
 * inside the region. What is put off is carried out by {@link settle}, which the layer calls before it tells any
 * owner that an I/O is complete.
 */
export class Memory {
  private readonly regions: RegionTable;
  private readonly views: View[] = [];
  /** What is put off; null without the addon, where copies are made at once. */
  private readonly batch: Batch | null;
  /** Written so that the loads that warm the cache are not optimized away. */
  touched = 0;

  constructor(regions: RegionTable) {
    this.regions = regions;
    this.batch = regions.batchTable === undefined ? null : new Batch(regions);
  }

  private view(id: number): View {
    const bytes = this.regions.bytes(id);
    if (id < this.views.length) {
      const known = this.views[id]!;
      if (known.bytes === bytes) return known;
    }
    while (this.views.length <= id) this.views.push(none);
    const made = viewOf(bytes);
    this.views[id] = made;
    return made;
  }

  /** Lets go of regions that were removed. */
  trim(): void {
    for (let id = 0; id < this.views.length; id++)
      if (this.views[id]!.bytes !== this.regions.bytes(id)) this.views[id] = none;
  }

  copy(to: number, to_offset: number, from: number, from_offset: number, length: number): void {
    const target = this.view(to);
    const source = this.view(from);
    if (
      length <= WORD_LOOP_BYTES &&
      to !== from &&
      ((to_offset | from_offset) & 3) === 0 &&
      to_offset < MAX_SMALL &&
      from_offset < MAX_SMALL &&
      (length & 15) === 0 &&
      target.words.length > 0 &&
      source.words.length > 0
    ) {
      this.copyWords(target.words, to_offset >> 2, source.words, from_offset >> 2, length >> 2);
      return;
    }
    if (to === from) target.bytes.copyWithin(to_offset, from_offset, from_offset + length);
    else target.bytes.set(source.bytes.subarray(from_offset, from_offset + length), to_offset);
  }

  private copyWords(to: Int32Array, t: number, from: Int32Array, f: number, words: number): void {
    // One load from each cache line first: they miss together, not one after the other.
    let touched = 0;
    for (let i = 0; i < words; i += LINE_WORDS) touched ^= from[f + i]!;
    this.touched = touched;
    for (let i = 0; i < words; i += 4) {
      const a = from[f + i]!;
      const b = from[f + i + 1]!;
      const c = from[f + i + 2]!;
      const d = from[f + i + 3]!;
      to[t + i] = a;
      to[t + i + 1] = b;
      to[t + i + 2] = c;
      to[t + i + 3] = d;
    }
  }

  /**
   * Copies at some time until the next {@link settle}: many at once are cheaper. For an I/O that is then completed:
   * its owner hears of that after the copy.
   */
  copyLater(to: number, to_offset: number, from: number, from_offset: number, length: number): void {
    if (this.batch === null) this.copy(to, to_offset, from, from_offset, length);
    else this.batch.copy(to, to_offset, from, from_offset, length);
  }

  /** The same for a destination that is not read soon. */
  copyAwayLater(to: number, to_offset: number, from: number, from_offset: number, length: number): void {
    if (this.batch === null) this.copy(to, to_offset, from, from_offset, length);
    else this.batch.copyAway(to, to_offset, from, from_offset, length);
  }

  /** Carries out what was put off. */
  settle(): void {
    if (this.batch !== null) this.batch.run();
  }

  clear(region: number, offset: number, length: number): void {
    this.view(region).bytes.fill(0, offset, offset + length);
  }

  /** True if both places hold the same bytes. */
  equal(a: number, a_offset: number, b: number, b_offset: number, length: number): boolean {
    const x = this.view(a).bytes;
    const y = this.view(b).bytes;
    if (length >= COMPARE_BYTES)
      return (
        Buffer.compare(x.subarray(a_offset, a_offset + length), y.subarray(b_offset, b_offset + length)) === 0
      );
    for (let i = 0; i < length; i++) if (x[a_offset + i] !== y[b_offset + i]) return false;
    return true;
  }
}
