import type { Memory } from '@spdk-ts/bdev';
import type { Pieces } from '@spdk-ts/dif';
import { discardSharedMemory, type RegionTable, type SharedMemory } from '@spdk-ts/env';
import type { Segment } from './context.ts';

const PAGE_BYTES = 4096;

/** One linear space of bytes over segments. Offsets and lengths are those of the bdev, and inside it. */
export class Segments {
  private starts: number[] = [];
  private ends: number[] = [];
  private regions: number[] = [];
  private memories: SharedMemory[] = [];
  private readonly memory: Memory;

  constructor(memory: Memory, segments: readonly Segment[]) {
    this.memory = memory;
    this.set(segments);
  }

  set(segments: readonly Segment[]): void {
    this.starts = [];
    this.ends = [];
    this.regions = segments.map(({ region }) => region);
    this.memories = segments.map(({ memory }) => memory);
    let at = 0;
    for (const { bytes } of segments) {
      this.starts.push(at);
      at += bytes;
      this.ends.push(at);
    }
  }

  /** The segment that an offset lies in. */
  find(offset: number): number {
    let index = 0;
    while (offset >= this.ends[index]! && index < this.ends.length - 1) index++;
    return index;
  }

  region(index: number): number {
    return this.regions[index]!;
  }
  start(index: number): number {
    return this.starts[index]!;
  }
  end(index: number): number {
    return this.ends[index]!;
  }

  clear(offset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const index = this.find(at);
      const count = Math.min(length - done, this.ends[index]! - at);
      this.memory.clear(this.regions[index]!, at - this.starts[index]!, count);
      done += count;
    }
  }

  /** Clears, and gives the memory of whole pages back to the system. */
  discard(offset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const index = this.find(at);
      const count = Math.min(length - done, this.ends[index]! - at);
      const start = at - this.starts[index]!;
      const first = Math.min(start + count, Math.ceil(start / PAGE_BYTES) * PAGE_BYTES);
      const last = Math.max(first, Math.floor((start + count) / PAGE_BYTES) * PAGE_BYTES);
      this.memory.clear(this.regions[index]!, start, first - start);
      this.memory.clear(this.regions[index]!, last, start + count - last);
      if (!discardSharedMemory(this.memories[index]!, first, last - first))
        this.memory.clear(this.regions[index]!, first, last - first);
      done += count;
    }
  }

  /** Makes `pieces` a range. */
  pieces(pieces: Pieces, regions: RegionTable, offset: number, length: number): Pieces {
    pieces.clear();
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const index = this.find(at);
      const count = Math.min(length - done, this.ends[index]! - at);
      pieces.push(regions.bytes(this.regions[index]!), at - this.starts[index]!, count);
      done += count;
    }
    return pieces;
  }

  /** Copies within the space; `backwards` when the target lies behind the source. */
  copy(to: number, from: number, length: number, backwards: boolean): void {
    for (let left = length; left > 0; ) {
      const done = length - left;
      // Forwards the next byte is the first of what is left; backwards, the last.
      const t = backwards ? to + left - 1 : to + done;
      const f = backwards ? from + left - 1 : from + done;
      const ti = this.find(t);
      const fi = this.find(f);
      const room = backwards
        ? Math.min(t - this.starts[ti]!, f - this.starts[fi]!) + 1
        : Math.min(this.ends[ti]! - t, this.ends[fi]! - f);
      const count = Math.min(left, room);
      const t0 = (backwards ? t - count + 1 : t) - this.starts[ti]!;
      const f0 = (backwards ? f - count + 1 : f) - this.starts[fi]!;
      this.memory.copy(this.regions[ti]!, t0, this.regions[fi]!, f0, count);
      left -= count;
    }
  }
}
