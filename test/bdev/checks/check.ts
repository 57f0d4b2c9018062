import type { Trial } from '../trial.ts';

/** One thing that every bdev must do. Throws what is wrong. */
export interface Check {
  readonly title: string;
  /** It is about blocks that are read and written at random. */
  readonly of_blocks?: boolean;
  /** Why a bdev need not; empty: it must. */
  unneeded?(trial: Trial): string;
  run(trial: Trial): Promise<void>;
}

export function same(what: string, actual: unknown, expected: unknown): void {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (is !== should) throw new Error(`${what}: is ${is}, should be ${should}`);
}
