import { Command } from 'commander';
import type { MetricName } from '../metrics.ts';
import { rowDefaults } from '../scenario/parse.ts';
import type { Row, Run } from '../scenario/types.ts';
import { guarded } from './guarded.ts';
import { measure } from './measure.ts';
import { addMeasureOptions, exitCodesHelp, integer, type MeasureOptions } from './options.ts';
import { parseSideArgument, sidesHelp } from './sides.ts';

/*
 * `bench idle` and `bench startup`: what a target costs while it does nothing.
 */

const IDLE_S = 30;

/** `bench idle` */
export function idleCommand(): Command {
  const command = new Command('idle')
    .description('Measure the CPU of a target with idle connections.')
    .option('-P, --connections <n>', 'hosts that connect and do nothing', integer(0), 64);
  return finish(command, (sides, options: MeasureOptions & { connections: number }) => {
    const { connections } = options;
    const row = rowOf('idle', `${connections} idle connections`, 'cpu', sides);
    return [{ ...row, connections, time_s: options.time ?? IDLE_S }];
  });
}

/** `bench startup` */
export function startupCommand(): Command {
  const command = new Command('startup').description(
    'Measure the time from the start of a target to its listening, and its memory with an untouched bdev.',
  );
  return finish(command, (sides) => [
    rowOf('startup', 'start to listening', 'start_ms', sides),
    rowOf('startup', 'resident memory', 'memory_mib', sides),
  ]);
}

const TITLE: Readonly<Record<string, string>> = { idle: 'An idle target', startup: 'The start of a target' };

function rowOf(run: Run, name: string, metric: MetricName, sides: readonly string[]): Row {
  return { ...rowDefaults, run, name, metric, sides: sides.map(parseSideArgument), group: '' };
}

/** Adds what both have; `rowsOf` makes the rows of sides and options. */
function finish<T extends MeasureOptions>(
  command: Command,
  rowsOf: (sides: readonly string[], options: T) => Row[],
): Command {
  command
    .argument('[sides...]', 'ours, spdk, commit:REF, … (default: ours, and spdk before it with --spdk)')
    .option('--bdev <bdev>', 'what the target exports', 'malloc:64M')
    .addHelpText('after', sidesHelp)
    .addHelpText('after', exitCodesHelp);
  const action = async (given: string[], options: T & { bdev: string }): Promise<number> => {
    const known = options.spdk === undefined ? ['ours'] : ['spdk', 'ours'];
    const rows = rowsOf(given.length > 0 ? given : known, options);
    const scenario = { name: command.name(), title: TITLE[command.name()]!, about: '', per_iteration: false };
    return await measure({ ...scenario, rows: rows.map((row) => ({ ...row, bdev: options.bdev })) }, options);
  };
  return addMeasureOptions(command).action(guarded(command.name(), action));
}
