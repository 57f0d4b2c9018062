import { describe, expect, it } from 'vitest';
import { summarize } from './summary.ts';
import { compare } from './welch.ts';

describe('summarize', () => {
  it('gives median, mean, spread', () => {
    expect(summarize([2, 4, 4, 4, 5, 5, 7, 9])).toMatchObject({ n: 8, median: 4.5, mean: 5, min: 2, max: 9 });
    expect(summarize([2, 4, 4, 4, 5, 5, 7, 9]).sd).toBeCloseTo(2.138, 3);
    expect(summarize([3])).toEqual({ n: 1, median: 3, mean: 3, sd: 0, min: 3, max: 3 });
    expect(() => summarize([])).toThrow(RangeError);
  });
});

describe('compare', () => {
  // The expected figures are scipy's: ttest_ind(b, a, equal_var=False) and t.ppf(0.995, df).
  const a = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4];
  const b = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 25.4];

  it('agrees with another implementation', () => {
    const result = compare(a, b, 'more');
    expect(result.difference).toBeCloseTo(2.9, 10);
    expect(result.degrees_of_freedom).toBeCloseTo(27.926639850661758, 8);
    expect(result.margin).toBeCloseTo(2.763787579730875 * 0.9989232298067852, 8);
    expect(result.verdict).toBe('faster');
  });

  it('says slower when less would be better, and the other way round', () => {
    expect(compare(a, b, 'less').verdict).toBe('slower');
    expect(compare(b, a, 'less').verdict).toBe('faster');
  });

  it('has no opinion when the interval covers zero', () => {
    expect(compare([10, 12, 14], [11, 12, 14], 'more').verdict).toBe('no significant difference');
  });

  it('needs two samples a side', () => {
    expect(compare([10], [20], 'more')).toMatchObject({ verdict: 'too few samples', ratio: 2, relative: 1 });
  });

  it('gives the difference relative to the baseline', () => {
    const result = compare([100, 100, 100], [110, 110, 110], 'more');
    expect(result).toMatchObject({ relative: 0.1, relative_margin: 0, verdict: 'faster' });
  });

  it('survives a baseline of nothing', () => {
    expect(compare([0, 0], [0, 0], 'less')).toMatchObject({ ratio: 1, relative: 0 });
    expect(compare([0, 0], [1, 1], 'less').relative).toBe(Infinity);
  });
});
