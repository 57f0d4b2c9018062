import { LatencyHistogram, latencyCutoffs } from '@spdk-ts/load';
import type { LaneResult, LaneSpec, MemoryQueueCounts } from './protocol.ts';

/*
 * What is printed, in SPDK's form: scripts read these lines.
 */

/** What a lane was told, where it ran, and what came of it. */
export interface LaneView {
  readonly spec: LaneSpec;
  readonly lcore: number;
  readonly result: LaneResult;
}

const RULE = '='.repeat(56);
const WIDE_RULE = '='.repeat(81);

const fixed = (value: number): string => value.toFixed(2).padStart(10);

function columns(iops: number, io_size: number, average_ns: number, min_ns: number, max_ns: number): string {
  const mibps = (iops * io_size) / (1024 * 1024);
  return [iops, mibps, average_ns / 1000, min_ns / 1000, max_ns / 1000].map(fixed).join(' ');
}

const iopsOf = ({ result }: LaneView): number => (result.io_completed * 1_000_000) / result.runtime_us;

/** The table of rates and latencies. */
export function tableLines(lanes: readonly LaneView[]): string[] {
  const width = Math.max(0, ...lanes.map(({ spec }) => spec.name.length));
  const head = ['IOPS', 'MiB/s', 'Average', 'min', 'max'].map((name) => name.padStart(10)).join(' ');
  const lines = [
    RULE,
    'Latency(us)'.padStart(width + 60),
    `${'Device Information'.padEnd(width + 13)}: ${head}`,
  ];
  const busy = lanes.filter(({ result }) => result.io_completed > 0);
  for (const lane of busy) {
    const { spec, lcore, result } = lane;
    const { io_completed, latency_sum_ns, latency_min_ns, latency_max_ns } = result;
    const average = latency_sum_ns / io_completed;
    const core = String(lcore).padStart(2);
    lines.push(
      `${spec.name.padEnd(width)} from core ${core}: ${columns(iopsOf(lane), spec.io_size, average, latency_min_ns, latency_max_ns)}`,
    );
  }
  if (busy.length === 0) return lines;
  const sum = (of: (lane: LaneView) => number): number => busy.reduce((total, lane) => total + of(lane), 0);
  const ios = sum(({ result }) => result.io_completed);
  const average = sum(({ result }) => result.latency_sum_ns) / ios;
  const min = Math.min(...busy.map(({ result }) => result.latency_min_ns));
  const max = Math.max(...busy.map(({ result }) => result.latency_max_ns));
  const total = columns(sum(iopsOf), busy[0]!.spec.io_size, average, min, max);
  lines.push(RULE, `${'Total'.padEnd(width + 13)}: ${total}`, '');
  return lines;
}

const title = ({ spec, lcore }: LaneView): string =>
  `${spec.name.slice(0, 43).padEnd(43)} from core ${lcore}:`;

/** The share of I/Os that took no longer than … (-L). */
export function summaryLines(lanes: readonly LaneView[]): string[] {
  return lanes.flatMap((lane) => [
    `Summary latency data for ${title(lane)}`,
    WIDE_RULE,
    ...new LatencyHistogram(lane.result.latencies)
      .percentiles(latencyCutoffs)
      .map(
        ({ share, ns }) =>
          `${(share * 100).toFixed(5).padStart(9)}% : ${(ns / 1000).toFixed(3).padStart(9)}us`,
      ),
    '',
  ]);
}

/** Every bucket of each lane's histogram (-LL). */
export function bucketLines(lanes: readonly LaneView[]): string[] {
  return lanes.flatMap((lane) => {
    const buckets = new LatencyHistogram(lane.result.latencies).buckets();
    const total = buckets.at(-1)?.so_far ?? 1;
    return [
      `Latency histogram for ${title(lane)}`,
      '='.repeat(78),
      '       Range in us     Cumulative    IO count',
      ...buckets.map(({ start, end, count, so_far }) => {
        const [from, to] = [start, end].map((ns) => (ns / 1000).toFixed(3).padStart(9));
        return `${from} - ${to}: ${((so_far * 100) / total).toFixed(4).padStart(9)}%  (${String(count).padStart(9)})`;
      }),
      '',
    ];
  });
}

function memoryLines(counts: MemoryQueueCounts, submitted: number): string[] {
  const { doorbells, mapped, trapped, shadowed, copied } = counts;
  const per_thousand = ((1000 * trapped) / Math.max(1, submitted)).toFixed(1);
  return [
    `\tdoorbells:          ${doorbells}`,
    `\tmapped_doorbells:   ${mapped}`,
    `\tshadow_doorbells:   ${shadowed}`,
    `\ttrapped_doorbells:  ${trapped} (${per_thousand} per thousand commands)`,
    `\tcopied_requests:    ${copied}`,
  ];
}

/** Counters of each lane's connections (--transport-stats). */
export function statsLines(lanes: readonly LaneView[]): string[] {
  return lanes.flatMap(({ spec, lcore, result }) => [
    '',
    '====================',
    `lcore ${lcore}, ns ${spec.name} statistics:`,
    `${result.memory === null ? 'TCP' : 'VFIOUSER'} transport:`,
    `\tconnections:        ${result.connections}`,
    `\tnvme_completions:   ${result.io_completed + result.io_failed}`,
    `\tsubmitted_requests: ${result.submitted}`,
    `\tqueued_requests:    ${result.waited}`,
    ...(result.memory === null ? [] : memoryLines(result.memory, result.submitted)),
  ]);
}
