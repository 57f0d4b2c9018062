import { Command } from 'commander';
import { builtinScenarios, loadScenario } from '../scenario/files.ts';
import type { Scenario } from '../scenario/types.ts';
import { guarded } from './guarded.ts';
import { measure } from './measure.ts';
import { addMeasureOptions, exitCodesHelp, type MeasureOptions } from './options.ts';

interface RunOptions extends MeasureOptions {
  readonly only?: string;
  readonly sides?: string;
}

/** `bench run SCENARIO` */
export function runCommand(): Command {
  const command = new Command('run')
    .description('Run a scenario: rows of comparisons from a file.')
    .argument('<scenario>', `a JSON file, or one of ${builtinScenarios().join(', ')}`)
    .option('--only <text>', 'only rows whose group or name contains this (a regular expression)')
    .option('--sides <names>', 'only these sides, separated by commas')
    .addHelpText('after', exitCodesHelp);
  return addMeasureOptions(command).action(
    guarded('run', (name: string, options: RunOptions) =>
      measure(chosen(loadScenario(name), options), options),
    ),
  );
}

/** `bench list [SCENARIO]` */
export function listCommand(): Command {
  return new Command('list')
    .description('List the scenarios, or the rows of one.')
    .argument('[scenario]')
    .action(guarded('list', list));
}

function list(name: string | undefined): number {
  for (const one of name === undefined ? builtinScenarios() : [name]) {
    const { title, about, rows } = loadScenario(one);
    console.log(`${one.padEnd(16)} ${title} (${rows.length} rows)`);
    if (name === undefined) continue;
    console.log(about);
    for (const row of rows)
      console.log(`  ${row.group}: ${row.name} (${row.sides.map((side) => side.name).join(', ')})`);
  }
  return 0;
}

function chosen(scenario: Scenario, { only, sides }: RunOptions): Scenario {
  let { rows } = scenario;
  if (only !== undefined) {
    const pattern = new RegExp(only, 'i');
    rows = rows.filter((row) => pattern.test(`${row.group}: ${row.name}`));
    if (rows.length === 0) throw new Error(`--only ${only}: no row of ${scenario.name} matches`);
  }
  if (sides !== undefined) {
    const names = sides.split(',');
    const known = new Set(rows.flatMap((row) => row.sides.map((side) => side.name)));
    const unknown = names.find((name) => !known.has(name));
    if (unknown !== undefined)
      throw new Error(`--sides: there is no '${unknown}'; there are ${[...known].join(', ')}`);
    rows = rows
      .map((row) => ({ ...row, sides: row.sides.filter((side) => names.includes(side.name)) }))
      .filter((row) => row.sides.length > 0);
  }
  return { ...scenario, rows };
}
