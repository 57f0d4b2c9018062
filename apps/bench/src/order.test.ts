import { describe, expect, it } from 'vitest';
import { randomFrom, roundsOf } from './order.ts';

describe('the order of samples', () => {
  it('gives every side one turn a round', () => {
    for (const order of ['random', 'abba'] as const)
      for (const round of roundsOf(order, 3, 20, randomFrom(7)))
        expect([...round].sort((a, b) => a - b)).toEqual([0, 1, 2]);
  });

  it('is the same for the same seed and another for another', () => {
    const rounds = (seed: number) => roundsOf('random', 2, 30, randomFrom(seed));
    expect(rounds(5)).toEqual(rounds(5));
    expect(rounds(5)).not.toEqual(rounds(6));
  });

  it('goes to and fro as ABBA', () => {
    const [first, second, third] = roundsOf('abba', 2, 3, randomFrom(1));
    expect(second).toEqual([...first!].reverse());
    expect(third).toEqual(first);
  });

  it('draws both orders about equally often', () => {
    const first = roundsOf('random', 2, 1000, randomFrom(3)).filter(([side]) => side === 0).length;
    expect(first).toBeGreaterThan(430);
    expect(first).toBeLessThan(570);
  });
});
