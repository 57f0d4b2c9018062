import type { BdevIo } from './bdev-io.ts';
import type { Memory } from './memory.ts';

/*
 * An I/O's data against a plain place in memory, whatever pieces the data are in. `skip` is where in the data to
 * begin; data and place have `length` bytes from there on.
 */

/** Copies from an I/O's data (a write's) to a place: later, see {@link Memory.copyLater}. */
export function copyFromIo(
  memory: Memory,
  io: BdevIo,
  skip: number,
  to: number,
  to_offset: number,
  length: number,
): void {
  const iovs = io.iovs;
  if (iovs === null) {
    memory.copyAwayLater(to, to_offset, io.region, io.offset + skip, length);
    return;
  }
  let at = 0;
  let done = 0;
  for (let i = 0; i < iovs.count && done < length; i++) {
    const piece = iovs.length[i]!;
    const inside = Math.max(0, skip + done - at);
    if (inside < piece) {
      const count = Math.min(piece - inside, length - done);
      memory.copyAwayLater(to, to_offset + done, iovs.region[i]!, iovs.offset[i]! + inside, count);
      done += count;
    }
    at += piece;
  }
}

/** Copies from a place to an I/O's data (a read's): later, see {@link Memory.copyLater}. */
export function copyToIo(
  memory: Memory,
  io: BdevIo,
  skip: number,
  from: number,
  from_offset: number,
  length: number,
): void {
  const iovs = io.iovs;
  if (iovs === null) {
    memory.copyLater(io.region, io.offset + skip, from, from_offset, length);
    return;
  }
  let at = 0;
  let done = 0;
  for (let i = 0; i < iovs.count && done < length; i++) {
    const piece = iovs.length[i]!;
    const inside = Math.max(0, skip + done - at);
    if (inside < piece) {
      const count = Math.min(piece - inside, length - done);
      memory.copyLater(iovs.region[i]!, iovs.offset[i]! + inside, from, from_offset + done, count);
      done += count;
    }
    at += piece;
  }
}

/** True if an I/O's data are the same as what a place holds. */
export function ioEquals(
  memory: Memory,
  io: BdevIo,
  skip: number,
  region: number,
  offset: number,
  length: number,
): boolean {
  const iovs = io.iovs;
  if (iovs === null) return memory.equal(io.region, io.offset + skip, region, offset, length);
  let at = 0;
  let done = 0;
  for (let i = 0; i < iovs.count && done < length; i++) {
    const piece = iovs.length[i]!;
    const inside = Math.max(0, skip + done - at);
    if (inside < piece) {
      const count = Math.min(piece - inside, length - done);
      if (!memory.equal(iovs.region[i]!, iovs.offset[i]! + inside, region, offset + done, count))
        return false;
      done += count;
    }
    at += piece;
  }
  return true;
}
