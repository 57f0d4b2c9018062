import { readFileSync } from 'node:fs';
import { findMethod, type Method, methodFromJson } from '@spdk-ts/rpc-schema';
import { Command, CommanderError } from 'commander';
import { addConfigCommands } from './config-commands.ts';
import { connectTo } from './connect.ts';
import { addMethodCommands, expandOptions } from './method-commands.ts';
import { CommandError, type Output, printResult } from './output.ts';
import { batchSession, clientSession, dryRunSession, type Session } from './session.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export interface GlobalOptions {
  readonly serverAddr: string;
  readonly port: string;
  readonly timeout?: string;
  readonly retries: string;
  readonly token?: string;
  readonly verbose: boolean;
  readonly dryRun: boolean;
  readonly server: boolean;
  readonly batchMode: boolean;
}

const number = (name: string, text: string, least: number): number => {
  const value = Number(text);
  if (text.trim() === '' || !(value >= least)) {
    throw new CommandError(`error: ${name} is "${text}"; give a number of at least ${least}`);
  }
  return value;
};

const timeoutOf = ({ timeout }: GlobalOptions): number => number('-t', timeout ?? '60', 0.001) * 1000;

/** Opens what the global options tell to talk to. Connects only when a command needs it. */
export function openSession(options: GlobalOptions, output: Output): Session {
  const connect = () => {
    const target = {
      address: options.serverAddr,
      port: number('-p', options.port, 1),
      token: options.token ?? process.env['SPDK_RPC_TOKEN'],
      timeout_ms: timeoutOf(options),
      retries: number('-r', options.retries, 0),
    };
    if (options.verbose) output.err(`INFO: connecting to ${target.address}\n`);
    return connectTo(target);
  };
  const session = options.dryRun
    ? dryRunSession(output)
    : options.batchMode
      ? batchSession(output, connect)
      : clientSession(connect);
  return options.verbose ? verboseSession(session, output) : session;
}

function verboseSession(session: Session, output: Output): Session {
  return {
    ...session,
    async call(method, params, timeout_ms) {
      output.err(`INFO: request:\n${JSON.stringify({ method, params }, null, 2)}\n`);
      const answer = await session.call(method, params, timeout_ms);
      if (answer !== undefined) output.err(`INFO: response:\n${JSON.stringify(answer.result, null, 2)}\n`);
      return answer;
    },
  };
}

/**
 * The whole command line as commander sees it. `session` gives the session of the command being run; `others` are
 * methods beside those of the schema.
 */
export function createProgram(output: Output, session?: Session, others: readonly Method[] = []): Command {
  const program = new Command('rpc.ts');
  let opened = session;
  const context = {
    output,
    session: () => {
      opened ??= openSession(program.opts<GlobalOptions>(), output);
      return opened;
    },
    timeout_ms: () => timeoutOf(program.opts<GlobalOptions>()),
  };
  program
    .description(
      'Calls the methods of an SPDK or spdk-ts application. Without a command, reads commands from the standard input, one a line. Commands of plugins are not listed here: the application describes them when they are used (COMMAND --help).',
    )
    .version(version)
    .enablePositionalOptions()
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({ writeOut: output.out, writeErr: output.err })
    .option('-s, --server-addr <address>', 'socket path, IP address or ws:// URL', '/var/tmp/spdk.sock')
    .option('-p, --port <port>', 'port, if the address is an IP address', '5260')
    .option('-t, --timeout <seconds>', 'how long to wait for an answer (default: 60)')
    .option('-r, --retries <count>', 'try to connect again so often, every 0.2 s', '0')
    .option('--token <token>', 'token of a ws:// server (default: $SPDK_RPC_TOKEN)')
    .option('-v, --verbose', 'show requests and answers', false)
    .option('--dry-run', 'show the request and send nothing', false)
    .option('-b, --batch-mode', 'send the commands of the standard input as one batch', false)
    .option(
      '--server',
      'read commands from the standard input and end the output of each with **STATUS=0 or 1',
      false,
    );

  program
    .command('call')
    .description('Call any method, with its parameters as JSON.')
    .helpGroup('raw:')
    .argument('<method>', 'name of the method')
    .argument('[params]', 'such as \'{"name": "Malloc0"}\'')
    .action(async (method: string, text: string | undefined) => {
      let params: unknown;
      try {
        params = JSON.parse(text ?? '{}');
      } catch (error) {
        throw new CommandError(`error: params is not JSON: ${(error as Error).message}`);
      }
      const answer = await context.session().call(method, params as Record<string, unknown>);
      if (answer !== undefined) printResult(output, 'json', answer.result);
    });
  program.commandsGroup('configuration:');
  addConfigCommands(program, context);
  addMethodCommands(program, context, others);
  return program;
}

/**
 * The description of a method that only the server knows, such as one of a plugin. Undefined if it does not know it
 * either, cannot describe methods (SPDK's), or there is none to ask.
 */
async function askServer(session: Session, name: string): Promise<Method | undefined> {
  try {
    const [method] = (await session.caller.call('spdk_ts_get_schema', { method: name })) as unknown[];
    return method === undefined ? undefined : methodFromJson(method);
  } catch {
    return undefined;
  }
}

/** Where the name of the command stands in the words of a command line; -1 if there is none. */
export function commandIndex(program: Command, words: readonly string[]): number {
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (!word.startsWith('-') || word === '-') return i;
    const option = program.options.find(({ long, short }) => long === word || short === word);
    if (option?.required) i += 1;
  }
  return -1;
}

/**
 * Runs one command line, global options included. Returns the exit code; everything for the user is written to
 * `output`. Rejects with a CommandError, whose text is not written yet, when the command fails.
 */
export async function runCommand(
  words: readonly string[],
  output: Output,
  session?: Session,
): Promise<number> {
  let program = createProgram(output, session);
  const index = commandIndex(program, words);
  const name = words[index];
  const find = (): Command | undefined => program.commands.find((candidate) => candidate.name() === name);
  let command = find();
  let method = name === undefined ? undefined : findMethod(name);
  if (command === undefined && name !== undefined && name !== 'help' && session !== undefined) {
    method = await askServer(session, name);
    if (method !== undefined) {
      program = createProgram(output, session, [method]);
      command = find();
    }
  }
  const expanded =
    command === undefined
      ? words
      : [...words.slice(0, index + 1), ...expandOptions(command, words.slice(index + 1), method)];
  try {
    await program.parseAsync(expanded, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    if (error instanceof CommandError) throw error;
    throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}
