import { formatCpumask } from '@spdk-ts/env';
import { LatencyHistogram, latencyCutoffs } from '@spdk-ts/load';
import type { JobCounters, JobSpec } from './protocol.ts';
import { isMixed, verifies } from './workload.ts';

/*
 * What is printed, in SPDK's form: scripts and its own tests read these lines.
 */

/** One row of the table. */
export interface Stats {
  readonly runtime_s: number;
  readonly iops: number;
  readonly mibps: number;
  readonly failed_per_s: number;
  readonly timeouts_per_s: number;
  readonly average_us: number;
  readonly min_us: number;
  readonly max_us: number;
  /** For totals: I/Os and the sum of their latencies. */
  readonly ios: number;
  readonly latency_sum_ns: number;
}

/** A job, what it was told, and what came of it. */
export interface JobView {
  readonly spec: JobSpec;
  readonly queue_depth: number;
  readonly runtime_s: number;
  /** It ended before its time because of an error. */
  readonly ended_by_error: boolean;
}

const fixed = (value: number, width: number): string => value.toFixed(2).padStart(width);

/** Reckons a row. `iops`: a moving average in place of the mean. */
export function statsOf(
  counters: JobCounters,
  io_size: number,
  runtime_s: number,
  iops = runtime_s > 0 ? counters.io_completed / runtime_s : 0,
): Stats {
  const latency = new LatencyHistogram(counters.latencies).totals();
  const ios = counters.io_completed + counters.io_failed;
  const perSecond = (count: number): number => (runtime_s > 0 ? count / runtime_s : 0);
  return {
    runtime_s,
    iops,
    mibps: (iops * io_size) / (1024 * 1024),
    failed_per_s: perSecond(counters.io_failed),
    timeouts_per_s: perSecond(counters.io_timeout),
    average_us: ios > 0 ? latency.sum / ios / 1000 : 0,
    min_us: latency.min / 1000,
    max_us: latency.max / 1000,
    ios,
    latency_sum_ns: latency.sum,
  };
}

export function totalOf(rows: readonly Stats[]): Stats {
  const sum = (pick: (row: Stats) => number): number => rows.reduce((total, row) => total + pick(row), 0);
  const ios = sum((row) => row.ios);
  const latency_sum_ns = sum((row) => row.latency_sum_ns);
  const busy = rows.filter((row) => row.latency_sum_ns > 0 || row.max_us > 0);
  return {
    runtime_s: rows.reduce((longest, row) => Math.max(longest, row.runtime_s), 0),
    iops: sum((row) => row.iops),
    mibps: sum((row) => row.mibps),
    failed_per_s: sum((row) => row.failed_per_s),
    timeouts_per_s: sum((row) => row.timeouts_per_s),
    average_us: ios > 0 ? latency_sum_ns / ios / 1000 : 0,
    min_us: busy.reduce((least, row) => Math.min(least, row.min_us), busy[0]?.min_us ?? 0),
    max_us: busy.reduce((most, row) => Math.max(most, row.max_us), 0),
    ios,
    latency_sum_ns,
  };
}

export function headerLines(): string[] {
  const columns =
    `${'runtime(s)'.padStart(10)} ${'IOPS'.padStart(10)} ${'MiB/s'.padStart(10)} ${'Fail/s'.padStart(10)}` +
    ` ${'TO/s'.padStart(8)} ${'Average'.padStart(10)} ${'min'.padStart(10)} ${'max'.padStart(10)}`;
  return ['Latency(us)'.padStart(107), `\r ${'Device Information'.padEnd(28)}: ${columns}`];
}

const latencyColumns = ({ average_us, min_us, max_us }: Stats): string =>
  ` ${fixed(average_us, 10)} ${fixed(min_us, 10)} ${fixed(max_us, 10)}`;
const rateColumns = (stats: Stats): string =>
  `${fixed(stats.iops, 10)} ${fixed(stats.mibps, 10)} ${fixed(stats.failed_per_s, 10)}` +
  ` ${fixed(stats.timeouts_per_s, 8)}`;

export function jobLines({ spec, queue_depth, runtime_s, ended_by_error }: JobView, stats: Stats): string[] {
  const { name, workload, rw_percentage, io_size } = spec;
  const mix = isMixed(workload) ? `, percentage: ${rw_percentage}` : '';
  const what = `workload: ${workload}${mix}, depth: ${queue_depth}, IO size: ${io_size}`;
  const lines = [`Job: ${name} (Core Mask 0x${formatCpumask(spec.cpumask)}, ${what})`];
  if (ended_by_error) lines.push(`Job: ${name} ended in about ${runtime_s.toFixed(2)} seconds with error`);
  if (verifies(workload)) {
    const [start, length] = [spec.ios_base.toString(16), spec.size_in_ios.toString(16)];
    lines.push(`\t Verification LBA range: start 0x${start} length 0x${length}`);
  }
  lines.push(
    `\t ${name.padEnd(20)}: ${fixed(stats.runtime_s, 10)} ${rateColumns(stats)}${latencyColumns(stats)}`,
  );
  return lines;
}

export function totalLines(total: Stats): string[] {
  return [
    `\r ${'='.repeat(115)}`,
    `\r ${'Total'.padEnd(28)}: ${''.padStart(10)} ${rateColumns(total)}${latencyColumns(total)}`,
  ];
}

const jobTitle = (spec: JobSpec): string[] => [
  '\r =============================================',
  `\r Job: ${spec.name} (Core Mask 0x${formatCpumask(spec.cpumask)})`,
];

/** The share of I/Os that took no longer than …, for each job (-l). */
export function latencySummary(jobs: readonly { spec: JobSpec; latencies: Float64Array }[]): string[] {
  const lines = ['', ' Latency summary'];
  for (const { spec, latencies } of jobs) {
    lines.push(...jobTitle(spec));
    for (const { share, ns } of new LatencyHistogram(latencies).percentiles(latencyCutoffs))
      lines.push(`${(share * 100).toFixed(5).padStart(9)}% : ${(ns / 1000).toFixed(3).padStart(9)}us`);
    lines.push('');
  }
  return lines;
}

/** Every bucket of each job's histogram (-ll). */
export function latencyDetails(jobs: readonly { spec: JobSpec; latencies: Float64Array }[]): string[] {
  const lines = ['\r Latency histogram'];
  for (const { spec, latencies } of jobs) {
    lines.push(...jobTitle(spec));
    const buckets = new LatencyHistogram(latencies).buckets();
    const total = buckets.at(-1)?.so_far ?? 0;
    for (const { start, end, count, so_far } of buckets) {
      const [from, to] = [start, end].map((ns) => (ns / 1000).toFixed(3).padStart(9));
      const share = ((so_far * 100) / total).toFixed(4).padStart(9);
      lines.push(`${from} - ${to}: ${share}%  (${String(count).padStart(9)})`);
    }
    lines.push('');
  }
  return lines;
}

/** The one line that is shown while a test runs. */
export function progressLine(iops: number, mibps: number): string {
  return `${fixed(iops, 12)} IOPS, ${fixed(mibps, 8)} MiB/s\r`;
}
