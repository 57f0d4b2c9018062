import { LatencyHistogram } from '@spdk-ts/load';
import { expect, it } from 'vitest';
import type { LaneResult, LaneSpec } from './protocol.ts';
import { bucketLines, type LaneView, summaryLines, tableLines } from './report.ts';

function view(name: string, lcore: number, ios: number): LaneView {
  const histogram = new LatencyHistogram();
  for (let i = 0; i < ios; i++) histogram.tally(10_000);
  const spec = { name, io_size: 4096 } as LaneSpec;
  const result: LaneResult = {
    ...{ index: lcore, runtime_us: 2_000_000, io_completed: ios, io_failed: 0, latencies: histogram.counts },
    ...{ latency_sum_ns: ios * 10_000, latency_min_ns: 9000, latency_max_ns: 12_345, failure: null },
    ...{ submitted: ios, waited: 0, connections: 1, memory: null },
  };
  return { spec, lcore, result };
}

it('prints spdk_nvme_perf’s table', () => {
  expect(tableLines([view('TCP (addr:a subnqn:b) NSID 1', 0, 1000), view('short', 11, 500)])).toEqual([
    '========================================================',
    '                                                                             Latency(us)',
    'Device Information                       :       IOPS      MiB/s    Average        min        max',
    'TCP (addr:a subnqn:b) NSID 1 from core  0:     500.00       1.95      10.00       9.00      12.35',
    'short                        from core 11:     250.00       0.98      10.00       9.00      12.35',
    '========================================================',
    'Total                                    :     750.00       2.93      10.00       9.00      12.35',
    '',
  ]);
});

it('says nothing of lanes that did nothing', () => {
  expect(tableLines([view('n', 0, 0)])).toHaveLength(3);
});

it('prints percentiles and buckets', () => {
  const summary = summaryLines([view('n', 3, 10)]);
  expect(summary[0]).toBe(`Summary latency data for ${'n'.padEnd(43)} from core 3:`);
  expect(summary[2]).toBe('  1.00000% :    10.048us');
  const buckets = bucketLines([view('n', 3, 10)]);
  expect(buckets[2]).toBe('       Range in us     Cumulative    IO count');
  expect(buckets[3]).toBe('    9.984 -    10.048:  100.0000%  (       10)');
});
