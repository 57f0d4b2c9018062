import { hidden, option, optional, positional, required, set, t } from './types.ts';

/*
 * Parameters that many bdev modules' methods have in common, so that they are spelled and explained alike. For the
 * schemas of modules; a module with other needs describes its own.
 */

const mib = 1024 * 1024;

export const bdevFields = {
  /** Required name of a bdev of some kind, positional. */
  name: (kind: string) => required(t.string, `Name of the ${kind} bdev.`, { cli: positional }),
  /** Size in MiB, which exists on the command line only: see {@link blocksOfMib}. */
  totalSize: (text: string) => ({
    total_size: required(t.number, text, { unit: 'MiB', cli: positional }),
  }),
  newSize: required(t.u64, 'New size.', { unit: 'MiB', cli: positional }),
  uuid: optional(t.uuid, 'Identity of the bdev; keep it the same over restarts.', {
    default: 'random',
    cli: option('-u, --uuid'),
  }),
  blockSize: required(t.u32, 'Data in a block: a power of two from 512 to 65536.', {
    unit: 'bytes',
    cli: positional,
  }),
  numBlocks: required(t.u64, 'Number of blocks.', { cli: hidden }),
  physicalBlockSize: optional(t.u32, 'Size within which a write is atomic.', {
    unit: 'bytes',
    default: 'block_size',
    cli: option('-p, --physical-block-size'),
  }),
  mdSize: optional(t.u32, 'Metadata of a block.', {
    unit: 'bytes',
    default: '0',
    cli: option('-m, --md-size'),
  }),
  difType: optional(t.i32, 'Protection information: 0 none, 1 to 3 the types of NVMe; needs md_size.', {
    default: '0',
    cli: option('-t, --dif-type'),
  }),
  difIsHead: optional(t.bool, 'Protection information comes first in the metadata.', {
    default: 'false',
    cli: set('-d, --dif-is-head-of-md'),
  }),
  /** Limits of key-value bdevs. */
  kv: {
    max_key_len: optional(t.u32, 'Longest key: 1 to 16.', {
      unit: 'bytes',
      default: '16',
      cli: option('-k, --max-key-len'),
    }),
    max_value_len: optional(t.u32, 'Longest value.', {
      unit: 'bytes',
      default: '1048576, or the capacity',
      cli: option('-l, --max-value-len'),
    }),
    max_num_keys: optional(t.u64, 'Most keys. Each takes about 50 bytes of memory when it is there.', {
      default: 'one a block',
      cli: option('-n, --max-num-keys'),
    }),
  },
  difFormat: optional(t.u32, 'Guard of 16 (0), 32 (1) or 64 (2) bits.', {
    default: '0',
    cli: option('-f, --dif-pi-format'),
  }),
};

/** Parameters of bdevs that can have zones, which SPDK's cannot. */
export const zoneFields = {
  zone_size: optional(
    t.u64,
    'Makes the bdev zoned: from the start of a zone to that of the next. It must divide num_blocks. Behind the write pointers a malloc bdev reads as zeroes. Not in SPDK.',
    { unit: 'blocks', default: '0: not zoned', cli: option('--zone-size') },
  ),
  zone_capacity: optional(t.u64, 'Blocks of a zone that can be written.', {
    unit: 'blocks',
    default: 'zone_size',
    cli: option('--zone-capacity'),
  }),
  max_open_zones: optional(t.u32, 'Most zones open at once; 0 for any number.', {
    default: '0',
    cli: option('--max-open-zones'),
  }),
  max_active_zones: optional(t.u32, 'Most zones open or closed at once; 0 for any number.', {
    default: '0',
    cli: option('--max-active-zones'),
  }),
};

/** Parameters of bdevs that are made of a file or a block device. */
export const fileBdevFields = {
  filename: required(t.string, 'Path of the file or block device.', { cli: positional }),
  block_size: optional(
    t.u32,
    'Data in a block: a power of two from 512 to 65536. A regular file needs it; a block device has its own.',
    { unit: 'bytes', default: "the block device's", cli: positional },
  ),
  uuid: optional(t.uuid, 'Identity of the bdev.', {
    default: "made of the file's path: the same over restarts",
    cli: option('-u, --uuid'),
  }),
  readonly: optional(t.bool, 'Refuse writes.', { default: 'false', cli: set('-r, --readonly') }),
};

/** Parameters of bdevs that are put on another. */
export const stackedBdevFields = {
  base_bdev_name: required(t.string, 'Name, alias or UUID of the base bdev.', {
    cli: option('-b, --base-bdev-name'),
  }),
  uuid: optional(t.uuid, 'Identity of the bdev.', {
    default: 'made of that of the base',
    cli: option('-u, --uuid'),
  }),
};
/** What the texts of the calls that make them end with. */
export const comesWithBase = 'If the base bdev is not there yet, the bdev appears together with it.';

const noDevice = [-19, 'No such bdev of this module.'] as const;
const exists = [-17, 'There is a bdev of that name or UUID.'] as const;

/** Errors that these methods have in common. */
export const bdevErrors = {
  noDevice,
  exists,
  onBase: [
    [-17, 'It is configured already, or there is a bdev of that name or UUID.'],
    [-1, 'The base bdev is claimed by another module.'],
  ],
  onFile: [
    exists,
    [-2, 'The file does not exist.'],
    [-13, 'The file may not be opened.'],
    [-16, 'Another process or bdev uses the file.'],
    [-22, 'A size that cannot be, or no block_size for a regular file.'],
  ],
  rescan: [
    noDevice,
    [-16, 'The file has become smaller while the bdev is open.'],
    [-22, 'The file has less than one block.'],
  ],
} as const;

/** What methods that remove a bdev of some kind by its name have in common. */
export const deleting = (kind: string) =>
  ({
    decodeError: -32603,
    params: { name: bdevFields.name(kind) },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }) as const;

/**
 * For `cli.toParams`: `total_size` in MiB and `block_size` on the command line are `num_blocks` on the wire. Throws an
 * Error for the user if that is not at least one block.
 */
export function blocksOfMib({ total_size, ...rest }: Record<string, unknown>): Record<string, unknown> {
  const blockSize = rest['block_size'] as number;
  if (!(blockSize > 0)) throw new Error(`block_size is ${blockSize}; give a number of bytes such as 512`);
  const blocks = Math.floor(((total_size as number) * mib) / blockSize);
  if (!(blocks > 0)) {
    throw new Error(`total_size is ${total_size} MiB; give at least one block of ${blockSize} bytes`);
  }
  return { ...rest, num_blocks: blocks };
}
