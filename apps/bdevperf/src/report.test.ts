import { LatencyHistogram } from '@spdk-ts/load';
import { describe, expect, it } from 'vitest';
import type { JobCounters, JobSpec } from './protocol.ts';
import { headerLines, jobLines, latencySummary, statsOf, totalLines, totalOf } from './report.ts';

const spec = {
  ...{ name: 'Null0', cpumask: [1], workload: 'randrw', rw_percentage: 30, queue_depth: 128, io_size: 512 },
  ...{ ios_base: 0, size_in_ios: 0x4000 },
} as unknown as JobSpec;
const histogram = new LatencyHistogram();
for (let i = 0; i < 1000; i++) histogram.tally(5120);
const counters: JobCounters = {
  ...{ index: 0, runtime_us: 2_000_000, io_completed: 2_000_000, io_failed: 0, io_timeout: 0 },
  latencies: histogram.counts,
};
const view = { spec, queue_depth: 128, runtime_s: 2, ended_by_error: false };

describe("the report, byte for byte in SPDK's form", () => {
  it('has its header', () => {
    expect(headerLines()).toEqual([
      `${' '.repeat(96)}Latency(us)`,
      '\r Device Information          : runtime(s)       IOPS      MiB/s     Fail/s     TO/s    Average        min        max',
    ]);
  });

  it('has its rows', () => {
    const stats = statsOf(counters, 512, 2);
    const lines = [...jobLines(view, { ...stats, average_us: 5.27, min_us: 4.96, max_us: 135.69 })];
    expect(lines).toEqual([
      'Job: Null0 (Core Mask 0x2, workload: randrw, percentage: 30, depth: 128, IO size: 512)',
      '\t Null0               :       2.00 1000000.00     488.28       0.00     0.00       5.27       4.96     135.69',
    ]);
    const verify = { ...view, spec: { ...spec, workload: 'verify' as const }, ended_by_error: true };
    expect(jobLines(verify, stats).slice(0, 3)).toEqual([
      'Job: Null0 (Core Mask 0x2, workload: verify, depth: 128, IO size: 512)',
      'Job: Null0 ended in about 2.00 seconds with error',
      '\t Verification LBA range: start 0x0 length 0x4000',
    ]);
  });

  it('has its total', () => {
    const total = { ...totalOf([statsOf(counters, 512, 2)]), average_us: 5.27, min_us: 4.96, max_us: 135.69 };
    expect(totalLines(total)).toEqual([
      '\r ===================================================================================================================',
      '\r Total                       :            1000000.00     488.28       0.00     0.00       5.27       4.96     135.69',
    ]);
  });

  it('has its latency summary', () => {
    const lines = latencySummary([{ spec, latencies: histogram.counts }]);
    expect(lines.slice(0, 5)).toEqual([
      '',
      ' Latency summary',
      '\r =============================================',
      '\r Job: Null0 (Core Mask 0x2)',
      '  1.00000% :     5.152us',
    ]);
    expect(lines).toHaveLength(4 + 15 + 1);
    expect(lines.at(-2)).toBe(' 99.99999% :     5.152us');
  });
});

describe('totals', () => {
  it('add rates, weigh averages and keep extremes', () => {
    const row = statsOf(counters, 512, 2);
    const idle = statsOf({ ...counters, io_completed: 0, latencies: new LatencyHistogram().counts }, 512, 2);
    const total = totalOf([row, row, idle]);
    expect(total.iops).toBe(2 * row.iops);
    expect(total.average_us).toBeCloseTo(row.average_us, 9);
    expect(total.min_us).toBe(row.min_us);
    expect(total.max_us).toBe(row.max_us);
    expect(totalOf([idle])).toMatchObject({ iops: 0, average_us: 0, min_us: 0, max_us: 0 });
  });
});
