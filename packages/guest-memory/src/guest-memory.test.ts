import { closeSync, truncateSync } from 'node:fs';
import { RegionTable } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuestMemory } from './index.ts';

const page = 4096;
const MiB = 2 ** 20;

/** A gather list of at most three pieces. */
const list = (): {
  count: number;
  capacity: number;
  pieces: number[][];
  push(region: number, offset: number, length: number): void;
} => ({
  count: 0,
  capacity: 3,
  pieces: [],
  push(region, offset, length) {
    this.pieces[this.count++] = [region, offset, length];
  },
});

describe.skipIf(native === null)('the memory of a guest', () => {
  let regions: RegionTable;
  let memory: GuestMemory;
  let fd: number;
  beforeEach(() => {
    regions = new RegionTable();
    memory = new GuestMemory(regions);
    fd = native!.memoryFile('guest', 4 * MiB);
  });
  afterEach(() => {
    memory.clear();
    closeSync(fd);
  });
  const map = (address: number, length: number, offset = 0, writable = true): void =>
    memory.map({ address, length, fd, offset, writable });
  const place = (address: number, length: number, write = false): number | null =>
    memory.find(address, length, write) ? memory.offset : null;

  it('is found by its addresses, to the last byte and no further', () => {
    map(0x10_0000, 2 * MiB, MiB);
    map(0x8_0000_0000, MiB); // beyond 32 bits
    expect(place(0x10_0000, 1)).toBe(0);
    expect(place(0x10_0000, 2 * MiB)).toBe(0);
    expect(place(0x10_0000, 2 * MiB + 1)).toBe(null);
    expect(place(0x0f_ffff, 1)).toBe(null);
    expect(place(0x0f_ffff, 2)).toBe(null);
    expect(place(0x30_0000, 1)).toBe(null);
    expect(place(0x2f_ffff, 1)).toBe(2 * MiB - 1);
    expect(place(0x8_0000_0007, 9)).toBe(7);
    expect(place(2 ** 52 - 1, 2)).toBe(null);
    expect(place(Number.NaN, 1)).toBe(null);
    regions.bytes(memory.region)[5] = 1;
    expect(memory.bytes).toBe(3 * MiB);
  });

  it('is the memory of the descriptor, at the offset', () => {
    const owner = new Uint8Array(native!.mapDescriptor(fd, 0, 4 * MiB, 1));
    map(0x4000_0000, MiB, 2 * MiB);
    expect(memory.find(0x4000_0010, 4, true)).toBe(true);
    regions.bytes(memory.region)[memory.offset] = 0x5a;
    expect(owner[2 * MiB + 0x10]).toBe(0x5a);
    const words = memory.words(0x4000_0000, 64, true)!;
    words[15] = 0x0102_0304;
    expect([...owner.subarray(2 * MiB + 60, 2 * MiB + 64)]).toEqual([4, 3, 2, 1]);
    expect(memory.words(0x4000_0002, 4, true)).toBe(null);
    expect(memory.words(0x4000_0000 + MiB - 4, 8, true)).toBe(null);
  });

  it('goes over into the next range in a gather list, and only there', () => {
    map(0x2000, page);
    map(0x3000, page, page);
    expect(place(0x2ffe, 4)).toBe(null);
    const pieces = list();
    expect(memory.gather(pieces, 0x2ffe, 5, true)).toBe(true);
    expect(pieces.pieces.map(([, offset, length]) => [offset, length])).toEqual([
      [page - 2, 2],
      [0, 3],
    ]);
    expect(pieces.pieces[0]![0]).not.toBe(pieces.pieces[1]![0]);
    expect(memory.gather(pieces, 0x3000, page + 1, false)).toBe(false); // the end is not mapped
    expect(pieces.count).toBe(2);
    expect(memory.gather(pieces, 0x2fff, 2, false)).toBe(false); // no room for both
    expect(pieces.count).toBe(2);
    expect(memory.gather(pieces, 0x2fff, 1, false)).toBe(true);
    expect(memory.gather(pieces, 0x2fff, 1, false)).toBe(false);
  });

  it('that may only be read is not found for writing, and takes no change to its owner', () => {
    const owner = new Uint8Array(native!.mapDescriptor(fd, 0, page, 1));
    owner[0] = 9;
    map(0, page, 0, false);
    map(page, page, page);
    expect(place(0, 8)).toBe(0);
    expect(place(0, 8, true)).toBe(null);
    expect(memory.words(0, 8, true)).toBe(null);
    expect(memory.gather(list(), 0, 2 * page, true)).toBe(false);
    expect(memory.gather(list(), 0, 2 * page, false)).toBe(true);
    expect(memory.find(0, 8, false)).toBe(true);
    expect(regions.bytes(memory.region)[0]).toBe(9);
    regions.bytes(memory.region)[0] = 1;
    expect(owner[0]).toBe(9);
  });

  it('is refused where it is wrong, with the reason', () => {
    const refusal = (address: number, length: number, offset = 0, descriptor = fd): unknown => {
      try {
        memory.map({ address, length, fd: descriptor, offset, writable: true });
        return null;
      } catch (error) {
        return `${(error as NodeJS.ErrnoException).code}: ${(error as Error).message}`;
      }
    };
    map(MiB, MiB);
    expect(refusal(MiB + page, page)).toMatch(/^EEXIST: .*0x100000 … 0x1fffff is mapped already/);
    expect(refusal(MiB - page, 2 * page)).toMatch(/^EEXIST/);
    expect(refusal(0, 8 * MiB, 0)).toMatch(/^EEXIST/);
    expect(refusal(0x100, page)).toMatch(/^EINVAL: address 0x100 .*multiple of 4096/);
    expect(refusal(0, 100)).toMatch(/^EINVAL: length 0x64/);
    expect(refusal(0, 0)).toMatch(/^EINVAL: .*no bytes/);
    expect(refusal(2 ** 52 - page, 2 * page)).toMatch(/^EINVAL: .*beyond 2\^52/);
    expect(refusal(2 ** 60, page)).toMatch(/^EINVAL: address/);
    expect(refusal(-page, page)).toMatch(/^EINVAL: address/);
    expect(refusal(4 * MiB, 4 * MiB, page)).toMatch(/^EINVAL: .*does not lie inside the file/);
    const closed = native!.duplicate(fd);
    closeSync(closed);
    expect(refusal(4 * MiB, page, 0, closed)).toMatch(/^EBADF/);
    expect(memory.ranges.length).toBe(1);
    expect(memory.bytes).toBe(MiB);
  });

  it('that is longer than a region is in several', () => {
    const large = native!.memoryFile('large', 2.5 * 2 ** 30);
    memory.map({ address: 2 ** 32, length: 2.5 * 2 ** 30, fd: large, offset: 0, writable: true });
    closeSync(large);
    expect(place(2 ** 32 + 2 ** 30 - 1, 2)).toBe(null);
    const pieces = list();
    expect(memory.gather(pieces, 2 ** 32 + 1, 2 ** 31, true)).toBe(true);
    expect(pieces.pieces.map(([, offset, length]) => [offset, length])).toEqual([
      [1, 2 ** 30 - 1],
      [0, 2 ** 30],
      [0, 1],
    ]);
    expect(place(2 ** 32 + 2.5 * 2 ** 30 - 1, 1)).toBe(2 ** 29 - 1);
  });

  it('is given back range by range, and its regions with it', () => {
    map(0, MiB);
    map(MiB, MiB, MiB);
    memory.find(0, 1, true);
    const { region } = memory;
    const view = regions.bytes(region);
    expect(memory.unmap(0, page)).toBe(false);
    expect(memory.unmap(0, MiB)).toBe(true);
    expect([view.length, regions.bytes(region).length, place(0, 1), place(MiB, 1)]).toEqual([0, 0, null, 0]);
    expect(memory.unmap(0, MiB)).toBe(false);
    map(0, MiB, MiB);
    expect(place(0, 1)).toBe(0);
    memory.clear();
    expect([place(0, 1), place(MiB, 1), memory.bytes]).toEqual([null, null, 0]);
  });

  it('comes and goes more often than there are regions', () => {
    for (let i = 0; i < 40_000; i++) {
      map(0, page);
      memory.unmap(0, page);
    }
    map(0, page);
    expect(place(0, page)).toBe(0);
  });

  it('tells when its owner has cut it off', () => {
    map(0, 2 * MiB);
    memory.find(0, 2 * MiB, true);
    const bytes = regions.bytes(memory.region).fill(1);
    truncateSync(`/proc/self/fd/${fd}`, MiB);
    expect(memory.lost).toBe(false);
    expect([bytes[0], bytes[MiB]]).toEqual([1, 0]);
    expect(memory.lost).toBe(true);
  });

  it('is found again as in a model, whatever the order of ranges', () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1e9);
    console.log(`seed ${seed}`);
    let state = seed;
    const pick = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % below;
    };
    const model = new Array<number>(64).fill(-1); // page → offset in the file, pages
    for (let step = 0; step < 2000; step++) {
      const first = pick(64);
      const count = Math.min(1 + pick(6), 64 - first);
      const known = memory.ranges.find((range) => range.address === first * page);
      if (known !== undefined) {
        memory.unmap(known.address, known.length);
        model.fill(-1, first, first + known.length / page);
      } else if (model.slice(first, first + count).every((at) => at < 0)) {
        const offset = pick(512);
        map(first * page, count * page, offset * page);
        for (let i = 0; i < count; i++) model[first + i] = offset + i;
      }
      const at = pick(64 * page);
      const length = 1 + pick(2 * page);
      const covered = model.slice(Math.floor(at / page), Math.ceil((at + length) / page));
      const inside = at + length <= 64 * page && covered.every((offset) => offset >= 0);
      expect(memory.gather({ ...list(), capacity: 8 }, at, length, true), `seed ${seed}, step ${step}`).toBe(
        inside,
      );
    }
  });
});
