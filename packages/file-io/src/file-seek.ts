import type { BdevDescription } from '@spdk-ts/bdev';
import type { Native } from '@spdk-ts/native';

const ENXIO = -6;

/**
 * The first block from `at` on that has data, or with `hole` one that has none; -1: there is none. A negative errno below -1
 * if the file system cannot tell.
 */
export function seekBlock(
  addon: Native,
  fd: number,
  { block_size, num_blocks }: Pick<BdevDescription, 'block_size' | 'num_blocks'>,
  at: number,
  hole: boolean,
): number {
  const end = num_blocks * block_size;
  for (let offset = at * block_size; offset < end; ) {
    const found = addon.seekFile(fd, offset, hole ? 1 : 0);
    if (found === ENXIO) return -1;
    if (found < 0) return found;
    if (found >= end) return -1;
    if (!hole) return Math.floor(found / block_size);
    // A block is in the hole if all of it is.
    const block = Math.ceil(found / block_size);
    const data = addon.seekFile(fd, found, 0);
    if (data < 0 && data !== ENXIO) return data;
    if (data < 0 || data >= (block + 1) * block_size) return block < num_blocks ? block : -1;
    offset = data;
  }
  return -1;
}
