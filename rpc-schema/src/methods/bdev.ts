import { inFamily } from '../method.ts';
import { option, optional, positional, required, set, t, toggle } from '../types.ts';

const define = inFamily('bdev');

const resetMode = t.oneOf('all', 'maxmin', 'error', 'none');
const name = required(t.string, 'Name or alias of the bdev.', { cli: positional });

/** Names of I/O types as `supported_io_types` has them: always every one. */
export const ioTypeNames = [
  'read',
  'write',
  'unmap',
  'flush',
  'reset',
  'nvme_admin',
  'nvme_io',
  'nvme_io_md',
  'write_zeroes',
  'zcopy',
  'get_zone_info',
  'zone_management',
  'zone_append',
  'compare',
  'compare_and_write',
  'abort',
  'seek_hole',
  'seek_data',
  'copy',
  'nvme_iov_md',
  'nvme_nssr',
  'write_uncorrectable',
] as const;

/** A bdev as `bdev_get_bdevs` shows it. */
export const bdevInfo = t.open({
  name: t.string,
  aliases: t.array(t.string),
  product_name: required(t.string, 'Which module made it, such as "Malloc disk".'),
  block_size: required(t.u32, 'Data in a block.', { unit: 'bytes' }),
  num_blocks: t.u64,
  preferred_write_alignment: optional(t.u32, 'Best alignment of writes.', { unit: 'blocks' }),
  preferred_write_granularity: optional(t.u32, 'Best multiple of the length of writes.', { unit: 'blocks' }),
  optimal_write_size: optional(t.u32, 'Best size of a write.', { unit: 'blocks' }),
  preferred_unmap_alignment: optional(t.u32, 'Best alignment of unmaps.', { unit: 'blocks' }),
  preferred_unmap_granularity: optional(t.u32, 'Best multiple of the length of unmaps.', { unit: 'blocks' }),
  uuid: optional(t.uuid, 'Identity that outlives a restart.'),
  numa_id: optional(t.i32, 'NUMA node, when known.'),
  md_size: optional(t.u32, 'Metadata of a block.', { unit: 'bytes' }),
  md_interleave: optional(t.bool, 'Whether metadata follow their block.'),
  dif_type: optional(t.u32, 'Protection information: 0 none, 1 to 3 the types of NVMe.'),
  dif_is_head_of_md: optional(t.bool, 'Whether protection information comes first in the metadata.'),
  enabled_dif_check_types: optional(
    t.object({ reftag: t.bool, apptag: t.bool, guard: t.bool }),
    'What is checked.',
  ),
  dif_pi_format: optional(t.u32, 'Guard of 16 (0), 32 (1) or 64 (2) bits.'),
  assigned_rate_limits: t.object({
    rw_ios_per_sec: t.u64,
    rw_mbytes_per_sec: t.u64,
    r_mbytes_per_sec: t.u64,
    w_mbytes_per_sec: t.u64,
  }),
  claimed: t.bool,
  claim_type: optional(t.string, 'Kind of claim.'),
  zoned: t.bool,
  zone_size: optional(t.u64, 'Size of a zone.', { unit: 'blocks' }),
  max_open_zones: optional(t.u64, 'Most zones open.'),
  optimal_open_zones: optional(t.u64, 'Best number of zones open.'),
  kv: optional(
    t.object({
      max_key_len: t.u32,
      max_value_len: t.u32,
      max_num_keys: t.u64,
      capacity: t.u64,
    }),
    'Limits of a key-value bdev, bytes and keys.',
  ),
  supported_io_types: required(t.map(t.bool), 'Every I/O type by name, and whether the bdev can do it.'),
  memory_domains: optional(
    t.array(t.open({ dma_device_id: t.string, dma_device_type: t.u32 })),
    'Memory domains it works with.',
  ),
  driver_specific: required(t.open({}), 'What the module adds.'),
});

/** Counters of a bdev or of one of its channels. Latencies are sums or extremes in ticks. */
export const ioStatFields = {
  bytes_read: t.u64,
  num_read_ops: t.u64,
  bytes_written: t.u64,
  num_write_ops: t.u64,
  bytes_unmapped: t.u64,
  num_unmap_ops: t.u64,
  bytes_copied: t.u64,
  num_copy_ops: t.u64,
  read_latency_ticks: t.u64,
  max_read_latency_ticks: t.u64,
  min_read_latency_ticks: t.u64,
  write_latency_ticks: t.u64,
  max_write_latency_ticks: t.u64,
  min_write_latency_ticks: t.u64,
  unmap_latency_ticks: t.u64,
  max_unmap_latency_ticks: t.u64,
  min_unmap_latency_ticks: t.u64,
  copy_latency_ticks: t.u64,
  max_copy_latency_ticks: t.u64,
  min_copy_latency_ticks: t.u64,
  io_error: required(t.map(t.u64), 'Failed I/Os by status; empty when there were none.'),
  queue_depth_polling_period: optional(t.u64, 'Interval of queue depth samples.', { unit: 'µs' }),
  queue_depth: optional(t.u64, 'Last sample of the queue depth.'),
  io_time: optional(t.u64, 'Time with I/O in flight.', { unit: 'µs' }),
  weighted_io_time: optional(t.u64, 'The same, times the queue depth.', { unit: 'µs' }),
} as const;

