import { inFamily } from '../method.ts';
import { option, optional, required, set, t } from '../types.ts';

const define = inFamily('iobuf');

const pool = t.object({
  cache: required(t.u64, 'Buffers taken from the cache of a thread.'),
  main: required(t.u64, 'Buffers taken from the common pool.'),
  retry: required(t.u64, 'Times somebody had to wait for a buffer.'),
  cache_size: optional(t.u64, 'Size of the cache of a thread.', { unit: 'buffers' }),
});

export const iobufMethods = [
  define({
    name: 'iobuf_set_options',
    text: 'Sizes the pools of I/O buffers.',
    state: 'startup',
    decodeText: 'spdk_json_decode_object failed',
    params: {
      small_pool_count: optional(t.u64, 'Small buffers in the pool.', {
        default: '8192',
        cli: option('--small-pool-count'),
      }),
      large_pool_count: optional(t.u64, 'Large buffers in the pool.', {
        default: '1024',
        cli: option('--large-pool-count'),
      }),
      small_bufsize: optional(t.u32, 'Size of a small buffer.', {
        unit: 'bytes',
        default: '8192',
        cli: option('--small-bufsize'),
      }),
      large_bufsize: optional(t.u32, 'Size of a large buffer.', {
        unit: 'bytes',
        default: '135168',
        cli: option('--large-bufsize'),
      }),
      enable_numa: optional(t.bool, 'A pool for every NUMA node.', {
        default: 'false',
        cli: set('--enable-numa'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
  }),
  define({
    name: 'iobuf_get_stats',
    text: 'Counts how buffers were obtained, for each module that uses them.',
    result: t.array(t.object({ module: t.string, small_pool: pool, large_pool: pool })),
  }),
  define({
    name: 'env_dpdk_get_mem_stats',
    text: 'Writes a report on the memory of the application to a file and tells where.',
    result: t.object({ filename: required(t.string, 'Path of the text file.') }),
  }),
];
