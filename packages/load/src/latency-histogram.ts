/*
 * Latencies in ns, as SPDK counts them: ranges of 128 buckets; the first two ranges have buckets of 1 ns, each
 * further one buckets twice as wide as the one before. A value is off by less than 1 %.
 */
const GRANULARITY = 7;
const PER_RANGE = 1 << GRANULARITY;
/** Ranges up to 2^53 ns. */
const RANGES = 53 - GRANULARITY + 1;
const TWO_31 = 0x8000_0000;

/** Shares of all I/Os that the latency summary shows. */
export const latencyCutoffs: readonly number[] = [
  0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999, 0.99999, 0.999999, 0.9999999,
];

/** One bucket that is not empty: more than `start`, at most `end` ns, and the count up to and with it. */
export interface LatencyBucket {
  readonly start: number;
  readonly end: number;
  readonly count: number;
  readonly so_far: number;
}

/** What the table shows of a histogram, ns. */
export interface LatencyTotals {
  readonly count: number;
  /** Sum over all I/Os, each taken as its bucket's middle. */
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

export class LatencyHistogram {
  readonly counts: Float64Array;

  /** `counts`: those of another histogram, which is continued. */
  constructor(counts: Float64Array = new Float64Array(RANGES * PER_RANGE)) {
    this.counts = counts;
  }

  /** Counts an I/O that took `ns` (an integer from 0 on). For the hot path. */
  tally(ns: number): void {
    let at: number;
    if (ns < TWO_31) {
      const range = 32 - GRANULARITY - Math.clz32(ns);
      at =
        range <= 1
          ? ns & (2 * PER_RANGE - 1)
          : (range << GRANULARITY) + ((ns >>> (range - 1)) & (PER_RANGE - 1));
    } else {
      const range = 64 - GRANULARITY - Math.clz32(Math.floor(ns / 0x1_0000_0000));
      const width = 2 ** (range - 1);
      at = range * PER_RANGE + (Math.floor(ns / width) % PER_RANGE);
    }
    this.counts[at] = this.counts[at]! + 1;
  }

  /** Adds another histogram's counts. */
  add(other: LatencyHistogram): void {
    for (let i = 0; i < this.counts.length; i++) this.counts[i] = this.counts[i]! + other.counts[i]!;
  }

  /** The buckets that are not empty, ascending. */
  buckets(): LatencyBucket[] {
    const found: LatencyBucket[] = [];
    let start = 0;
    let so_far = 0;
    for (let at = 0; at < this.counts.length; at++) {
      const range = Math.floor(at / PER_RANGE);
      const index = (at % PER_RANGE) + 1;
      const end = range === 0 ? index : 2 ** (range + GRANULARITY - 1) + index * 2 ** (range - 1);
      const count = this.counts[at]!;
      so_far += count;
      if (count > 0) found.push({ start, end, count, so_far });
      start = end;
    }
    return found;
  }

  totals(): LatencyTotals {
    const buckets = this.buckets();
    let sum = 0;
    for (const { start, end, count } of buckets) sum += Math.floor((start + end) / 2) * count;
    const last = buckets.at(-1);
    return { count: last?.so_far ?? 0, sum, min: buckets[0]?.start ?? 0, max: last?.end ?? 0 };
  }

  /** For each share: the latency (ns) that at least so many of the I/Os did not exceed. Empty without I/Os. */
  percentiles(shares: readonly number[] = latencyCutoffs): { share: number; ns: number }[] {
    const found: { share: number; ns: number }[] = [];
    const buckets = this.buckets();
    const total = buckets.at(-1)?.so_far ?? 0;
    for (const { end, so_far } of buckets)
      while (found.length < shares.length && so_far / total >= shares[found.length]!)
        found.push({ share: shares[found.length]!, ns: end });
    return found;
  }
}
