import {
  bdevErrors,
  comesWithBase,
  deleting,
  inFamily,
  type MethodsByName,
  option,
  positional,
  required,
  stackedBdevFields,
  t,
} from '@spdk-ts/rpc-schema';

const microseconds = (text: string, flags: string) =>
  required(t.u64, text, { unit: 'µs', cli: option(flags) });

const define = inFamily('delay');
/** The methods of the delay module. */
export const methods = [
  define({
    name: 'bdev_delay_create',
    text: `Makes a bdev whose reads and writes end later than those of its base bdev: one in a hundred by the p99 latency, the others by the average. ${comesWithBase}`,
    decodeError: -32603,
    params: {
      name: required(t.string, 'Name of the new bdev.', { cli: option('-d, --name') }),
      base_bdev_name: stackedBdevFields.base_bdev_name,
      avg_read_latency: microseconds('What reads take longer.', '-r, --avg-read-latency'),
      p99_read_latency: microseconds('The same for 1 in 100.', '-t, --nine-nine-read-latency'),
      avg_write_latency: microseconds('What writes take longer.', '-w, --avg-write-latency'),
      p99_write_latency: microseconds('The same for 1 in 100.', '-n, --nine-nine-write-latency'),
      uuid: stackedBdevFields.uuid,
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [...bdevErrors.onBase, [-22, 'A p99 latency is less than its average.']],
  }),
  define({
    name: 'bdev_delay_delete',
    text: 'Removes a delay bdev, or one that waits for its base. The base stays.',
    ...deleting('delay'),
  }),
  define({
    name: 'bdev_delay_update_latency',
    text: 'Changes one of the latencies of a delay bdev, for I/O that ends from now on.',
    decodeError: -32603,
    params: {
      delay_bdev_name: required(t.string, 'Name of the bdev.', { cli: positional }),
      latency_type: required(t.oneOf('avg_read', 'p99_read', 'avg_write', 'p99_write'), 'Which one.', {
        cli: positional,
      }),
      latency_us: required(t.u64, 'New value.', { unit: 'µs', cli: positional }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-32602, '"The requested bdev does not exist."'],
      [-32600, '"The requested bdev is not a delay bdev."'],
    ],
    cli: { print: 'json' },
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
