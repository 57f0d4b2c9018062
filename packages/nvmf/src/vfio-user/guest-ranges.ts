import { closeDescriptor, type DmaMap, DmaMapFlag, type DmaUnmap, Errno } from '@spdk-ts/vfio-user';
import { VfioUserMessage } from './messages.ts';
import type { Parts } from './parts.ts';

/** A range of the guest's memory, and the descriptor that it is mapped with, or -1: it cannot be. */
export interface GuestRange {
  readonly address: number;
  readonly size: number;
  readonly fd: number;
  readonly offset: number;
  readonly writable: boolean;
}

/**
 * What memory a client has lent a session (DMA_MAP). Its descriptors stay open while it is, for reactors that join later. Memory
 * that came without one is remembered, and not used: commands with data there fail.
 */
export class GuestRanges {
  private readonly parts: Parts;
  private readonly most: number;
  private readonly ranges = new Map<number, GuestRange>();

  constructor(parts: Parts, most: number) {
    this.parts = parts;
    this.most = most;
  }

  all(): Iterable<GuestRange> {
    return this.ranges.values();
  }

  map({ address, size, offset, flags }: DmaMap, fd: number, done: (errno: number) => void): void {
    const refuse = (errno: number): void => {
      closeDescriptor(fd);
      done(errno);
    };
    const wrong = this.problem(address, size, flags);
    if (wrong !== 0) {
      refuse(wrong);
      return;
    }
    const writable = (flags & DmaMapFlag.writeable) !== 0;
    const range = { address, size, fd, offset, writable };
    if (fd < 0) {
      this.ranges.set(address, range);
      done(0);
      return;
    }
    const values = [address, size, fd, offset, writable ? 1 : 0];
    this.parts.askAll(VfioUserMessage.MAP, values, (errno) => {
      if (errno === 0) {
        this.ranges.set(address, range);
        done(0);
      } else this.parts.askAll(VfioUserMessage.UNMAP, [address, size], () => refuse(errno));
    });
  }

  /** Why a range cannot be mapped, an errno, or 0. */
  private problem(address: number, size: number, flags: number): number {
    for (const other of this.ranges.values())
      if (other.address < address + size && address < other.address + other.size) return Errno.EEXIST;
    if (this.ranges.size >= this.most) return Errno.ENOSPC;
    return (flags & (DmaMapFlag.readable | DmaMapFlag.writeable)) === 0 ? Errno.EINVAL : 0;
  }

  unmap({ address, size, flags }: DmaUnmap, done: (errno: number) => void): void {
    if (flags !== 0) {
      this.unmapAll([...this.ranges.values()], done);
      return;
    }
    const range = this.ranges.get(address);
    if (range === undefined || range.size !== size) done(Errno.ENOENT);
    else this.unmapAll([range], done);
  }

  private unmapAll(ranges: readonly GuestRange[], done: (errno: number) => void): void {
    let left = ranges.length;
    if (left === 0) done(0);
    for (const range of ranges) {
      this.ranges.delete(range.address);
      this.parts.askAll(VfioUserMessage.UNMAP, [range.address, range.size], () => {
        closeDescriptor(range.fd);
        if (--left === 0) done(0);
      });
    }
  }

  /** Closes the descriptors. No part has anything mapped any more. */
  close(): void {
    for (const { fd } of this.ranges.values()) closeDescriptor(fd);
    this.ranges.clear();
  }
}
