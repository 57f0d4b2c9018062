import type { BdevIo } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import { crc32c } from '@spdk-ts/nvme-spec';

/** CRC32C of a place, continued from `crc` (0 at first): by the addon where it is there. */
export function crcOf(
  regions: RegionTable,
  region: number,
  offset: number,
  length: number,
  crc: number,
): number {
  if (length === 0) return crc;
  if (regions.batchTable !== undefined) return regions.crc32c(region, offset, length, crc) >>> 0;
  return crc32c(regions.bytes(region), offset, offset + length, crc);
}

/** The same of the first bytes of an I/O's data. */
export function crcOfIo(regions: RegionTable, io: BdevIo, length: number, crc: number): number {
  const { iovs } = io;
  if (iovs === null) return crcOf(regions, io.region, io.offset, length, crc);
  let left = length;
  let result = crc;
  for (let i = 0; i < iovs.count && left > 0; i++) {
    const count = Math.min(left, iovs.length[i]!);
    result = crcOf(regions, iovs.region[i]!, iovs.offset[i]!, count, result);
    left -= count;
  }
  return result;
}
