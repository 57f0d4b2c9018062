import {
  bdevErrors,
  bdevFields,
  blocksOfMib,
  deleting,
  inFamily,
  type MethodsByName,
  option,
  optional,
  t,
  zoneFields,
} from '@spdk-ts/rpc-schema';

const hint = (text: string, flags: string) => optional(t.u32, text, { unit: 'blocks', cli: option(flags) });

const define = inFamily('null');
/** The methods of the null module. */
export const methods = [
  define({
    name: 'bdev_null_create',
    text: 'Makes a bdev that forgets what is written and reads as undefined data; for measuring everything else.',
    decodeError: -32603,
    params: {
      name: bdevFields.name('null'),
      block_size: bdevFields.blockSize,
      num_blocks: bdevFields.numBlocks,
      uuid: bdevFields.uuid,
      physical_block_size: bdevFields.physicalBlockSize,
      md_size: bdevFields.mdSize,
      dif_type: bdevFields.difType,
      dif_pi_format: bdevFields.difFormat,
      dif_is_head_of_md: bdevFields.difIsHead,
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
      ...zoneFields,
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [bdevErrors.exists, [-22, 'A size that cannot be.']],
    cli: {
      args: bdevFields.totalSize('Size of the bdev, without metadata.'),
      positionals: ['name', 'total_size', 'block_size'],
      toParams(args) {
        if (args['dif_type'] && !args['md_size']) {
          throw new Error('--dif-type needs --md-size above 0');
        }
        return blocksOfMib(args);
      },
    },
  }),
  define({
    name: 'bdev_null_delete',
    text: 'Removes a null bdev.',
    ...deleting('null'),
  }),
  define({
    name: 'bdev_null_resize',
    text: 'Changes the size of a null bdev. Users of the bdev are told.',
    decodeError: -32603,
    params: { name: bdevFields.name('null'), new_size: bdevFields.newSize },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-19, 'No such bdev.'],
      [-22, 'Smaller than now while the bdev is open.'],
    ],
    cli: { print: 'json' },
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
