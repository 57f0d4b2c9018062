/*
 * SPDK's latency histogram: ranges of 2^granularity buckets; the first two ranges have buckets of one tick, each
 * further one buckets twice as wide as the one before. Only the ranges from that of `min` to that of `max` are
 * kept; what lies outside counts in the first or last bucket.
 */

export interface HistogramOptions {
  /** Buckets of a power of two, as a power of two: 1 to 20. */
  readonly granularity: number;
  readonly min_nsec: number;
  /** Exclusive. */
  readonly max_nsec: number;
  /** The only I/O type counted, or -1 for all. */
  readonly type: number;
}

export const defaultHistogram: HistogramOptions = {
  granularity: 7,
  min_nsec: 1000,
  max_nsec: 120_000_000_000,
  type: -1,
};

const TWO_32 = 0x1_0000_0000;

/** Number of bits of a non-negative integer below 2^53. */
function bitLength(value: number): number {
  return value < TWO_32 ? 32 - Math.clz32(value) : 64 - Math.clz32(Math.floor(value / TWO_32));
}

/** The range that a value counts in. */
export function histogramRange(granularity: number, ticks: number): number {
  const bits = bitLength(ticks);
  return bits > granularity ? bits - granularity : 0;
}

export class Histogram {
  readonly granularity: number;
  readonly type: number;
  readonly min_range: number;
  readonly max_range: number;
  readonly buckets: Float64Array;

  /** `options` in nanoseconds; a tick is `ns_per_tick` of them. */
  constructor(options: HistogramOptions, ns_per_tick = 1) {
    this.granularity = options.granularity;
    this.type = options.type;
    this.min_range = histogramRange(options.granularity, Math.floor(options.min_nsec / ns_per_tick));
    this.max_range = histogramRange(options.granularity, Math.floor(options.max_nsec / ns_per_tick) - 1);
    this.buckets = new Float64Array((this.max_range - this.min_range + 1) * 2 ** this.granularity);
  }

  /** Counts a latency in ticks. */
  tally(ticks: number): void {
    const range = histogramRange(this.granularity, ticks);
    const per_range = 2 ** this.granularity;
    let at = 0;
    if (range > this.max_range) at = this.buckets.length - 1;
    else if (range >= this.min_range) {
      const width = range === 0 ? 1 : 2 ** (range - 1);
      at = (range - this.min_range) * per_range + (Math.floor(ticks / width) & (per_range - 1));
    }
    this.buckets[at] = this.buckets[at]! + 1;
  }

  /** Upper end of each bucket, ticks, with the number of I/Os up to there: calls `fn` in ascending order. */
  forEach(fn: (start: number, end: number, count: number) => void): void {
    const per_range = 2 ** this.granularity;
    let start = 0;
    this.buckets.forEach((count, at) => {
      const range = this.min_range + Math.floor(at / per_range);
      const index = (at % per_range) + 1;
      const end = range === 0 ? index : 2 ** (range + this.granularity - 1) + index * 2 ** (range - 1);
      fn(start, end, count);
      start = end;
    });
  }

  /** Counts of I/Os that took no longer than each of the ascending borders (ticks), and of all of them. */
  bordersCount(borders: readonly number[]): number[] {
    const counts = new Array<number>(borders.length + 1).fill(0);
    let index = 0;
    let total = 0;
    this.forEach((start, _end, count) => {
      while (index < borders.length && start > borders[index]!) {
        index++;
        counts[index] = counts[index - 1]!;
      }
      total += count;
      counts[index] = total;
    });
    for (let i = index + 1; i < counts.length; i++) counts[i] = total;
    return counts;
  }
}
