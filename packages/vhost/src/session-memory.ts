import type { RegionTable } from '@spdk-ts/env';
import { GuestMemory } from '@spdk-ts/guest-memory';
import type { MemoryRegion } from './protocol/codec.ts';
import { MEM_SLOTS } from './protocol/constants.ts';
import { VhostUserError } from './protocol/errors.ts';
import { type RegionViews, viewsOf } from './virtio/guest-views.ts';
import type { QueueMemory } from './virtio/queue-memory.ts';

/** The memory that one front-end has lent: found by the guest's addresses, or by the front-end's own. */
export class SessionMemory implements QueueMemory {
  readonly guest: GuestMemory;
  readonly views: RegionViews;
  readonly regions: RegionTable;
  private table: MemoryRegion[] = [];

  constructor(regions: RegionTable) {
    this.regions = regions;
    this.guest = new GuestMemory(regions);
    this.views = viewsOf(regions);
  }

  /** Replaces everything. Nothing may use the old memory. Throws if a region cannot be mapped: then there is no memory. */
  replace(table: readonly MemoryRegion[], descriptors: readonly number[]): void {
    this.clear();
    try {
      table.forEach((region, i) => {
        this.add(region, descriptors[i]!);
      });
    } catch (error) {
      this.clear();
      throw error;
    }
  }

  /** Maps one more region; the descriptor stays the caller's. Throws VhostUserError or GuestMemoryError. */
  add(region: MemoryRegion, fd: number): void {
    if (this.table.length >= MEM_SLOTS)
      throw new VhostUserError(`all ${MEM_SLOTS} memory slots are in use: remove a region first`);
    const end = region.user_address + region.size;
    if (this.table.some(({ user_address: at, size }) => at < end && region.user_address < at + size))
      throw new VhostUserError(
        `the memory region at user address 0x${region.user_address.toString(16)} overlaps one that is there`,
      );
    const { guest_address: address, size: length, mmap_offset: offset } = region;
    this.guest.map({ address, length, fd, offset, writable: true });
    this.table.push(region);
  }

  /** Takes a region away. Nothing may use it. Throws VhostUserError if there is none such. */
  remove(region: MemoryRegion): void {
    const index = this.table.findIndex(
      ({ guest_address, user_address, size }) =>
        guest_address === region.guest_address &&
        user_address === region.user_address &&
        size === region.size,
    );
    if (index < 0)
      throw new VhostUserError(
        `there is no memory region of ${region.size} bytes at guest address 0x${region.guest_address.toString(16)}`,
      );
    this.table.splice(index, 1);
    this.guest.unmap(region.guest_address, region.size);
  }

  clear(): void {
    this.table = [];
    this.guest.clear();
  }

  /** The guest's address of what the front-end sees at its own. Throws VhostUserError if it has not lent that. */
  guestAddress(user_address: number, what: string): number {
    for (const { user_address: at, size, guest_address } of this.table)
      if (user_address >= at && user_address - at < size) return guest_address + (user_address - at);
    throw new VhostUserError(
      `the ${what} at user address 0x${user_address.toString(16)} is not in the memory that was lent`,
    );
  }
}
