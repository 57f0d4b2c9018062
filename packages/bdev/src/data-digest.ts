import type { RegionTable } from '@spdk-ts/env';
import { CRC32C_INIT, crc32cFinalize, crc32cUpdate } from '@spdk-ts/nvme-spec';
import type { IoVec } from './iovec.ts';

/** Where data is: one place, or a gather list. */
export interface DataPlace {
  readonly iovs: IoVec | null;
  readonly region: number;
  readonly offset: number;
}

/** CRC32C, by the addon where it is there, over `length` bytes of data from byte `from` on. */
export function dataDigest(regions: RegionTable, data: DataPlace, from: number, length: number): number {
  const { iovs } = data;
  if (iovs === null) return placeDigest(regions, data.region, data.offset + from, length);
  let crc = CRC32C_INIT;
  let skip = from;
  let left = length;
  for (let i = 0; i < iovs.count && left > 0; i++) {
    const piece = iovs.length[i]!;
    if (skip < piece) {
      const start = iovs.offset[i]! + skip;
      const taken = Math.min(piece - skip, left);
      crc = crc32cUpdate(crc, regions.bytes(iovs.region[i]!), start, start + taken);
      left -= taken;
      skip = 0;
    } else skip -= piece;
  }
  return crc32cFinalize(crc);
}

/** The same over one place. */
export function placeDigest(regions: RegionTable, region: number, offset: number, length: number): number {
  if (regions.batchTable !== undefined) return regions.crc32c(region, offset, length, 0);
  return crc32cFinalize(crc32cUpdate(CRC32C_INIT, regions.bytes(region), offset, offset + length));
}
