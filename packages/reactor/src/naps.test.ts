import { TICKS_PER_US } from '@spdk-ts/env';
import { describe, expect, it } from 'vitest';
import { Naps } from './naps.ts';

const us = (n: number): number => n * TICKS_PER_US;

/** So many gaps of a length, in which it naps whenever it may, and is woken late. Returns how often it did. */
function gaps(naps: Naps, count: number, length: number, late = 30): number {
  let taken = 0;
  for (let i = 0; i < count; i++) {
    naps.worked(us(1)); // the rest of a burst
    const naps_now = length > 10 && naps.due(us(5));
    if (naps_now) naps.slept();
    taken += Number(naps_now);
    naps.worked(us(length + (naps_now ? late : 0)));
  }
  return taken;
}

describe('a reactor that waits for a device', () => {
  it('naps in most gaps where they are long', () => {
    const naps = new Naps();
    expect(gaps(naps, 8, 110)).toBeLessThanOrEqual(7);
    expect(gaps(naps, 80, 110)).toBe(70);
  });

  it('stays awake where they are short, although a nap would make them long', () => {
    const naps = new Naps();
    expect(gaps(naps, 100, 40)).toBe(0);
    gaps(naps, 100, 110);
    gaps(naps, 100, 40);
    expect(gaps(naps, 100, 40)).toBe(0);
  });

  it('learns nothing from what it slept through', () => {
    const naps = new Naps();
    for (let i = 0; i < 100; i++) {
      naps.slept();
      naps.worked(us(10_000));
    }
    expect(naps.due(us(5))).toBe(false);
  });

  it('looks for work first', () => {
    const naps = new Naps();
    gaps(naps, 81, 110);
    expect([naps.due(us(4)), naps.due(us(5))]).toEqual([false, true]);
  });

  it('takes one long gap for what it is', () => {
    const naps = new Naps();
    gaps(naps, 50, 20);
    naps.worked(us(1_000_000));
    gaps(naps, 20, 20);
    expect(gaps(naps, 50, 20)).toBe(0);
  });
});
