import { getSystemErrorName } from 'node:util';
import type { RegionTable } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { GuestMemoryError } from './error.ts';
import { checkRange, describeRange, type MemoryRange } from './range.ts';

/** A gather list, as the bdev layer has it. */
export interface GatherList {
  count: number;
  readonly capacity: number;
  push(region: number, offset: number, length: number): void;
}

/** Long ranges become several regions: places in them stay small integers. */
const PIECE_BYTES = 2 ** 30;

/** A part of a range: one region. */
interface Piece {
  readonly address: number;
  /** Address behind it. */
  readonly end: number;
  readonly region: number;
  readonly writable: boolean;
  readonly buffer: ArrayBuffer;
}

interface Mapped {
  readonly range: MemoryRange;
  readonly pieces: readonly Piece[];
}

/**
 * What of another process's memory this thread may use, by its address there. Every byte is looked up in what that
 * process has lent: what is outside is never touched. Other threads map the same descriptors for themselves.
 *
 * The memory changes at any time. Who reads a structure from it copies it first, and then checks the copy.
 */
export class GuestMemory {
  private readonly regions: RegionTable;
  private mapped: Mapped[] = [];
  /** All pieces, in the order of their addresses. */
  private pieces: Piece[] = [];
  /** Where the last one was found: places come in clusters. */
  private last = 0;

  /** What {@link find} found. */
  region = -1;
  offset = 0;

  /** `regions` are those of the calling thread. Throws Error without the addon. */
  constructor(regions: RegionTable) {
    if (native === null) throw new Error('memory of other processes needs the native addon');
    this.regions = regions;
  }

  get ranges(): readonly MemoryRange[] {
    return this.mapped.map((mapped) => mapped.range);
  }

  /** Bytes of all ranges. */
  get bytes(): number {
    return this.mapped.reduce((sum, mapped) => sum + mapped.range.length, 0);
  }

  /** True if the other process took away memory that it had lent (by making its file shorter), and it was touched since. */
  get lost(): boolean {
    return this.pieces.some((piece) => native!.mapLost(piece.buffer));
  }

  /** Maps a range; its descriptor may be closed afterwards. Throws GuestMemoryError, and then nothing is mapped. */
  map(range: MemoryRange): void {
    checkRange(range);
    const { address, length } = range;
    const other = this.mapped.find(
      ({ range: known }) => known.address < address + length && address < known.address + known.length,
    );
    if (other !== undefined) {
      const text = describeRange(other.range.address, other.range.length);
      throw new GuestMemoryError(
        'EEXIST',
        `memory ${describeRange(address, length)}: ${text} is mapped already`,
      );
    }
    const pieces: Piece[] = [];
    try {
      for (let at = 0; at < length; at += PIECE_BYTES)
        pieces.push(this.mapPiece(range, at, Math.min(PIECE_BYTES, length - at)));
    } catch (error) {
      for (const piece of pieces) this.drop(piece);
      const { code, message } = error as NodeJS.ErrnoException;
      const errno =
        error instanceof RangeError || code === undefined ? 'EINVAL' : getSystemErrorName(-Number(code));
      throw new GuestMemoryError(errno, `memory ${describeRange(address, length)}: ${message}`);
    }
    this.mapped.push({ range, pieces });
    this.arrange();
  }

  private mapPiece(range: MemoryRange, at: number, bytes: number): Piece {
    const { fd, offset, writable } = range;
    const address = range.address + at;
    const buffer = native!.mapDescriptor(fd, offset + at, bytes, writable ? 1 : 0);
    const { id } = this.regions.addLocal(new Uint8Array(buffer));
    // A kernel that pinned its pages would keep them when the guest has given them away.
    this.regions.neverPin(id);
    return { address, end: address + bytes, region: id, writable, buffer };
  }

  private drop(piece: Piece): void {
    this.regions.remove(piece.region);
    native!.unmapBuffer(piece.buffer);
  }

  private arrange(): void {
    this.pieces = this.mapped.flatMap((mapped) => mapped.pieces).sort((a, b) => a.address - b.address);
    this.last = 0;
  }

  /** The regions that a range as it was mapped consists of: none if there is none such. */
  regionsOf(address: number, length: number): number[] {
    const mapped = this.mapped.find(({ range }) => range.address === address && range.length === length);
    return mapped === undefined ? [] : mapped.pieces.map(({ region }) => region);
  }

  /** Takes away a range as it was mapped; nothing may use it any more. False if there is none such. */
  unmap(address: number, length: number): boolean {
    const index = this.mapped.findIndex(({ range }) => range.address === address && range.length === length);
    if (index < 0) return false;
    const [gone] = this.mapped.splice(index, 1);
    this.arrange();
    for (const piece of gone!.pieces) this.drop(piece);
    return true;
  }

  /** Takes everything away. */
  clear(): void {
    const { pieces } = this;
    this.mapped = [];
    this.arrange();
    for (const piece of pieces) this.drop(piece);
  }

  /** Index of the piece that has this address, or -1. */
  private indexOf(address: number): number {
    const { pieces, last } = this;
    if (last < pieces.length && address >= pieces[last]!.address && address < pieces[last]!.end) return last;
    let low = 0;
    let high = pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (address >= pieces[middle]!.end) low = middle + 1;
      else high = middle;
    }
    if (low === pieces.length || !(address >= pieces[low]!.address)) return -1;
    this.last = low;
    return low;
  }

  /**
   * The place of a range: true, and `region` and `offset` tell. False if a byte of it is not mapped, if it may not be
   * written while `write`, or if it is not in one piece.
   */
  find(address: number, length: number, write: boolean): boolean {
    const index = this.indexOf(address);
    if (index < 0) return false;
    const piece = this.pieces[index]!;
    if (length > piece.end - address || (write && !piece.writable)) return false;
    this.region = piece.region;
    this.offset = address - piece.address;
    return true;
  }

  /**
   * Appends a range to a gather list, in as many pieces as it has. False if a byte of it is not mapped, if it may not be
   * written while `write`, or if the list has no room: then the list is as it was.
   */
  gather(list: GatherList, address: number, length: number, write: boolean): boolean {
    const { count } = list;
    for (let at = address, left = length; left > 0; ) {
      const index = list.count < list.capacity ? this.indexOf(at) : -1;
      if (index < 0 || (write && !this.pieces[index]!.writable)) {
        list.count = count;
        return false;
      }
      const piece = this.pieces[index]!;
      const bytes = Math.min(left, piece.end - at);
      list.push(piece.region, at - piece.address, bytes);
      at += bytes;
      left -= bytes;
    }
    return true;
  }

  /**
   * A place as words, for queues and rings: valid until the range is unmapped. Null if {@link find} does not find it, or it
   * is not on a dword boundary. `bytes` is a multiple of 4.
   */
  words(address: number, bytes: number, write: boolean): Int32Array | null {
    if (address % 4 !== 0 || !this.find(address, bytes, write)) return null;
    const memory = this.regions.bytes(this.region);
    return new Int32Array(memory.buffer, memory.byteOffset + this.offset, bytes / 4);
  }
}
