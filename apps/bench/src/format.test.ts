import { describe, expect, it } from 'vitest';
import { describeCommand } from './environment.ts';
import { formatDifference, formatNumber, formatRatio, formatShare } from './format.ts';
import { compare } from './statistics/welch.ts';

describe('numbers in reports', () => {
  it('have three digits', () => {
    const shown = [26857590, 999_600, 646016, 9999, 812.4, 48.52, 3.014, 0.0123, 0].map(formatNumber);
    expect(shown).toEqual(['26.9 M', '1.00 M', '646 K', '10.0 K', '812', '48.5', '3.01', '0.012', '0']);
    expect(formatNumber(Infinity)).toBe('–');
  });

  it('show differences with their sign', () => {
    expect([0.041, -0.5, 0, 1.9, Infinity].map(formatShare)).toEqual([
      '+4.1 %',
      '−50.0 %',
      '±0.0 %',
      '+190 %',
      '–',
    ]);
    expect([1.036, 14.2].map(formatRatio)).toEqual(['1.04×', '14.2×']);
    expect(formatDifference(compare([100, 100], [110, 110], 'more'))).toBe('+10.0 % (+10.0 % … +10.0 %)');
    expect(formatDifference(compare([100], [110], 'more'))).toBe('+10.0 %');
  });
});

describe('the command line in reports', () => {
  it("hides this machine's paths", () => {
    const command = describeCommand([
      'run',
      'ring-table',
      '--spdk',
      '/home/me/spdk',
      '--html=/tmp/x/a.html',
      'a b',
      '0/1',
    ]);
    expect(command).toBe("spdk-ts bench run ring-table --spdk …/spdk --html=…/a.html 'a b' 0/1");
  });
});
