import type { BufferPool, RegionTable } from '@spdk-ts/env';
import type { BdevIo } from './bdev-io.ts';
import { copyFromIo, copyToIo } from './gather.ts';
import { IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { IoVec } from './iovec.ts';
import type { Memory } from './memory.ts';

/*
 * A buffer of the pool stands in for an I/O's data that are not aligned as the module requires. Meanwhile the I/O
 * names the buffer as its place, and keeps where its data are.
 */

/** True if data of so many bytes lie in registered memory: in one piece, or in pieces that add up to it. */
export function placeValid(
  regions: RegionTable,
  region: number,
  offset: number,
  iovs: IoVec | null,
  bytes: number,
): boolean {
  if (iovs === null) return region >= 0 && regions.contains(region, offset, bytes);
  let total = 0;
  for (let i = 0; i < iovs.count; i++) {
    const length = iovs.length[i]!;
    if (iovs.region[i]! < 0 || !regions.contains(iovs.region[i]!, iovs.offset[i]!, length)) return false;
    total += length;
  }
  return total === bytes;
}

/** True if the address of every piece, and the length of all but a single one, are multiples of `mask` + 1. */
export function placeAligned(
  regions: RegionTable,
  region: number,
  offset: number,
  iovs: IoVec | null,
  mask: number,
): boolean {
  if (mask === 0) return true;
  if (iovs === null) return regions.aligned(region, offset, mask);
  for (let i = 0; i < iovs.count; i++) {
    if (!regions.aligned(iovs.region[i]!, iovs.offset[i]!, mask)) return false;
    if ((iovs.length[i]! & mask) !== 0) return false;
  }
  return true;
}

/** The I/O is to have a buffer. */
export function beginBounce(io: BdevIo, bytes: number): void {
  io.bounced = true;
  io.bouncedRegion = io.region;
  io.bouncedOffset = io.offset;
  io.bouncedIovs = io.iovs;
  io.length = bytes;
}

/** It has its buffer, which takes a write's data. */
export function enterBounce(memory: Memory, io: BdevIo, region: number, buffer: number): void {
  if (io.type !== IoType.READ) {
    copyFromIo(memory, io, 0, region, buffer, io.length);
    memory.settle();
  }
  io.iovs = null;
  io.bounceBuffer = buffer;
}

/** It has ended, with or without a buffer: a read's data go where they belong, and it names its own place again. */
export function endBounce(memory: Memory, io: BdevIo, buffers: BufferPool): void {
  const buffer = io.bounceBuffer;
  io.bounced = false;
  io.bounceBuffer = -1;
  io.region = io.bouncedRegion;
  io.offset = io.bouncedOffset;
  io.iovs = io.bouncedIovs;
  io.bouncedIovs = null;
  if (buffer < 0) return;
  if (io.type === IoType.READ && io.status === IoStatus.SUCCESS) {
    copyToIo(memory, io, 0, buffers.region, buffer, io.length);
    memory.settle();
  }
  buffers.put(buffer);
}
