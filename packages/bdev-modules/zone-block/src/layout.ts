import { type BdevDescription, BdevError, Errno } from '@spdk-ts/bdev';
import { PAGE_HEADER_BYTES, RECORD_BYTES } from './format.ts';

/** Where things are on the base. Sizes and places in blocks. */
export interface Layout {
  /** Made when the base was formatted, 32 hexadecimal digits: pages of another format are not ours. */
  readonly format_id: string;
  readonly block_size: number;
  readonly num_zones: number;
  readonly zone_size: number;
  readonly zone_capacity: number;
  readonly zones_per_page: number;
  /** Block of the base where the first zone begins: behind the zones' state. */
  readonly first_block: number;
}

/** Copies of the superblock, at the base's first blocks, and of each page, behind them. */
export const SUPERBLOCKS = 2;
export const COPIES = 2;
/** Zones begin at a multiple of this, so that they are aligned to whatever the base is made of. */
const ALIGNMENT_BYTES = 64 * 1024;
const ZONES_MAX = 1 << 20;

export const pagesOf = ({ num_zones, zones_per_page }: Layout): number =>
  Math.ceil(num_zones / zones_per_page);

/** The block of a page's copy that has this generation: they take turns. */
export const pageBlock = (page: number, generation: number): number =>
  SUPERBLOCKS + page * COPIES + (generation % COPIES);

/** What a new format makes of a base. Throws BdevError EINVAL. */
export function newLayout(
  base: BdevDescription,
  zone_capacity: number,
  optimal_open_zones: number,
  format_id: string,
): Layout {
  const { block_size, num_blocks } = base;
  const zone_size = 2 ** Math.ceil(Math.log2(zone_capacity));
  const zones_per_page = Math.floor((block_size - PAGE_HEADER_BYTES) / RECORD_BYTES);
  const align = Math.max(1, ALIGNMENT_BYTES / block_size);
  const behind = (zones: number): number =>
    Math.ceil((SUPERBLOCKS + Math.ceil(zones / zones_per_page) * COPIES) / align) * align;
  let num_zones = Math.floor(num_blocks / zone_size);
  while (num_zones > 0 && behind(num_zones) + num_zones * zone_size > num_blocks) num_zones--;
  num_zones -= num_zones % optimal_open_zones;
  if (num_zones < 1 || num_zones > ZONES_MAX)
    throw new BdevError(
      Errno.EINVAL,
      `zone_capacity is ${zone_capacity} and optimal_open_zones ${optimal_open_zones}: of the ${num_blocks} blocks of bdev ` +
        `${base.name} that makes ${num_zones} zones of ${zone_size} blocks beside their state; give values that make ` +
        `a multiple of optimal_open_zones from 1 to ${ZONES_MAX}`,
    );
  const first_block = behind(num_zones);
  return { format_id, block_size, num_zones, zone_size, zone_capacity, zones_per_page, first_block };
}
