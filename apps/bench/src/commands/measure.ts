import { randomInt } from 'node:crypto';
import { comparisonsOf } from '../analysis.ts';
import { planBdev } from '../bdev-spec.ts';
import { describeCommand, describeMachine } from '../environment.ts';
import { DataFile } from '../machine/data-file.ts';
import { memoryDirectory } from '../machine/memory-directory.ts';
import { ownRoot, Programs } from '../programs/programs.ts';
import { resolveCommit } from '../programs/worktree.ts';
import { ProgressLine } from '../progress.ts';
import { textReport } from '../report/text.ts';
import type { Result } from '../result.ts';
import { runRows } from '../run-scenario.ts';
import type { Session } from '../runners/session.ts';
import type { Row, Scenario } from '../scenario/types.ts';
import { type Scope, withScope } from '../scope.ts';
import { EXIT_FAILED, EXIT_SLOWER, type MeasureOptions } from './options.ts';
import { writeReports } from './output.ts';

const SEED_MAX = 2 ** 31;

/** Runs a scenario, reports, and returns the exit code. Throws an Error for what is wrong with the options. */
export async function measure(scenario: Scenario, options: MeasureOptions): Promise<number> {
  const progress = new ProgressLine(process.stderr);
  const seed = options.seed ?? randomInt(SEED_MAX);
  const rows = scenario.rows.map((row) => withOptions(row, options));
  for (const row of rows) checkRow(row);
  progress.say(`${scenario.title}: ${rows.length} row${rows.length === 1 ? '' : 's'}, seed ${seed}`);
  const base = {
    format: 'spdk-ts-bench-1',
    scenario: { name: scenario.name, title: scenario.title, about: scenario.about },
    per_iteration: scenario.per_iteration,
    machine: describeMachine(),
    settings: {
      ...{ seed, order: options.order, pin: options.pin, command: describeCommand(commandWords()) },
      busy_max: options.busy === Infinity ? null : options.busy / 100,
    },
    started: new Date().toISOString(),
    ended: null,
    rows: [],
  } satisfies Result;
  const result = await withScope(options.dir, async (scope): Promise<Result> => {
    const session = sessionOf(scope, options, (line) => progress.say(line));
    const run = { seed, order: options.order, redo_max: options.redo };
    const done = await runRows(session, rows, run, progress, (so_far) =>
      writeReports({ ...base, rows: so_far }, options),
    );
    return { ...base, ended: new Date().toISOString(), rows: done };
  });
  writeReports(result, options);
  process.stdout.write(textReport(result));
  return exitCodeOf(result, options.failIfSlower === true);
}

/** The command line behind `bench`. */
function commandWords(): string[] {
  const words = process.argv.slice(2);
  return words[0] === 'bench' ? words.slice(1) : words;
}

/** Finds mistakes before hours have gone into the rows before. Throws an Error. */
function checkRow(row: Row): void {
  for (const side of row.sides) {
    planBdev(side.bdev ?? row.bdev, '');
    const commit = /^commit:(.+)$/.exec(side.program)?.[1];
    if (commit !== undefined) resolveCommit(ownRoot, commit);
  }
}

function withOptions(row: Row, { samples, time, warmup }: MeasureOptions): Row {
  return {
    ...row,
    ...(samples !== undefined && { samples }),
    ...(time !== undefined && { time_s: time }),
    ...(warmup !== undefined && { warmup_s: warmup }),
  };
}

function sessionOf(scope: Scope, options: MeasureOptions, say: (line: string) => void): Session {
  const on_disk = new DataFile(() => scope.directory);
  const in_memory = new DataFile(() => memoryDirectory(scope));
  const limit = options.busy / 100;
  return {
    scope,
    programs: new Programs(scope, options.spdk ?? null, options.spdkTarget, say),
    noise: { other_max: limit, steal_max: limit, settle_s_max: options.settle },
    pin: options.pin,
    initiator: options.initiator,
    file: (bytes, memory) => (memory ? in_memory : on_disk).of(bytes),
  };
}

export function exitCodeOf(result: Result, fail_if_slower: boolean): number {
  if (result.rows.some(({ failed }) => failed !== null)) return EXIT_FAILED;
  const slower = result.rows.flatMap(comparisonsOf).some(({ difference }) => difference.verdict === 'slower');
  return fail_if_slower && slower ? EXIT_SLOWER : 0;
}
