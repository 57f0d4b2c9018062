import { type Metric, type MetricName, metrics } from './metrics.ts';
import type { RowResult, SideResult } from './result.ts';
import { type Summary, summarize } from './statistics/summary.ts';
import { compare, type Difference } from './statistics/welch.ts';

/** A side beside the row's baseline, in the metric that decides. */
export interface Comparison {
  readonly result: RowResult;
  readonly metric: Metric;
  readonly baseline: SideResult;
  readonly side: SideResult;
  readonly difference: Difference;
  /** The row's aim is reached; null: it has none, or this is not the side that it is about. */
  readonly reached: boolean | null;
  /** ratio of the median p99, and of IOPS per CPU-second; null when one is not known */
  readonly p99_ratio: number | null;
  readonly efficiency_ratio: number | null;
}

export const metricOf = (result: RowResult): Metric => metrics.get(result.row.metric)!;

/** The values of a metric, one a sample. Empty if a sample lacks it. */
export function valuesOf(side: SideResult, name: MetricName): number[] {
  const values = side.samples.map((sample) => sample.metrics[name]).filter((value) => value !== undefined);
  return values.length === side.samples.length ? values : [];
}

/** Null without values. */
export function summaryOf(side: SideResult, name: MetricName): Summary | null {
  const values = valuesOf(side, name);
  return values.length === 0 ? null : summarize(values);
}

/** Sides that have samples of the row's metric. The first is what the others are compared with. */
export const measuredSides = (result: RowResult): SideResult[] =>
  result.sides.filter((side) => valuesOf(side, result.row.metric).length > 0);

/**
 * Compares every measured side with the row's baseline, its first side. If that one could not run there is nothing
 * to compare with: another baseline would turn the row's meaning round.
 */
export function comparisonsOf(result: RowResult): Comparison[] {
  const { metric: name, reach } = result.row;
  const baseline = result.sides[0];
  const metric = metricOf(result);
  if (baseline === undefined || valuesOf(baseline, name).length === 0) return [];
  return measuredSides(result)
    .filter((side) => side !== baseline)
    .map((side, index) => {
      const difference = compare(valuesOf(baseline, name), valuesOf(side, name), metric.better);
      const aimed = reach !== null && index === 0;
      const reached = metric.better === 'more' ? difference.ratio >= reach! : difference.ratio <= reach!;
      return {
        ...{ result, metric, baseline, side, difference, reached: aimed ? reached : null },
        p99_ratio: ratio(baseline, side, 'latency_us_p99'),
        efficiency_ratio: ratio(baseline, side, 'iops_per_cpu_s'),
      };
    });
}

function ratio(baseline: SideResult, side: SideResult, name: MetricName): number | null {
  const [a, b] = [summaryOf(baseline, name), summaryOf(side, name)];
  return a === null || b === null || a.median === 0 ? null : b.median / a.median;
}

/** Groups in the order in which they first appear. */
export function groupsOf(rows: readonly RowResult[]): Map<string, RowResult[]> {
  const groups = new Map<string, RowResult[]>();
  for (const row of rows) groups.set(row.row.group, [...(groups.get(row.row.group) ?? []), row]);
  return groups;
}
