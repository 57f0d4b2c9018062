import { inFamily } from '../method.ts';
import { option, optional, positional, required, t } from '../types.ts';

const define = inFamily('bdev');

const name = required(t.string, 'Name or alias of the bdev.', { cli: positional });

/** Limits of the rate of I/O, and the sampling of its depth. */
export const bdevRateMethods = [
  define({
    name: 'bdev_set_qd_sampling_period',
    text:
      'Samples the queue depth of a bdev at intervals; bdev_get_iostat then shows queue_depth, io_time and ' +
      'weighted_io_time. Starts counting anew.',
    decodeError: -32603,
    params: {
      name,
      period: required(t.u64, 'Interval; 0 ends the sampling.', { unit: 'µs', cli: positional }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-19, 'No bdev has that name.'],
      [-22, 'The interval is longer than an hour.'],
    ],
  }),
  define({
    name: 'bdev_set_qos_limit',
    text:
      'Sets limits of the rate of I/O to a bdev, over all its users together; 0 takes one away, and one that is left ' +
      'out stays. A limit holds as it is given, not rounded up to a multiple of 1000 I/Os as in SPDK.',
    decodeError: -32603,
    params: {
      name,
      rw_ios_per_sec: optional(t.u64, 'Reads and writes in a second.', {
        cli: option('--rw-ios-per-sec'),
      }),
      rw_mbytes_per_sec: optional(t.u64, 'Data read and written in a second.', {
        unit: 'MiB',
        cli: option('--rw-mbytes-per-sec'),
      }),
      r_mbytes_per_sec: optional(t.u64, 'Data read in a second.', {
        unit: 'MiB',
        cli: option('--r-mbytes-per-sec'),
      }),
      w_mbytes_per_sec: optional(t.u64, 'Data written in a second.', {
        unit: 'MiB',
        cli: option('--w-mbytes-per-sec'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-11, 'The limits are being changed by another call.'],
      [-19, 'No bdev has that name.'],
      [-22, 'No limit is given.'],
    ],
  }),
];
