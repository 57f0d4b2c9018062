import { kindOf, parseCalls, type Subject } from './subject.ts';
import type { Effort } from './trial.ts';

/** What `npm run test:bdev` was told, which scripts/test-bdev.mjs puts into BDEV_TEST. */
interface Given {
  readonly bdev?: readonly string[];
  readonly plugin?: readonly string[];
  readonly seed?: number;
  readonly runs?: number;
  readonly stacks?: number;
  readonly 'stacks-only'?: boolean;
  readonly 'no-data'?: boolean;
  readonly unmapped?: 'zeroes' | 'anything';
}

const given = JSON.parse(process.env['BDEV_TEST'] || '{}') as Given;

/** The seed of this run, and how much is done: little, unless `--runs` says more. */
export const effort: Effort = {
  seed: given.seed ?? Math.floor(Math.random() * 0x7fff_ffff),
  runs: given.runs ?? 6,
};

/** How many stacks are made at random, and whether nothing else is tested. */
export const stacks = { count: given.stacks ?? 4, only: given['stacks-only'] ?? false };

export const plugins: readonly string[] = given.plugin ?? [];

/** The bdevs to test instead of those of the tree, without reactors and resizing; null: none was given. */
export const chosen: readonly Pick<Subject, 'title' | 'kind' | 'calls' | 'bdev' | 'promises'>[] | null =
  given.bdev === undefined
    ? null
    : given.bdev.map((json) => {
        const { calls, bdev } = parseCalls(json);
        const forgets = calls.some(({ method }) => method === 'bdev_null_create');
        const promises = {
          data: !given['no-data'] && !forgets,
          unmapped: given.unmapped ?? ('zeroes' as const),
        };
        const title = bdev ?? String(calls.at(-1)!.params?.['name'] ?? calls.at(-1)!.method);
        return { title, kind: kindOf(calls), calls, bdev, promises };
      });
