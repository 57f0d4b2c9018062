import { availableParallelism } from 'node:os';
import { waitUntilQuiet } from './machine/quiet.ts';
import { type Order, randomFrom, roundsOf } from './order.ts';
import type { RowResult, SideResult } from './result.ts';
import type { Session } from './runners/session.ts';
import { take } from './runners/take.ts';
import { type Rejection, type Sample, sampleRounds } from './sampling.ts';
import type { Row, Side } from './scenario/types.ts';
import { Skip } from './skip.ts';

/** Is told how a row goes on. */
export interface Progress {
  begin(row: Row, index: number, rows: number): void;
  sample(side: Side, round: number, rounds: number): void;
  rejected(side: Side, reason: string): void;
  end(result: RowResult): void;
}

export interface RunOptions {
  readonly seed: number;
  readonly order: Order;
  /** How often a disturbed sample is taken again. */
  readonly redo_max: number;
}

const PROBE_S = 1;

/** Runs rows one after the other; `finished` is given all results so far after each. */
export async function runRows(
  session: Session,
  rows: readonly Row[],
  options: RunOptions,
  progress: Progress,
  finished: (results: readonly RowResult[]) => void,
): Promise<RowResult[]> {
  const results: RowResult[] = [];
  const random = randomFrom(options.seed);
  for (const [index, row] of rows.entries()) {
    progress.begin(row, index, rows.length);
    const result = await runRow(session, row, options, random, progress);
    results.push(result);
    progress.end(result);
    finished(results);
  }
  return results;
}

async function runRow(
  session: Session,
  row: Row,
  { order, redo_max }: RunOptions,
  random: () => number,
  progress: Progress,
): Promise<RowResult> {
  const { sides: _, ...facts } = row;
  const nothing = { row: facts, rejections: [], rounds_lost: 0, skipped: null, failed: null };
  if (row.needs_cpus > availableParallelism()) {
    const skipped = `it needs ${row.needs_cpus} CPUs; ${availableParallelism()} are usable`;
    return { ...nothing, skipped, sides: row.sides.map((side) => sideResult(session, side, skipped, [])) };
  }
  const { usable, skips, failures } = await probeAll(session, row);
  const rejections: Rejection[] = [];
  // With one side failed and one left there is nothing to compare.
  const rounds_wanted = failures.length > 0 && usable.length < 2 ? 0 : row.samples;
  const rounds = usable.length === 0 ? [] : roundsOf(order, usable.length, rounds_wanted, random);
  const sampled = await sampleRounds(rounds, redo_max, {
    take: async (index, round) => {
      progress.sample(usable[index]!, round, row.samples);
      await waitUntilQuiet(session.noise);
      return await take(session, { ...row, verify: false }, usable[index]!);
    },
    rejected: (rejection) => {
      rejections.push(rejection);
      progress.rejected(usable[rejection.side]!, rejection.reason);
    },
  });
  const { failure, rounds_lost } = sampled;
  if (failure !== null)
    failures.push(`${usable[failure.side]!.name}, round ${failure.round + 1}: ${failure.error.message}`);
  if (rounds_lost > 0 && rounds_lost === rounds.length)
    failures.push(`the machine was busy during every sample: ${rejections.at(-1)!.reason}`);
  const of = (side: Side): readonly Sample[] => sampled.samples[usable.indexOf(side)] ?? [];
  return {
    ...nothing,
    sides: row.sides.map((side) => sideResult(session, side, skips.get(side) ?? null, of(side))),
    skipped: skips.size === row.sides.length ? allSkipped(skips) : null,
    failed: failures.length > 0 ? failures.join('\n') : null,
    rejections: rejections.map(({ side, round, reason }) => ({ side: usable[side]!.name, round, reason })),
    rounds_lost,
  };
}

/** One reason, or each side's own. */
function allSkipped(skips: ReadonlyMap<Side, string>): string {
  const reasons = new Set(skips.values());
  return reasons.size === 1
    ? [...reasons][0]!
    : [...skips].map(([{ name }, why]) => `${name}: ${why}`).join('; ');
}

interface Probed {
  readonly usable: Side[];
  readonly skips: Map<Side, string>;
  readonly failures: string[];
}

/**
 * Takes a short sample of each side and throws it away: it finds out whether the side runs here, warms caches, and
 * verifies.
 */
async function probeAll(session: Session, row: Row): Promise<Probed> {
  const probed: Probed = { usable: [], skips: new Map(), failures: [] };
  const short = { ...row, time_s: Math.min(PROBE_S, row.time_s), warmup_s: 0 };
  for (const side of row.sides) {
    try {
      await take(session, short, side);
      probed.usable.push(side);
    } catch (error) {
      if (error instanceof Skip) probed.skips.set(side, error.message);
      else probed.failures.push(`${side.name}: ${(error as Error).message}`);
    }
  }
  return probed;
}

function sideResult(
  session: Session,
  side: Side,
  skipped: string | null,
  samples: readonly Sample[],
): SideResult {
  return { name: side.name, about: describeSide(session, side), skipped, samples };
}

function describeSide({ programs }: Session, side: Side): string {
  const versions: Readonly<Record<string, string | undefined>> = {
    ours: programs.ours.version,
    spdk: programs.spdk?.version ?? 'SPDK',
    command: side.command ?? '',
  };
  const extra = [
    ...Object.entries(side.env).map(([key, value]) => `${key}=${value}`),
    ...side.args,
    ...(side.bdev === null ? [] : [`bdev ${side.bdev}`]),
    ...Object.entries(side.transport).map(([key, value]) => `transport ${key}=${JSON.stringify(value)}`),
    ...Object.entries(side.fio).map(([key, value]) => `--${key}=${value}`),
    ...side.calls.map(({ method, params }) => `${method} ${JSON.stringify(params)}`),
  ];
  return [versions[side.program] ?? side.program, ...extra].join(' ');
}
