import { inFamily } from '../method.ts';
import { option, optional, required, t } from '../types.ts';

const define = inFamily('bdevperf');

export const bdevperfMethods = [
  define({
    name: 'perform_tests',
    text: 'Runs the tests of bdevperf-ts and answers with their results. Parameters replace those of the command line.',
    relaxed: true,
    params: {
      queue_depth: optional(t.u32, 'I/Os in flight of each job.', { cli: option('-q, --queue-depth') }),
      io_size: optional(t.string, 'Size of an I/O, such as "4096" or "4k". A string, as in SPDK.', {
        unit: 'bytes',
        cli: option('-o, --io-size'),
      }),
      time_in_sec: optional(t.u32, 'Length of the test.', { unit: 's', cli: option('-t, --time-in-sec') }),
      rw_percentage: optional(t.u32, 'Share of reads in mixed workloads, 0 to 100.', {
        unit: '%',
        cli: option('-M, --rw-percentage'),
      }),
      workload_type: optional(
        t.oneOf(
          'read',
          'write',
          'randread',
          'randwrite',
          'rw',
          'randrw',
          'verify',
          'reset',
          'unmap',
          'flush',
          'write_zeroes',
        ),
        'What the jobs do.',
        { cli: option('-w, --workload-type') },
      ),
    },
    result: t.open({
      results: t.array(
        t.open({
          job: t.string,
          core_mask: t.string,
          workload: t.string,
          percentage: optional(t.u32, 'Share of reads.', { unit: '%' }),
          status: required(t.oneOf('finished', 'failed', 'terminated'), 'How the job ended.'),
          verify_range: optional(t.object({ start: t.u64, length: t.u64 }), 'Blocks a verify job wrote.'),
          queue_depth: t.u32,
          io_size: required(t.u64, 'Size of an I/O.', { unit: 'bytes' }),
          runtime: required(t.number, 'Time the job ran.', { unit: 's' }),
          iops: t.number,
          mibps: required(t.number, 'Throughput.', { unit: 'MiB/s' }),
          io_failed: t.u64,
          io_timeout: t.u64,
          avg_latency_us: t.number,
          min_latency_us: t.number,
          max_latency_us: t.number,
        }),
      ),
      core_count: required(t.u32, 'Cores that ran jobs.'),
    }),
    errors: [
      [-32603, 'A test is running already.'],
      [-32602, 'There is no job and no bdev.'],
    ],
  }),
];
