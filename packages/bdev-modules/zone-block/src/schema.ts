import {
  deleting,
  inFamily,
  type MethodsByName,
  option,
  optional,
  required,
  t,
  toggle,
} from '@spdk-ts/rpc-schema';

const define = inFamily('zone_block');

/** The methods of the zone_block module. */
export const methods = [
  define({
    name: 'bdev_zone_block_create',
    text: 'Makes a zoned bdev of any other. The state of its zones is kept on the base: the first time, that is formatted, and what it held is lost. If the base bdev is not there yet, the bdev appears together with it. See docs/zones.md.',
    decodeError: -32603,
    params: {
      name: required(t.string, 'Name of the new bdev.', { cli: option('-b, --name') }),
      base_bdev: required(t.string, 'Name, alias or UUID of the base bdev.', {
        cli: option('-n, --base-bdev'),
      }),
      zone_capacity: required(
        t.u64,
        'Blocks of a zone that can be written; its size is the next power of two.',
        { unit: 'blocks', cli: option('-z, --zone-capacity') },
      ),
      optimal_open_zones: required(
        t.u64,
        'Number of zones that are best open at once; the number of zones becomes a multiple of it.',
        { cli: option('-o, --optimal-open-zones') },
      ),
      format: optional(
        t.bool,
        'Starts with empty zones although the base holds the state of zones: they and their data are lost. Not in SPDK.',
        { default: 'false', cli: toggle('--format') },
      ),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [
      [-17, 'It is configured already, or there is a bdev of that name or UUID.'],
      [-1, 'The base bdev is claimed by another module.'],
      [-22, 'A value that cannot be, or that does not go with the base or the state it holds.'],
      [-5, 'The state of the zones cannot be read or written.'],
    ],
  }),
  define({
    name: 'bdev_zone_block_delete',
    text: 'Removes a zone_block bdev, or one that waits for its base. The base stays, with the state of the zones.',
    ...deleting('zone_block'),
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
