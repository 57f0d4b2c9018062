import { inFamily } from '../method.ts';
import { option, optional, positional, required, t } from '../types.ts';

const exists = [-17, 'It is configured already, or there is a bdev of that name or UUID.'] as const;
const claimed = [-1, 'The base bdev is claimed by another module.'] as const;
const noDevice = [-19, 'No such bdev of this module.'] as const;
/** The base may come later: then so does the bdev. */
const later = 'If the base bdev is not there yet, the bdev appears together with it.';
const microseconds = (text: string, flags: string) =>
  required(t.u64, text, { unit: 'µs', cli: option(flags) });

const definePassthru = inFamily('passthru');
export const passthruMethods = [
  definePassthru({
    name: 'bdev_passthru_create',
    text: `Makes a bdev that hands every I/O to its base bdev. ${later}`,
    decodeError: -32603,
    params: {
      base_bdev_name: required(t.string, 'Name, alias or UUID of the base bdev.', {
        cli: option('-b, --base-bdev-name'),
      }),
      name: required(t.string, 'Name of the new bdev.', { cli: option('-p, --name') }),
      uuid: optional(t.uuid, 'Identity of the bdev.', {
        default: 'made of that of the base',
        cli: option('-u, --uuid'),
      }),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [exists, claimed],
  }),
  definePassthru({
    name: 'bdev_passthru_delete',
    text: 'Removes a passthru bdev, or one that waits for its base. The base stays.',
    decodeError: -32603,
    params: { name: required(t.string, 'Name of the bdev.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
];

const defineSplit = inFamily('split');
export const splitMethods = [
  defineSplit({
    name: 'bdev_split_create',
    text: `Cuts a bdev into bdevs of the same size, \`<base>p0\`, \`<base>p1\` and so on. If the base bdev is not there yet, they appear together with it.`,
    params: {
      base_bdev: required(t.string, 'Name of the bdev to cut.', { cli: positional }),
      split_count: required(t.u32, 'Number of bdevs. Those for which there is no room are left out.', {
        cli: positional,
      }),
      split_size_mb: optional(t.u64, 'Size of each; 0 for equal shares of the base.', {
        unit: 'MiB',
        default: '0',
        cli: option('-s, --split-size-mb'),
      }),
    },
    result: t.array(t.string),
    resultText: 'Names of the bdevs; none if the base is still to come.',
    errors: [[-32602, '"Failed to create …": it is split already, is claimed, or is too small.']],
    cli: { print: 'words' },
  }),
  defineSplit({
    name: 'bdev_split_delete',
    text: 'Removes all parts of a bdev that was split, or forgets that it was to be. The base stays.',
    params: { base_bdev: required(t.string, 'Name of the bdev that is split.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, '"No such file or directory": the bdev is not split.']],
  }),
];

const defineDelay = inFamily('delay');
export const delayMethods = [
  defineDelay({
    name: 'bdev_delay_create',
    text: `Makes a bdev whose reads and writes end later than those of its base bdev: one in a hundred by the p99 latency, the others by the average. ${later}`,
    decodeError: -32603,
    params: {
      name: required(t.string, 'Name of the new bdev.', { cli: option('-d, --name') }),
      base_bdev_name: required(t.string, 'Name, alias or UUID of the base bdev.', {
        cli: option('-b, --base-bdev-name'),
      }),
      avg_read_latency: microseconds('What reads take longer.', '-r, --avg-read-latency'),
      p99_read_latency: microseconds('The same for 1 in 100.', '-t, --nine-nine-read-latency'),
      avg_write_latency: microseconds('What writes take longer.', '-w, --avg-write-latency'),
      p99_write_latency: microseconds('The same for 1 in 100.', '-n, --nine-nine-write-latency'),
      uuid: optional(t.uuid, 'Identity of the bdev.', {
        default: 'made of that of the base',
        cli: option('-u, --uuid'),
      }),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [exists, claimed, [-22, 'A p99 latency is less than its average.']],
  }),
  defineDelay({
    name: 'bdev_delay_delete',
    text: 'Removes a delay bdev, or one that waits for its base. The base stays.',
    decodeError: -32603,
    params: { name: required(t.string, 'Name of the bdev.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
  defineDelay({
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
