import { describe, expect, it } from 'vitest';
import { LatencyHistogram } from './latency-histogram.ts';

const filled = (values: Iterable<number>): LatencyHistogram => {
  const histogram = new LatencyHistogram();
  for (const value of values) histogram.tally(value);
  return histogram;
};

describe('latency histogram', () => {
  it('is exact below 256 ns and within 1 % above, over its whole range', () => {
    for (let ns = 0; ns < 256; ns++)
      expect(filled([ns]).buckets()).toEqual([{ start: ns, end: ns + 1, count: 1, so_far: 1 }]);
    for (let ns = 256; ns < 2 ** 52; ns = Math.floor(ns * 1.37) + 1) {
      const [bucket] = filled([ns]).buckets();
      expect(bucket!.start).toBeLessThanOrEqual(ns);
      expect(bucket!.end).toBeGreaterThan(ns);
      expect((bucket!.end - bucket!.start) / ns).toBeLessThan(0.01);
    }
  });

  it('has buckets without gaps at the borders of ranges', () => {
    for (const power of [8, 9, 20, 30, 31, 32, 33, 45]) {
      const border = 2 ** power;
      const [below, at] = filled([border - 1, border]).buckets();
      expect(below!.end).toBe(border);
      expect(at!.start).toBe(border);
    }
  });

  it('reckons sum, extremes and percentiles', () => {
    const histogram = filled(Array.from({ length: 200 }, (_, index) => index + 1));
    expect(histogram.totals()).toMatchObject({ count: 200, min: 1, max: 201 });
    expect(histogram.totals().sum).toBe((200 * 201) / 2);
    expect(histogram.percentiles([0.01, 0.5, 0.99, 1])).toEqual([
      { share: 0.01, ns: 3 },
      { share: 0.5, ns: 101 },
      { share: 0.99, ns: 199 },
      { share: 1, ns: 201 },
    ]);
  });

  it('shows the tail where it belongs', () => {
    const histogram = filled([...Array.from({ length: 999 }, () => 100), 5000]);
    const of = new Map(histogram.percentiles().map(({ share, ns }) => [share, ns]));
    expect(of.get(0.999)).toBe(101);
    expect(of.get(0.9999)).toBeGreaterThan(5000);
    expect(of.size).toBe(15);
  });

  it('adds up, and is empty at first', () => {
    expect(new LatencyHistogram().totals()).toEqual({ count: 0, sum: 0, min: 0, max: 0 });
    expect(new LatencyHistogram().percentiles()).toEqual([]);
    const sum = filled([10]);
    sum.add(filled([10, 1000]));
    expect(sum.totals().count).toBe(3);
  });
});
