import type { Noise } from './machine/quiet.ts';
import type { Metrics } from './metrics.ts';
import type { Attempt } from './runners/session.ts';

/** A sample that is believed. */
export interface Sample {
  readonly round: number;
  readonly metrics: Metrics;
  readonly noise: Noise;
}

/** One that is not. */
export interface Rejection {
  readonly side: number;
  readonly round: number;
  readonly reason: string;
  readonly metrics: Metrics;
}

export interface Sampled {
  /** By side. */
  readonly samples: readonly (readonly Sample[])[];
  readonly rejections: readonly Rejection[];
  /** Rounds that were left out because the machine was never quiet. */
  readonly rounds_lost: number;
  /** What broke the sampling off: rounds that were complete before are kept. */
  readonly failure: SampleFailure | null;
}

export interface SampleFailure {
  readonly side: number;
  readonly round: number;
  readonly error: Error;
}

export interface SamplingHooks {
  /** Takes one sample of a side. */
  take(side: number, round: number): Promise<Attempt>;
  rejected?(rejection: Rejection): void;
}

/**
 * Takes samples in the given order. A sample that was disturbed is taken again at once, `redo_max` times at most;
 * then the whole round is left out for every side, so that each side keeps the same rounds.
 */
export async function sampleRounds(
  rounds: readonly (readonly number[])[],
  redo_max: number,
  hooks: SamplingHooks,
): Promise<Sampled> {
  const sides = rounds[0]?.length ?? 0;
  const samples: Sample[][] = Array.from({ length: sides }, () => []);
  const rejections: Rejection[] = [];
  let rounds_lost = 0;
  let failure: SampleFailure | null = null;
  const failed = (side: number, round: number, error: Error): null => {
    failure = { side, round, error };
    return null;
  };
  for (const [round, order] of rounds.entries()) {
    const found = new Map<number, Sample>();
    for (const side of order) {
      const attempt = await believable(side, round, redo_max, hooks, rejections).catch((error: Error) =>
        failed(side, round, error),
      );
      if (attempt === null) break;
      found.set(side, { round, metrics: attempt.metrics, noise: attempt.noise });
    }
    if (found.size === order.length) for (const [side, sample] of found) samples[side]!.push(sample);
    else if (failure === null) rounds_lost++;
    else break;
  }
  return { samples, rejections, rounds_lost, failure };
}

async function believable(
  side: number,
  round: number,
  redo_max: number,
  hooks: SamplingHooks,
  rejections: Rejection[],
): Promise<Attempt | null> {
  for (let tries = 0; tries <= redo_max; tries++) {
    const attempt = await hooks.take(side, round);
    if (attempt.disturbance === null) return attempt;
    const rejection = { side, round, reason: attempt.disturbance, metrics: attempt.metrics };
    rejections.push(rejection);
    hooks.rejected?.(rejection);
  }
  return null;
}
