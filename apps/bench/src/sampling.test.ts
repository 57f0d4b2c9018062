import { describe, expect, it } from 'vitest';
import type { Attempt } from './runners/session.ts';
import { sampleRounds } from './sampling.ts';

const noise = { other: 0, steal: 0, load: 0 };
const good = (iops: number): Attempt => ({ metrics: { iops }, noise, disturbance: null });
const bad: Attempt = { metrics: { iops: 1 }, noise: { ...noise, other: 0.9 }, disturbance: 'busy' };
const rounds = [
  [0, 1],
  [1, 0],
];

describe('sampling', () => {
  it('goes in the given order and keeps samples by side', async () => {
    const asked: number[] = [];
    const { samples, rejections } = await sampleRounds(rounds, 3, {
      take: async (side, round) => {
        asked.push(side);
        return good(side * 10 + round);
      },
    });
    expect(asked).toEqual([0, 1, 1, 0]);
    expect(samples.map((side) => side.map(({ metrics }) => metrics.iops))).toEqual([
      [0, 1],
      [10, 11],
    ]);
    expect(rejections).toEqual([]);
  });

  it('takes a disturbed sample again at once, and reports it', async () => {
    const answers = [bad, bad, good(5), good(6), good(7), good(8)];
    const asked: number[] = [];
    const told: string[] = [];
    const result = await sampleRounds(rounds, 3, {
      take: async (side) => {
        asked.push(side);
        return answers.shift()!;
      },
      rejected: ({ reason, side }) => told.push(`${side} ${reason}`),
    });
    expect(asked).toEqual([0, 0, 0, 1, 1, 0]);
    expect(told).toEqual(['0 busy', '0 busy']);
    expect(result.rejections).toHaveLength(2);
    expect(result.rounds_lost).toBe(0);
    expect(result.samples[0]!.map(({ metrics }) => metrics.iops)).toEqual([5, 8]);
  });

  it('leaves a round out when the machine is never quiet, for both sides', async () => {
    const answers = [good(1), bad, bad, good(2), good(3)];
    const result = await sampleRounds(rounds, 1, { take: async () => answers.shift()! });
    expect(result.rounds_lost).toBe(1);
    expect(result.rejections).toHaveLength(2);
    expect(result.samples.map((side) => side.map(({ round }) => round))).toEqual([[1], [1]]);
  });

  it('ends at a failure and keeps the rounds before it', async () => {
    const answers = [good(1), good(2), good(3)];
    const result = await sampleRounds([...rounds, [0, 1]], 1, {
      take: () =>
        answers.length > 0 ? Promise.resolve(answers.shift()!) : Promise.reject(new Error('crashed')),
    });
    expect(result.failure).toMatchObject({ side: 0, round: 1, error: new Error('crashed') });
    expect(result.samples.map((side) => side.length)).toEqual([1, 1]);
    expect(result.rounds_lost).toBe(0);
  });
});
