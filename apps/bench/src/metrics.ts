import type { Better, Verdict } from './statistics/welch.ts';

/** What may be known about a sample. */
export type MetricName =
  | 'iops'
  | 'mibps'
  | 'latency_us_average'
  | 'latency_us_p50'
  | 'latency_us_p99'
  | 'latency_us_p999'
  | 'latency_us_max'
  | 'cpu_user'
  | 'cpu_system'
  | 'cpu'
  | 'iops_per_cpu_s'
  | 'traps_per_1000'
  | 'start_ms'
  | 'memory_mib';

export type Metrics = Readonly<Partial<Record<MetricName, number>>>;

export interface Metric {
  readonly name: MetricName;
  readonly label: string;
  /** As the title of a column, unit included. */
  readonly short: string;
  /** As it stands behind a number; empty: none. */
  readonly unit: string;
  readonly better: Better;
}

const metric = (
  name: MetricName,
  label: string,
  short: string,
  unit: string,
  better: Better,
): [MetricName, Metric] => [name, { name, label, short, unit, better }];

/** In the order in which reports show them. */
export const metrics: ReadonlyMap<MetricName, Metric> = new Map([
  metric('iops', 'IOPS', 'IOPS', '', 'more'),
  metric('mibps', 'throughput', 'MiB/s', 'MiB/s', 'more'),
  metric('latency_us_average', 'average latency', 'mean µs', 'µs', 'less'),
  metric('latency_us_p50', 'p50', 'p50 µs', 'µs', 'less'),
  metric('latency_us_p99', 'p99', 'p99 µs', 'µs', 'less'),
  metric('latency_us_p999', 'p99.9', 'p99.9 µs', 'µs', 'less'),
  metric('latency_us_max', 'longest', 'longest µs', 'µs', 'less'),
  metric('cpu', 'CPU', 'cores', 'cores', 'less'),
  metric('cpu_user', 'CPU in user space', 'user', 'cores', 'less'),
  metric('cpu_system', 'CPU in the kernel', 'kernel', 'cores', 'less'),
  metric('iops_per_cpu_s', 'IOPS per CPU-second', 'IOPS/CPU-s', '', 'more'),
  metric('traps_per_1000', 'doorbell traps per 1000 I/Os', 'traps/1000', '', 'less'),
  metric('start_ms', 'start to listening', 'start ms', 'ms', 'less'),
  metric('memory_mib', 'resident memory', 'MiB', 'MiB', 'less'),
]);

/** A verdict in words that fit the metric: nothing gets faster by taking less memory. */
export function verdictText({ name }: Metric, verdict: Verdict): string {
  if (verdict !== 'faster' && verdict !== 'slower') return verdict;
  const better = verdict === 'faster';
  if (name === 'iops_per_cpu_s') return better ? 'better' : 'worse';
  if (name.startsWith('cpu') || name === 'memory_mib' || name === 'traps_per_1000')
    return better ? 'less' : 'more';
  return verdict;
}

export const isMetric = (name: string): name is MetricName => metrics.has(name as MetricName);
