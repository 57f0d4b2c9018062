import {
  bdevErrors,
  bdevFields,
  deleting,
  inFamily,
  type MethodsByName,
  option,
  optional,
  positional,
  required,
  set,
  t,
} from '@spdk-ts/rpc-schema';

const define = inFamily('kv');
/** The methods of the kv module. */
export const methods = [
  define({
    name: 'bdev_kv_create',
    text: 'Makes a key-value bdev that keeps its values in a log on another bdev. A log that is there is taken up. If the base bdev is not there yet, the bdev appears together with it. See docs/bdev-kv.md.',
    decodeError: -32603,
    own: true,
    params: {
      name: bdevFields.name('key-value'),
      base_bdev_name: required(
        t.string,
        'Name, alias or UUID of the bdev that holds the log, and nothing else.',
        {
          cli: positional,
        },
      ),
      format: optional(
        t.bool,
        'Make a new log, whatever the base holds. A base of zeroes needs no such order.',
        {
          default: 'false',
          cli: set('-f, --format'),
        },
      ),
      ...bdevFields.kv,
      uuid: optional(t.uuid, 'Identity of the bdev.', {
        default: "made of the base's: the same over restarts",
        cli: option('-u, --uuid'),
      }),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [
      bdevErrors.exists,
      [-1, 'The base bdev is claimed or written to by another.'],
      [-22, 'The base holds something else, is too small, or has a log with other limits.'],
      [-5, 'The base cannot be read or written, or its log is damaged.'],
    ],
  }),
  define({
    name: 'bdev_kv_delete',
    text: 'Removes a key-value bdev over a log, or one that waits for its base. The log stays there.',
    own: true,
    ...deleting('key-value'),
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
