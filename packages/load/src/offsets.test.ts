import { describe, expect, it } from 'vitest';
import { Bitmap } from './bitmap.ts';
import { RandomMap, Xorshift, Zipf } from './offsets.ts';

describe('bitmap', () => {
  it('finds the first clear bit from anywhere', () => {
    for (const size of [1, 31, 32, 33, 100]) {
      const bitmap = new Bitmap(size);
      for (let bit = 0; bit < size; bit++) {
        expect(bitmap.firstClear(0)).toBe(bit);
        expect(bitmap.firstClear(bit)).toBe(bit);
        bitmap.set(bit);
        expect(bitmap.has(bit)).toBe(true);
      }
      expect(bitmap.firstClear(0)).toBe(-1);
      bitmap.clear(size - 1);
      expect(bitmap.firstClear(0)).toBe(size - 1);
      bitmap.clearAll();
      expect(bitmap.firstClear(size >> 1)).toBe(size >> 1);
    }
  });
});

describe('random places', () => {
  it('are even, within bounds, and the same for the same seed', () => {
    const random = new Xorshift(1);
    const again = new Xorshift(1);
    const counts = new Array<number>(10).fill(0);
    let differ = 0;
    for (let i = 0; i < 100_000; i++) {
      const value = random.below(10);
      if (again.below(10) !== value) differ++;
      counts[value]!++;
    }
    expect(differ).toBe(0);
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });

  it('reach beyond 2^32', () => {
    const random = new Xorshift(2);
    let largest = 0;
    for (let i = 0; i < 1000; i++) {
      const value = random.below(2 ** 45);
      expect(Number.isInteger(value) && value >= 0 && value < 2 ** 45).toBe(true);
      largest = Math.max(largest, value);
    }
    expect(largest).toBeGreaterThan(2 ** 44);
  });

  it('of a map come once each before any comes again', () => {
    const map = new RandomMap(77, new Xorshift(3));
    for (let round = 0; round < 3; round++) {
      const seen = new Set(Array.from({ length: 77 }, () => map.next()));
      expect(seen.size).toBe(77);
    }
  });

  it("of Zipf's law come in its proportions", () => {
    const theta = 0.9;
    const zipf = new Zipf(1000, theta, new Xorshift(4));
    const counts = new Array<number>(1000).fill(0);
    const draws = 200_000;
    for (let i = 0; i < draws; i++) counts[zipf.next()]!++;
    const norm = counts.reduce((sum, _, k) => sum + (k + 1) ** -theta, 0);
    expect(counts[0]! / draws).toBeCloseTo(1 / norm, 2);
    expect(counts[1]! / draws).toBeCloseTo(2 ** -theta / norm, 2);
    const lowHalf = counts.slice(0, 500).reduce((a, b) => a + b, 0);
    expect(lowHalf / draws).toBeGreaterThan(0.8);
    for (const [size, t] of [
      [1, 0.5],
      [2, 1],
      [10_000_000, 1.2],
    ] as const) {
      const other = new Zipf(size, t, new Xorshift(5));
      for (let i = 0; i < 1000; i++) {
        const value = other.next();
        expect(Number.isInteger(value) && value >= 0 && value < size).toBe(true);
      }
    }
  });
});
