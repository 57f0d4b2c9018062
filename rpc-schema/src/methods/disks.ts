import { inFamily } from '../method.ts';
import { hidden, option, optional, positional, required, set, t } from '../types.ts';

const mib = 1024 * 1024;
const totalSize = (text: string) => ({
  total_size: required(t.number, text, { unit: 'MiB', cli: positional }),
});

/** `total_size` in MiB and `block_size` on the command line are `num_blocks` on the wire. */
function blocksOf({ total_size, ...rest }: Record<string, unknown>): Record<string, unknown> {
  const blockSize = rest['block_size'] as number;
  if (!(blockSize > 0)) throw new Error(`block_size is ${blockSize}; give a number of bytes such as 512`);
  const blocks = Math.floor(((total_size as number) * mib) / blockSize);
  if (!(blocks > 0)) {
    throw new Error(`total_size is ${total_size} MiB; give at least one block of ${blockSize} bytes`);
  }
  return { ...rest, num_blocks: blocks };
}

const nameOf = (kind: string) => required(t.string, `Name of the ${kind} bdev.`, { cli: positional });
const newSize = required(t.u64, 'New size.', { unit: 'MiB', cli: positional });
const uuid = optional(t.uuid, 'Identity of the bdev; keep it the same over restarts.', {
  default: 'random',
  cli: option('-u, --uuid'),
});
const blockSize = required(t.u32, 'Data in a block: a power of two from 512 to 65536.', {
  unit: 'bytes',
  cli: positional,
});
const numBlocks = required(t.u64, 'Number of blocks.', { cli: hidden });
const physicalBlockSize = optional(t.u32, 'Size within which a write is atomic.', {
  unit: 'bytes',
  default: 'block_size',
  cli: option('-p, --physical-block-size'),
});
const mdSize = optional(t.u32, 'Metadata of a block.', {
  unit: 'bytes',
  default: '0',
  cli: option('-m, --md-size'),
});
const difType = optional(t.i32, 'Protection information: 0 none, 1 to 3 the types of NVMe; needs md_size.', {
  default: '0',
  cli: option('-t, --dif-type'),
});
const difIsHead = optional(t.bool, 'Protection information comes first in the metadata.', {
  default: 'false',
  cli: set('-d, --dif-is-head-of-md'),
});
const difFormat = optional(t.u32, 'Guard of 16 (0), 32 (1) or 64 (2) bits.', {
  default: '0',
  cli: option('-f, --dif-pi-format'),
});
const noDevice = [-19, 'No such bdev of this module.'] as const;
const exists = [-17, 'There is a bdev of that name or UUID.'] as const;

