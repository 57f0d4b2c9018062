import { describe, expect, it } from 'vitest';
import { incompleteBeta, logGamma, studentCdf, studentQuantile } from './student.ts';

describe('the incomplete beta function', () => {
  it('knows the gamma function', () => {
    expect(logGamma(1)).toBeCloseTo(0, 12);
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.sqrt(Math.PI)), 12);
    expect(logGamma(10)).toBeCloseTo(Math.log(362880), 10);
    expect(logGamma(0.1)).toBeCloseTo(2.252712651734206, 10);
  });

  it('has known values', () => {
    expect(incompleteBeta(0, 2, 3)).toBe(0);
    expect(incompleteBeta(1, 2, 3)).toBe(1);
    expect(incompleteBeta(0.3, 1, 1)).toBeCloseTo(0.3, 13);
    expect(incompleteBeta(0.5, 2, 2)).toBeCloseTo(0.5, 13);
    expect(incompleteBeta(0.4, 2, 3)).toBeCloseTo(0.5248, 12); // 6x² − 8x³ + 3x⁴
    expect(incompleteBeta(0.25, 0.5, 0.5)).toBeCloseTo((2 / Math.PI) * Math.asin(0.5), 12);
  });
});

describe("Student's t", () => {
  it('has the distribution of Cauchy with one degree of freedom', () => {
    for (const t of [-5, -1, 0, 0.3, 2, 40])
      expect(studentCdf(t, 1)).toBeCloseTo(0.5 + Math.atan(t) / Math.PI, 12);
  });

  // Of the tables in any statistics book.
  it.each([
    [0.995, 1, 63.657],
    [0.995, 2, 9.925],
    [0.995, 4, 4.604],
    [0.995, 8, 3.355],
    [0.995, 10, 3.169],
    [0.995, 30, 2.75],
    [0.995, 58, 2.663],
    [0.995, 1e6, 2.576],
    [0.975, 5, 2.571],
    [0.95, 20, 1.725],
    [0.9, 3, 1.638],
  ])('stays below with chance %d at %d degrees of freedom: %d', (p, df, t) => {
    expect(studentQuantile(p, df)).toBeCloseTo(t, 3);
    expect(studentQuantile(1 - p, df)).toBeCloseTo(-t, 3);
  });

  it('refuses what has no answer', () => {
    expect(() => studentQuantile(1, 3)).toThrow(RangeError);
    expect(() => studentQuantile(0.9, 0)).toThrow(RangeError);
    expect(studentQuantile(0.5, 7)).toBe(0);
  });
});
