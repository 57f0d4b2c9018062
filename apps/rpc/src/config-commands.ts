import { existsSync, readFileSync } from 'node:fs';
import { text as readAll } from 'node:stream/consumers';
import {
  formatConfig,
  loadConfig,
  loadSubsystemConfig,
  parseJsonWithComments,
  saveConfig,
  saveSubsystemConfig,
} from '@spdk-ts/rpc';
import type { Command } from 'commander';
import { CommandError, errorText, type Output } from './output.ts';
import type { Session } from './session.ts';

interface Context {
  session(): Session;
  readonly output: Output;
}

const indentOption = [
  '-i, --indent <blanks>',
  'blanks for each level; one line if negative',
  (text: string) => {
    if (!/^-?\d+$/.test(text)) throw new CommandError(`--indent is "${text}"; give an integer such as 2`);
    return Number(text);
  },
  2,
] as const;

/** The configuration from a file, from JSON text, or from the standard input. */
async function readConfig(source: string | undefined): Promise<unknown> {
  if (source === undefined) return parseJsonWithComments(await readAll(process.stdin), 'standard input');
  if (existsSync(source)) return parseJsonWithComments(readFileSync(source, 'utf8'), source);
  if (!/^\s*[{[]/.test(source)) throw new CommandError(`--json-conf: there is no file ${source}`);
  return parseJsonWithComments(source, '--json-conf');
}

async function told<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof CommandError ? error : new CommandError(errorText(error, undefined));
  }
}

/** Adds save_config, load_config and their forms for one subsystem, which are made of other calls. */
export function addConfigCommands(program: Command, { session, output }: Context): void {
  const notice = (message: string) => output.err(`${message}\n`);

  program
    .command('save_config')
    .description('Write the present configuration of all subsystems to the standard output.')
    .option(...indentOption)
    .option('-s, --subsystems <names>', 'only these, comma-separated, and what they depend on')
    .option('--with-batches', 'keep batches as nested arrays')
    .option('--no-with-batches', 'write their calls one by one (default)')
    .action(async ({ indent, subsystems, withBatches }) => {
      const options = {
        withBatches: withBatches === true,
        ...(subsystems && { subsystems: subsystems.split(',') }),
      };
      output.out(formatConfig(await told(saveConfig(session().caller, options)), indent));
    });

  program
    .command('load_config')
    .description('Make the calls of a configuration, starting the framework when it waits for that.')
    .option('-i, --include-aliases', 'accepted for older scripts; there are no aliases')
    .option('-j, --json-conf <json>', 'file, or JSON text (default: standard input)')
    .action(async ({ jsonConf }) => {
      const config = await told(readConfig(jsonConf));
      await told(loadConfig(session().caller, config, { onNotice: notice }));
    });

  program
    .command('save_subsystem_config')
    .description('Write the present configuration of one subsystem to the standard output.')
    .option(...indentOption)
    .requiredOption('-n, --name <name>', 'subsystem')
    .option('--with-batches', 'keep batches as nested arrays')
    .option('--no-with-batches', 'write their calls one by one (default)')
    .action(async ({ indent, name, withBatches }) => {
      const options = { withBatches: withBatches === true };
      output.out(formatConfig(await told(saveSubsystemConfig(session().caller, name, options)), indent));
    });

  program
    .command('load_subsystem_config')
    .description('Make the calls of the configuration of one subsystem.')
    .option('-j, --json-conf <json>', 'file, or JSON text (default: standard input)')
    .action(async ({ jsonConf }) => {
      const config = await told(readConfig(jsonConf));
      await told(loadSubsystemConfig(session().caller, config, { onNotice: notice }));
    });
}