const defineMalloc = inFamily('malloc');
export const mallocMethods = [
  defineMalloc({
    name: 'bdev_malloc_create',
    text: 'Makes a bdev whose data are in memory.',
    decodeError: -32603,
    params: {
      name: optional(t.string, 'Name of the bdev.', { default: 'Malloc<n>', cli: option('-b, --name') }),
      block_size: blockSize,
      num_blocks: numBlocks,
      uuid,
      optimal_io_boundary: optional(t.u32, 'Split I/O at multiples of this; 0 does not.', {
        unit: 'blocks',
        default: '0',
        cli: option('-o, --optimal-io-boundary'),
      }),
      md_size: mdSize,
      md_interleave: optional(t.bool, 'Metadata follow their block.', {
        default: 'false',
        cli: set('-i, --md-interleave'),
      }),
      dif_type: difType,
      dif_is_head_of_md: difIsHead,
      physical_block_size: physicalBlockSize,
      dif_pi_format: difFormat,
      numa_id: optional(t.i32, 'NUMA node of the memory; -1 for any.', {
        default: '-1',
        cli: option('-n, --numa-id'),
      }),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [exists, [-12, 'Not enough memory; raise -s.'], [-22, 'A size that cannot be.']],
    cli: {
      args: totalSize('Size of the bdev.'),
      positionals: ['total_size', 'block_size'],
      toParams: blocksOf,
    },
  }),
  defineMalloc({
    name: 'bdev_malloc_delete',
    text: 'Removes a malloc bdev and its data.',
    decodeError: -32603,
    params: { name: nameOf('malloc') },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
  defineMalloc({
    name: 'bdev_malloc_resize',
    text: 'Changes the size of a malloc bdev. Users of the bdev are told; data beyond a smaller size are lost.',
    decodeError: -32603,
    own: true,
    params: { name: nameOf('malloc'), new_size: newSize },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice, [-16, 'Smaller than now while the bdev is open.'], [-12, 'Not enough memory.']],
    cli: { print: 'json' },
  }),
];

const hint = (text: string, flags: string) => optional(t.u32, text, { unit: 'blocks', cli: option(flags) });

const defineNull = inFamily('null');
export const nullMethods = [
  defineNull({
    name: 'bdev_null_create',
    text: 'Makes a bdev that forgets what is written and reads as undefined data; for measuring everything else.',
    decodeError: -32603,
    params: {
      name: nameOf('null'),
      block_size: blockSize,
      num_blocks: numBlocks,
      uuid,
      physical_block_size: physicalBlockSize,
      md_size: mdSize,
      dif_type: difType,
      dif_pi_format: difFormat,
      dif_is_head_of_md: difIsHead,
      preferred_write_granularity: hint(
        'Multiple of the length of writes to report.',
        '-g, --preferred-write-granularity',
      ),
      preferred_write_alignment: hint('Alignment of writes to report.', '-a, --preferred-write-alignment'),
      optimal_write_size: hint('Best size of a write to report.', '-s, --optimal-write-size'),
      preferred_unmap_granularity: hint(
        'Multiple of the length of unmaps to report.',
        '-r, --preferred-unmap-granularity',
      ),
      preferred_unmap_alignment: hint('Alignment of unmaps to report.', '-c, --preferred-unmap-alignment'),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [exists, [-22, 'A size that cannot be.']],
    cli: {
      args: totalSize('Size of the bdev, without metadata.'),
      positionals: ['name', 'total_size', 'block_size'],
      toParams(args) {
        if (args['dif_type'] && !args['md_size']) {
          throw new Error('--dif-type needs --md-size above 0');
        }
        return blocksOf(args);
      },
    },
  }),
  defineNull({
    name: 'bdev_null_delete',
    text: 'Removes a null bdev.',
    decodeError: -32603,
    params: { name: nameOf('null') },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
  defineNull({
    name: 'bdev_null_resize',
    text: 'Changes the size of a null bdev. Users of the bdev are told.',
    decodeError: -32603,
    params: { name: nameOf('null'), new_size: newSize },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-19, 'No such bdev.'],
      [-22, 'Smaller than now while the bdev is open.'],
    ],
    cli: { print: 'json' },
  }),
];

const defineFile = inFamily('file');
export const fileMethods = [
  defineFile({
    name: 'bdev_file_create',
    text: 'Makes a bdev of a regular file or a block device. Works on every platform; what was flushed is on stable storage.',
    decodeError: -32603,
    own: true,
    params: {
      filename: required(t.string, 'Path of the file or block device.', { cli: positional }),
      name: nameOf('file'),
      block_size: optional(t.u32, 'Data in a block: a power of two from 512 to 65536.', {
        unit: 'bytes',
        default: '512',
        cli: positional,
      }),
      size: optional(
        t.u64,
        'Size the file is to have: it is created or extended to this, never made smaller. Without it the file must exist.',
        { unit: 'bytes', cli: option('-z, --size') },
      ),
      readonly: optional(t.bool, 'Refuse writes.', { default: 'false', cli: set('-r, --readonly') }),
      uuid,
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [
      exists,
      [-2, 'The file does not exist and no size was given.'],
      [-13, 'The file may not be opened.'],
      [-22, 'A size that cannot be.'],
    ],
  }),
  defineFile({
    name: 'bdev_file_delete',
    text: 'Removes a file bdev. The file stays.',
    decodeError: -32603,
    own: true,
    params: { name: nameOf('file') },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
  defineFile({
    name: 'bdev_file_resize',
    text: 'Changes the size of a file bdev and of its file. Users of the bdev are told.',
    decodeError: -32603,
    own: true,
    params: { name: nameOf('file'), new_size: newSize },
    result: t.bool,
    resultText: '`true`',
    errors: [
      noDevice,
      [-16, 'Smaller than now while the bdev is open.'],
      [-95, 'A block device has the size it has.'],
    ],
    cli: { print: 'json' },
  }),
];
