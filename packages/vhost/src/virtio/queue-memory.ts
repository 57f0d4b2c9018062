import type { RegionTable } from '@spdk-ts/env';
import type { GuestMemory } from '@spdk-ts/guest-memory';
import { VhostUserError } from '../protocol/errors.ts';
import type { RegionViews } from './guest-views.ts';

/** Where the parts of a ring are, in the guest's memory. */
export interface RingPlace {
  readonly descriptor: number;
  readonly available: number;
  readonly used: number;
}

/** The memory that a front-end has lent, as its rings use it. */
export interface QueueMemory {
  readonly guest: GuestMemory;
  readonly views: RegionViews;
  readonly regions: RegionTable;
}

/** A piece of memory, as arrays can be laid over it. */
export interface Area {
  readonly buffer: ArrayBufferLike;
  readonly offset: number;
}

/** Finds a part of a ring. Throws VhostUserError if it is not in the guest's memory, in one piece, and aligned. */
export function ringArea(
  { guest, regions }: QueueMemory,
  what: string,
  address: number,
  bytes: number,
  alignment: number,
): Area {
  if (address % alignment !== 0)
    throw new VhostUserError(`the ${what} at 0x${address.toString(16)} is not aligned to ${alignment} bytes`);
  if (!guest.find(address, bytes, true))
    throw new VhostUserError(
      `the ${what}, ${bytes} bytes at 0x${address.toString(16)}, is not in the memory that was lent`,
    );
  const region = regions.bytes(guest.region);
  return { buffer: region.buffer, offset: region.byteOffset + guest.offset };
}
