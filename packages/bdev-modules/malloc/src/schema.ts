import {
  bdevErrors,
  bdevFields,
  blocksOfMib,
  deleting,
  inFamily,
  type MethodsByName,
  option,
  optional,
  positional,
  required,
  set,
  t,
  zoneFields,
} from '@spdk-ts/rpc-schema';

const define = inFamily('malloc');
/** The methods of the malloc module. */
export const methods = [
  define({
    name: 'bdev_malloc_create',
    text: 'Makes a bdev whose data are in memory.',
    decodeError: -32603,
    params: {
      name: optional(t.string, 'Name of the bdev.', { default: 'Malloc<n>', cli: option('-b, --name') }),
      block_size: bdevFields.blockSize,
      num_blocks: bdevFields.numBlocks,
      uuid: bdevFields.uuid,
      optimal_io_boundary: optional(t.u32, 'Split I/O at multiples of this; 0 does not.', {
        unit: 'blocks',
        default: '0',
        cli: option('-o, --optimal-io-boundary'),
      }),
      md_size: bdevFields.mdSize,
      md_interleave: optional(t.bool, 'Metadata follow their block.', {
        default: 'false',
        cli: set('-i, --md-interleave'),
      }),
      dif_type: bdevFields.difType,
      dif_is_head_of_md: bdevFields.difIsHead,
      physical_block_size: bdevFields.physicalBlockSize,
      dif_pi_format: bdevFields.difFormat,
      numa_id: optional(t.i32, 'NUMA node of the memory; -1 for any.', {
        default: '-1',
        cli: option('-n, --numa-id'),
      }),
      ...zoneFields,
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [bdevErrors.exists, [-12, 'Not enough memory; raise -s.'], [-22, 'A size that cannot be.']],
    cli: {
      args: bdevFields.totalSize('Size of the bdev.'),
      positionals: ['total_size', 'block_size'],
      toParams: blocksOfMib,
    },
  }),
  define({
    name: 'bdev_malloc_kv_create',
    text: 'Makes a key-value bdev whose values are in memory. Removed with bdev_malloc_delete.',
    decodeError: -32603,
    own: true,
    params: {
      name: optional(t.string, 'Name of the bdev.', { default: 'Malloc<n>', cli: option('-b, --name') }),
      block_size: required(t.u32, 'Space is given to values in blocks: a power of two from 512 to 65536.', {
        unit: 'bytes',
        cli: positional,
      }),
      num_blocks: bdevFields.numBlocks,
      ...bdevFields.kv,
      uuid: bdevFields.uuid,
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [bdevErrors.exists, [-12, 'Not enough memory.'], [-22, 'A size that cannot be.']],
    cli: {
      args: bdevFields.totalSize('Space for values.'),
      positionals: ['total_size', 'block_size'],
      toParams: blocksOfMib,
    },
  }),
  define({
    name: 'bdev_malloc_delete',
    text: 'Removes a malloc bdev and its data.',
    ...deleting('malloc'),
  }),
  define({
    name: 'bdev_malloc_resize',
    text: 'Changes the size of a malloc bdev. Users of the bdev are told; data beyond a smaller size are lost.',
    decodeError: -32603,
    own: true,
    params: { name: bdevFields.name('malloc'), new_size: bdevFields.newSize },
    result: t.bool,
    resultText: '`true`',
    errors: [
      bdevErrors.noDevice,
      [-16, 'Smaller than now while the bdev is open.'],
      [-12, 'Not enough memory.'],
    ],
    cli: { print: 'json' },
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
