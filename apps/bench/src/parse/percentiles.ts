import type { Metrics } from '../metrics.ts';

/** A bucket of a latency histogram: its upper end in µs, and how many I/Os fell into it. */
export interface Bucket {
  readonly end_us: number;
  readonly count: number;
}

/** Latency by share of I/Os: 0.99 → µs. */
export type Percentiles = ReadonlyMap<number, number>;

/** The latency that `share` of the I/Os of all buckets, in any order, did not exceed. Null without I/Os. */
export function percentileOf(buckets: readonly Bucket[], share: number): number | null {
  const total = buckets.reduce((sum, { count }) => sum + count, 0);
  let so_far = 0;
  for (const { end_us, count } of [...buckets].sort((a, b) => a.end_us - b.end_us)) {
    so_far += count;
    if (count > 0 && so_far >= share * total) return end_us;
  }
  return null;
}

/**
 * The percentiles that are reported, of one or several jobs: a single job's own summary when there is one, else
 * the histograms of all jobs taken together. Percentiles of several jobs cannot be reckoned from their summaries.
 */
export function percentileMetrics(summaries: readonly Percentiles[], buckets: readonly Bucket[]): Metrics {
  const pick = (share: number): number | undefined =>
    (summaries.length === 1 ? summaries[0]!.get(share) : undefined) ??
    percentileOf(buckets, share) ??
    undefined;
  const [p50, p99, p999] = [pick(0.5), pick(0.99), pick(0.999)];
  return {
    ...(p50 !== undefined && { latency_us_p50: p50 }),
    ...(p99 !== undefined && { latency_us_p99: p99 }),
    ...(p999 !== undefined && { latency_us_p999: p999 }),
  };
}

const SUMMARY_LINE = /^\s*(\d+(?:\.\d+)?)%\s*:\s*(\d+(?:\.\d+)?)us\s*$/;
const BUCKET_LINE = /^\s*[\d.]+\s+-\s+([\d.]+):\s*[\d.]+%\s+\(\s*(\d+)\)\s*$/;

/** Reads the latency lines that SPDK's tools and ours print after the results: -l of bdevperf, -L of perf. */
export function parseLatencyLines(lines: readonly string[]): Metrics {
  const summaries: Map<number, number>[] = [];
  const buckets: Bucket[] = [];
  let inside = false;
  for (const line of lines) {
    const summary = SUMMARY_LINE.exec(line);
    if (summary !== null) {
      if (!inside) summaries.push(new Map());
      summaries.at(-1)!.set(Number((Number(summary[1]) / 100).toFixed(9)), Number(summary[2]));
    }
    inside = summary !== null;
    const bucket = BUCKET_LINE.exec(line);
    if (bucket !== null) buckets.push({ end_us: Number(bucket[1]), count: Number(bucket[2]) });
  }
  return percentileMetrics(summaries, buckets);
}
