import {
  allMethods,
  type CliArgument,
  cliArguments,
  type Method,
  paramsFromArguments,
  parseArgument,
  printForm,
} from '@spdk-ts/rpc-schema';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { CommandError, type Output, printResult } from './output.ts';
import type { Session } from './session.ts';

interface Context {
  session(): Session;
  readonly output: Output;
  readonly timeout_ms: () => number;
}

function parser({ name, field }: CliArgument): (text: string) => unknown {
  return (text) => {
    try {
      return parseArgument(field.type, name, text, field);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

function describe({ field, flags }: CliArgument): string {
  const [short = ''] = flags.split(', ');
  const notes = [
    short.length > 2 && !short.startsWith('--') ? `also ${short}` : '',
    field.unit === undefined ? '' : `in ${field.unit}`,
    field.default === undefined ? '' : `default: ${field.default}`,
    field.deprecated === undefined ? '' : `deprecated: ${field.deprecated}`,
    'values' in field.type ? `one of ${(field.type.values as string[]).join(', ')}` : '',
  ].filter((note) => note !== '');
  return notes.length === 0 ? field.text : `${field.text} (${notes.join('; ')})`;
}

/** Options whose short form has two characters, such as `-t1`, are known to commander by their long form only. */
const forCommander = (flags: string): string =>
  flags
    .split(', ')
    .filter((flag) => flag.startsWith('--') || flag.length === 2)
    .join(', ');

function optionsOf(argument: CliArgument): Option[] {
  const { form, flags, field } = argument;
  const text = describe(argument);
  const long = flags.split(', ').at(-1)!;
  switch (form) {
    case 'toggle':
      return [new Option(flags, text), new Option(long.replace(/^--/, '--no-'), 'the opposite')];
    case 'set':
    case 'clear': {
      const option = new Option(flags, text);
      // Otherwise commander takes --no-srq for the opposite of --srq.
      option.negate = false;
      return [option];
    }
    default: {
      const option = new Option(`${forCommander(flags)} <value>`, text).argParser(parser(argument));
      return [option.makeOptionMandatory(field.required)];
    }
  }
}

/** The values commander found, under the names of the schema; what was not given is left out. */
function collect(all: readonly CliArgument[], command: Command): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  const options = command.opts();
  const positionals = all.filter(({ form }) => form === 'positional');
  positionals.forEach(({ name }, index) => {
    const value = command.processedArgs[index];
    if (value !== undefined) values[name] = value;
  });
  for (const argument of all) {
    if (argument.form === 'positional') continue;
    const value = options[optionsOf(argument)[0]!.attributeName()];
    if (value !== undefined) values[argument.name] = argument.form === 'clear' ? !value : value;
    else if (argument.form === 'toggle' && argument.field.required) {
      const long = argument.flags.split(', ').at(-1)!;
      throw new CommandError(`error: give ${long} or ${long.replace(/^--/, '--no-')}`);
    }
  }
  return values;
}

function paramsOf(method: Method, all: readonly CliArgument[], command: Command): Record<string, unknown> {
  const args = collect(all, command);
  try {
    return paramsFromArguments(method, args);
  } catch (error) {
    throw new CommandError(`error: ${(error as Error).message}`);
  }
}

/** perform_tests answers when the test is over, however long that is. */
function timeoutOf(method: Method, params: Record<string, unknown>, timeout_ms: number): number | undefined {
  const time = params['time_in_sec'];
  if (method.name !== 'perform_tests' || typeof time !== 'number') return undefined;
  return Math.max(timeout_ms, (time + 5) * 1000);
}

function addCommand(program: Command, method: Method, context: Context): void {
  const all = cliArguments(method);
  const command = program.command(method.name).description(method.text).helpGroup(`${method.family}:`);
  for (const argument of all) {
    if (argument.form === 'positional') {
      const shown = argument.field.required ? `<${argument.name}>` : `[${argument.name}]`;
      command.addArgument(new Argument(shown, describe(argument)).argParser(parser(argument)));
    } else for (const option of optionsOf(argument)) command.addOption(option);
  }
  command.action(async () => {
    const params = paramsOf(method, all, command);
    const answer = await context
      .session()
      .call(method.name, params, timeoutOf(method, params, context.timeout_ms()));
    if (answer !== undefined) printResult(context.output, printForm(method), answer.result);
  });
}

/** Adds a command for every method of the schema, and for others that the server has described. */
export function addMethodCommands(program: Command, context: Context, others: readonly Method[]): void {
  for (const method of [...allMethods(), ...others]) {
    if (method.cli.hidden !== true) addCommand(program, method, context);
  }
}

/**
 * Writes the options of a command as commander knows them: long options may be abbreviated as long as that is clear,
 * as argparse allows, and `-t1` becomes `--crdt1`.
 */
export function expandOptions(
  command: Command,
  words: readonly string[],
  method: Method | undefined,
): string[] {
  const long = command.options.flatMap((option) => (option.long ? [option.long] : []));
  const short = new Map<string, string>();
  for (const { flags } of method === undefined ? [] : cliArguments(method)) {
    const [first, second] = flags.split(', ');
    if (second !== undefined && first !== undefined && first.length > 2) short.set(first, second);
  }
  const end = words.indexOf('--');
  return words.map((word, index) => {
    if (end >= 0 && index >= end) return word;
    const renamed = short.get(word);
    if (renamed !== undefined) return renamed;
    const [flag = '', ...value] = word.split('=');
    if (!/^--\w/.test(flag) || long.includes(flag)) return word;
    const meant = long.filter((name) => name.startsWith(flag));
    return meant.length === 1 ? [meant[0], ...value].join('=') : word;
  });
}