export const bdevMethods = [
  define({
    name: 'bdev_set_options',
    text: 'Sets options of the bdev layer, before any bdev exists.',
    state: 'startup',
    params: {
      bdev_io_pool_size: optional(t.u32, 'I/O objects in the common pool.', {
        default: '65535',
        cli: option('-p, --bdev-io-pool-size'),
      }),
      bdev_io_cache_size: optional(t.u32, 'I/O objects each thread keeps for itself.', {
        default: '256',
        cli: option('-c, --bdev-io-cache-size'),
      }),
      bdev_auto_examine: optional(t.bool, 'Look for other bdevs in each new one.', {
        default: 'true',
        cli: toggle('--auto-examine'),
      }),
      iobuf_small_cache_size: optional(t.u32, 'Small buffers each thread keeps for itself.', {
        default: '128',
        cli: option('--iobuf-small-cache-size'),
      }),
      iobuf_large_cache_size: optional(t.u32, 'Large buffers each thread keeps for itself.', {
        default: '16',
        cli: option('--iobuf-large-cache-size'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
  }),
  define({
    name: 'bdev_get_bdevs',
    text: 'Shows all bdevs, or one. With a timeout, waits for the one to appear.',
    decodeError: -32603,
    params: {
      name: optional(t.string, 'Name or alias of the one bdev wanted.', { cli: option('-b, --name') }),
      timeout: optional(t.u64, 'How long to wait for the named bdev.', {
        unit: 'ms',
        default: '0',
        cli: option('-t, --timeout-ms'),
      }),
    },
    result: t.array(bdevInfo),
    errors: [[-19, 'No bdev has that name.']],
  }),
  define({
    name: 'bdev_examine',
    text: 'Looks for other bdevs in a bdev now, or as soon as it exists. For use with auto examine off.',
    decodeText: 'spdk_json_decode_object failed',
    params: { name: required(t.string, 'Name or alias of the bdev.', { cli: option('-b, --name') }) },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-22, 'Auto examine is on.'],
      [-17, 'The name was given before.'],
    ],
  }),
  define({
    name: 'bdev_wait_for_examine',
    text: 'Answers when every bdev has been examined.',
    result: t.bool,
    resultText: '`true`',
  }),
  define({
    name: 'bdev_get_iostat',
    text: 'Shows counters of I/O of all bdevs, or of those named, and may reset them after reading.',
    decodeError: -32603,
    params: {
      names: optional(t.array(t.string, 1024), 'Bdevs wanted.', { default: 'all', cli: option('--names') }),
      per_channel: optional(t.bool, 'One set of counters for each channel; needs exactly one name.', {
        default: 'false',
        cli: set('-c, --per-channel'),
      }),
      reset_mode: optional(resetMode, 'What to reset after reading.', {
        default: 'none',
        cli: option('--reset-mode'),
      }),
    },
    result: t.open({
      tick_rate: required(t.u64, 'Ticks in a second.'),
      ticks: required(t.u64, 'Clock when the counters were read.', { unit: 'ticks' }),
      bdevs: optional(t.array(t.open({ name: t.string, ...ioStatFields })), 'Without per_channel.'),
      name: optional(t.string, 'The bdev, with per_channel.'),
      channels: optional(t.array(t.open({ thread_id: t.u64, ...ioStatFields })), 'With per_channel.'),
    }),
    errors: [
      [-19, 'No bdev has that name.'],
      [-22, 'per_channel without exactly one name.'],
    ],
  }),
  define({
    name: 'bdev_reset_iostat',
    text: 'Resets counters of I/O of all bdevs, or of one.',
    decodeError: -32603,
    params: {
      name: optional(t.string, 'Name or alias of the one bdev.', {
        default: 'all',
        cli: option('-b, --name'),
      }),
      mode: optional(resetMode, 'What to reset.', { default: 'all', cli: option('-m, --mode') }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-19, 'No bdev has that name.']],
  }),
  define({
    name: 'bdev_enable_histogram',
    text: 'Starts or stops collecting a histogram of latencies.',
    decodeError: -32603,
    params: {
      name,
      enable: required(t.bool, 'Start or stop.', { cli: toggle('--histogram') }),
      opc: optional(t.string, 'The one I/O type to collect, as supported_io_types names it.', {
        default: 'all',
        cli: option('-o, --opc'),
      }),
      granularity: optional(t.u8, 'Buckets in each power of two, as a power of two.', {
        default: '7',
        cli: option('--granularity'),
      }),
      min_nsec: optional(t.u64, 'Smallest latency told apart.', {
        unit: 'ns',
        default: '1000',
        cli: option('--min-nsec'),
      }),
      max_nsec: optional(t.u64, 'Largest latency told apart.', {
        unit: 'ns',
        default: '120000000000',
        cli: option('--max-nsec'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-19, 'No bdev has that name.']],
  }),
  define({
    name: 'bdev_get_histogram',
    text: 'Gives the histogram of latencies collected so far.',
    decodeError: -32603,
    params: { name },
    result: t.object({
      histogram: required(t.string, 'Buckets as little-endian 64 bit counts, in base64.'),
      granularity: required(t.u32, 'Buckets in each power of two, as a power of two.'),
      min_range: required(t.u32, 'Power of two at which the first range starts.'),
      max_range: required(t.u32, 'Power of two at which the last range ends.'),
      tsc_rate: required(t.u64, 'Ticks in a second.'),
    }),
    errors: [
      [-19, 'No bdev has that name.'],
      [-32603, 'Collecting was not started.'],
    ],
  }),
  define({
    name: 'bdev_get_histogram_borders',
    text: 'Counts collected latencies below each of some borders; a last count is the total.',
    decodeError: -32603,
    params: {
      name,
      borders: required(t.array(t.u64, 256), 'Borders in ascending order.', {
        unit: 'µs',
        cli: option('--borders'),
      }),
    },
    result: t.object({ borders_count: t.array(t.u64) }),
    errors: [
      [-19, 'No bdev has that name.'],
      [-32603, 'Collecting was not started.'],
    ],
  }),
];
