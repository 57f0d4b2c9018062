import type { IoVec } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import type { Native } from '@spdk-ts/native';

/** Most pieces that the kernel takes in one call (IOV_MAX). */
const PIECES_MAX = 1024;
const PIECE_WORDS = 4;

/** A gather list as the kernel wants it (struct iovec), in memory that does not move. */
export class KernelIoVec {
  /** Where the list is. */
  address = 0;
  private words = new Uint32Array(0);
  private readonly native: Native;

  constructor(native: Native) {
    this.native = native;
  }

  /** Makes it the pieces of `iovs` from byte `skip` on. Returns how many; if there were too many, the rest is missing. */
  fill(regions: RegionTable, iovs: IoVec, skip: number): number {
    const room = Math.min(iovs.count, PIECES_MAX);
    if (this.words.length < room * PIECE_WORDS) {
      this.words = new Uint32Array(new ArrayBuffer(room * PIECE_WORDS * 4));
      this.address = this.native.addressOf(this.words);
    }
    const words = this.words;
    let pieces = 0;
    for (let i = 0; i < iovs.count && pieces < room; i++) {
      const length = iovs.length[i]!;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const address = regions.address(iovs.region[i]!, iovs.offset[i]! + skip);
      const at = pieces++ * PIECE_WORDS;
      words[at] = address; // ToUint32: the low word
      words[at + 1] = address / 0x1_0000_0000;
      words[at + 2] = length - skip;
      words[at + 3] = 0;
      skip = 0;
    }
    return pieces;
  }

  /** Ends a list of so many pieces after `bytes` bytes, which it has at least. Returns how many pieces are left. */
  cut(pieces: number, bytes: number): number {
    const { words } = this;
    let left = bytes;
    for (let piece = 0; piece < pieces; piece++) {
      const at = piece * PIECE_WORDS + 2;
      if (words[at]! < left) {
        left -= words[at]!;
        continue;
      }
      words[at] = left;
      return piece + 1;
    }
    return pieces;
  }
}
