/** Data of many sizes, written and read back. */
import type { Random } from '@spdk-ts/env';
import type { NvmeQpair } from '@spdk-ts/nvme';
import { crc32c } from '@spdk-ts/nvme-spec';
import { expect } from 'vitest';
import { BLOCK_BYTES, type HostBed } from './host-bed.ts';

/** Fills a place of the bed's memory with random words. Returns its CRC. */
export function fill(bed: HostBed, random: Random, offset: number, length: number): number {
  const view = new DataView(bed.memory.buffer, bed.memory.byteOffset + offset, length);
  for (let at = 0; at < length; at += 4) view.setUint32(at, random.below(2 ** 32), true);
  return crc32c(bed.memory, offset, offset + length);
}

/** Writes and reads back, each size once: `depth` at a time, on places of their own from block `first` on. */
export async function sweep(
  bed: HostBed,
  qpair: NvmeQpair,
  sizes: readonly number[],
  depth: number,
  random: Random,
  first = 0,
): Promise<void> {
  const most = Math.max(...sizes);
  const waiting = [...sizes];
  const lane = async (index: number): Promise<void> => {
    const from = bed.place(most);
    const to = bed.place(most);
    const lba = first + (index * most) / BLOCK_BYTES;
    for (let length = waiting.pop(); length !== undefined; length = waiting.pop()) {
      const wanted = fill(bed, random, from, length);
      expect(await bed.write(qpair, lba, from, length), `write of ${length} bytes`).toBe(0);
      bed.memory.fill(0, to, to + length);
      expect(await bed.read(qpair, lba, to, length), `read of ${length} bytes`).toBe(0);
      expect(crc32c(bed.memory, to, to + length), `${length} bytes at block ${lba}`).toBe(wanted);
    }
  };
  await Promise.all(Array.from({ length: depth }, (_, index) => lane(index)));
}
