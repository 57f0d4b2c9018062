import { DifCheck, type DifLayout, DifType } from './format.ts';
import { Guard } from './guard.ts';
import type { Pieces } from './pieces.ts';

const WORD = 0x1_0000_0000;
/** The application tag that turns checks off. */
export const APPTAG_ESCAPE = 0xffff;

/** What a range's protection information is generated with, or checked against. */
export interface DifTags {
  /**
   * Reference tag of the first block, an integer below 2^53; the next ones count up (type 3: all have the same). What
   * does not fit the tag is cut off.
   */
  ref_tag: number;
  /** 16 bits. */
  app_tag: number;
  /** The bits of the application tag that are checked. */
  app_tag_mask: number;
}

/** The protection information of one block: big-endian bytes, and the rules for each field. */
export class PiCodec {
  readonly layout: DifLayout;
  readonly bytes = new Uint8Array(16);
  private readonly guard: Guard;
  /** Upper and lower half of the last field that was taken apart or computed. */
  high = 0;
  low = 0;

  constructor(layout: DifLayout) {
    this.layout = layout;
    this.guard = new Guard(layout.format);
  }

  /** Computes the guard of a block whose data begin at `at`, and whose metadata begin at `md_at`. */
  computeGuard(data: Pieces, at: number, md: Pieces, md_at: number): void {
    const { data_block_size, guarded_md_bytes } = this.layout;
    this.guard.start();
    data.guard(this.guard, at, data_block_size);
    if (guarded_md_bytes > 0) md.guard(this.guard, md_at, guarded_md_bytes);
    this.high = this.guard.high;
    this.low = this.guard.low;
  }

  /** Computes the reference tag of a block, counted from the range's first. */
  computeRefTag(ref_tag: number, block: number): void {
    const { type, ref_bytes } = this.layout;
    const tag = type === DifType.TYPE_3 ? ref_tag : ref_tag + block;
    this.low = (tag % WORD) >>> 0;
    const high = Math.floor(tag / WORD) % WORD;
    this.high = ref_bytes === 4 ? 0 : ref_bytes === 6 ? high & 0xffff : high >>> 0;
  }

  /** Writes `high` and `low` as `length` bytes. */
  private put(offset: number, length: number): void {
    for (let i = 0; i < length; i++) {
      const shift = 8 * (length - 1 - i);
      this.bytes[offset + i] = shift >= 32 ? this.high >>> (shift - 32) : this.low >>> shift;
    }
  }

  private take(offset: number, length: number): void {
    let high = 0;
    let low = 0;
    for (let i = 0; i < length; i++) {
      high = (high << 8) | (low >>> 24);
      low = (low << 8) | this.bytes[offset + i]!;
    }
    this.high = high >>> 0;
    this.low = low >>> 0;
  }

  putGuard(): void {
    this.put(0, this.layout.guard_bytes);
  }
  takeGuard(): void {
    this.take(0, this.layout.guard_bytes);
  }

  /** The application tag, and zeroes as the storage tag behind it. */
  putAppTag(app_tag: number): void {
    const { guard_bytes, ref_offset } = this.layout;
    this.bytes.fill(0, guard_bytes, ref_offset);
    this.bytes[guard_bytes] = app_tag >>> 8;
    this.bytes[guard_bytes + 1] = app_tag;
  }
  get app_tag(): number {
    const { guard_bytes } = this.layout;
    return (this.bytes[guard_bytes]! << 8) | this.bytes[guard_bytes + 1]!;
  }

  putRefTag(): void {
    this.put(this.layout.ref_offset, this.layout.ref_bytes);
  }
  takeRefTag(): void {
    this.take(this.layout.ref_offset, this.layout.ref_bytes);
  }

  /** All tags as a deallocated block has them: nothing is checked. The guard stays. */
  putEscape(): void {
    this.bytes.fill(0xff, this.layout.guard_bytes, this.layout.pi_bytes);
  }

  /**
   * True if the tags turn the checks of this block off: the application tag is FFFFh, and with type 3 the reference
   * tag all ones as well.
   */
  get escaped(): boolean {
    if (this.app_tag !== APPTAG_ESCAPE) return false;
    if (this.layout.type !== DifType.TYPE_3) return true;
    for (let i = this.layout.ref_offset; i < this.layout.pi_bytes; i++)
      if (this.bytes[i] !== 0xff) return false;
    return true;
  }

  /** The checks that mean something: type 3 gives its reference tag to whoever writes. */
  effective(checks: number): number {
    return this.layout.type === DifType.TYPE_3 ? checks & ~DifCheck.REFTAG : checks;
  }
}
