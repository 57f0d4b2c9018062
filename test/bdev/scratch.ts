import { IoVec } from '@spdk-ts/bdev';
import { allocateSharedMemory, attachSharedMemory, type Random, releaseSharedMemory } from '@spdk-ts/env';
import type { Reactor } from '@spdk-ts/reactor';

const PAGE_BYTES = 4096;
/** Lies before, between and behind pieces, and must stay. */
const GUARD = 0xa5;
const GUARD_BYTES = 16;
const PIECES_MAX = 64;

/** How an I/O's data lie in memory. */
export interface Shape {
  /** Bytes of each piece but the last, which takes the rest. Empty: a single piece, and no gather list. */
  readonly cuts: readonly number[];
  /** Bytes by which the first piece is off a page. */
  readonly skew: number;
}

/** A single piece, aligned for everything. */
export const plain: Shape = { cuts: [], skew: 0 };

/** Memory that one I/O's data lie in. */
export class Place {
  readonly region: number;
  readonly bytes: Uint8Array;
  /** Where the memory begins and ends, guards included. */
  readonly from: number;
  readonly to: number;
  readonly iovs: IoVec | null;
  readonly offset: number;
  readonly length: number;

  constructor(region: number, bytes: Uint8Array, from: number, length: number, shape: Shape) {
    this.region = region;
    this.bytes = bytes;
    this.from = from;
    this.length = length;
    this.offset = from + PAGE_BYTES + shape.skew;
    const iovs = new IoVec(shape.cuts.length + 1);
    let at = this.offset;
    let left = length;
    for (const cut of shape.cuts) {
      if (cut >= left) break;
      iovs.push(region, at, cut);
      at += cut + GUARD_BYTES;
      left -= cut;
    }
    iovs.push(region, at, left);
    this.to = at + left + GUARD_BYTES;
    this.iovs = shape.cuts.length === 0 ? null : iovs;
    bytes.fill(GUARD, this.offset - GUARD_BYTES, this.to);
  }

  /** Calls with each piece: its offset in the region, its offset in the data, its bytes. */
  private each(fn: (offset: number, skip: number, count: number) => void): void {
    const { iovs } = this;
    if (iovs === null) {
      fn(this.offset, 0, this.length);
      return;
    }
    let skip = 0;
    for (let i = 0; i < iovs.count; i++) {
      fn(iovs.offset[i]!, skip, iovs.length[i]!);
      skip += iovs.length[i]!;
    }
  }

  scatter(data: Uint8Array): void {
    this.each((offset, skip, count) => this.bytes.set(data.subarray(skip, skip + count), offset));
  }

  gather(): Uint8Array {
    const data = new Uint8Array(this.length);
    this.each((offset, skip, count) => data.set(this.bytes.subarray(offset, offset + count), skip));
    return data;
  }

  /** True if the memory around the pieces is as it was. */
  get guarded(): boolean {
    let right = true;
    this.each((offset, _skip, count) => {
      for (let i = 1; i <= GUARD_BYTES; i++)
        if (this.bytes[offset - i] !== GUARD || this.bytes[offset + count + i - 1] !== GUARD) right = false;
    });
    return right;
  }
}

/** A reactor's memory for the data of tests. */
export class Scratch {
  readonly region: number;
  private readonly reactor: Reactor;
  private readonly bytes: Uint8Array;
  private places: Place[] = [];

  constructor(reactor: Reactor, region: number, bytes = 32 * 1024 * 1024) {
    this.reactor = reactor;
    this.region = region;
    const memory = allocateSharedMemory(bytes);
    this.bytes = attachSharedMemory(memory);
    releaseSharedMemory(memory);
    reactor.regions.add(region, this.bytes);
  }

  /** Memory for `length` bytes, or null if too much is in use. */
  take(length: number, shape: Shape): Place | null {
    const cuts = shape.cuts.slice(0, PIECES_MAX);
    const needed = 3 * PAGE_BYTES + length + cuts.length * GUARD_BYTES;
    let at = 0;
    let index = 0;
    for (; index < this.places.length && this.places[index]!.from - at < needed; index++)
      at = Math.ceil(this.places[index]!.to / PAGE_BYTES) * PAGE_BYTES;
    if (at + needed > this.bytes.length) return null;
    const place = new Place(this.region, this.bytes, at, length, { cuts, skew: shape.skew });
    this.places.splice(index, 0, place);
    return place;
  }

  give(place: Place): void {
    this.places = this.places.filter((other) => other !== place);
  }

  destroy(): void {
    this.reactor.regions.remove(this.region);
  }
}

/** A shape for `length` bytes: mostly a few pieces of odd lengths, half of them off any alignment. */
export function randomShape(random: Random, length: number): Shape {
  const pieces = [0, 0, 1, 2, 3, 8, 40][random.below(7)]!;
  const unit = [1, 4, 512][random.below(3)]!;
  const most = Math.max(1, Math.ceil((2 * length) / (pieces + 1) / unit));
  const cuts = Array.from({ length: pieces }, () => (1 + random.below(most)) * unit);
  return { cuts, skew: [0, 0, 0, 512, 4, 1 + random.below(4000)][random.below(6)]! };
}
