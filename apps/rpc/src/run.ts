import { createInterface } from 'node:readline';
import { loadModuleSchemas } from '@spdk-ts/app/modules';
import { CommandError, type Output } from './output.ts';
import { commandIndex, createProgram, type GlobalOptions, openSession, runCommand } from './program.ts';
import type { Session } from './session.ts';
import { shellWords } from './shell-words.ts';

export interface RunInput {
  readonly stdin: NodeJS.ReadableStream & { isTTY?: boolean };
  readonly output: Output;
}

/** Runs commands from the input over one session until one fails. */
async function runScript(input: RunInput, session: Session): Promise<number> {
  const done: string[] = [];
  for await (const line of createInterface({ input: input.stdin })) {
    const text = line.trimEnd();
    if (text.trim() === '' || text.trimStart().startsWith('#')) continue;
    done.push(text);
    try {
      const code = await runCommand(shellWords(text), input.output, session);
      if (code !== 0) return code;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new CommandError(`Exception:\n${done.join('\n')} <<<\n${reason}`);
    }
  }
  return 0;
}

/** For scripts that talk to a lasting process: one command a line, each with a connection and options of its own. */
async function runServer(input: RunInput): Promise<number> {
  for await (const line of createInterface({ input: input.stdin })) {
    let code = 1;
    try {
      code = await runOne(shellWords(line), input.output);
    } catch (error) {
      input.output.out(`${error instanceof Error ? error.message : String(error)}\n`);
    }
    input.output.out(`**STATUS=${code === 0 ? 0 : 1}\n`);
  }
  return 0;
}

/** Runs one command line with its own session. */
async function runOne(words: readonly string[], output: Output): Promise<number> {
  const program = createProgram(output);
  const index = commandIndex(program, words);
  // Only the options in front of the command matter here; the command itself is left for later.
  program.parseOptions(words.slice(0, index < 0 ? undefined : index) as string[]);
  const session = openSession(program.opts<GlobalOptions>(), output);
  try {
    const code = await runCommand(words, output, session);
    await session.finish();
    return code;
  } catch (error) {
    await session.finish().catch(() => {});
    throw error;
  }
}

/**
 * The program: a command line, or a script from the input where there is no command. Returns the exit code.
 * Never rejects.
 */
export async function run(words: readonly string[], input: RunInput): Promise<number> {
  const { output, stdin } = input;
  try {
    await loadModuleSchemas();
    const program = createProgram(output);
    if (commandIndex(program, words) >= 0) return await runOne(words, output);
    const isQuestion = words.some((word) => ['-h', '--help', '-V', '--version'].includes(word));
    if (isQuestion || program.parseOptions([...words]).unknown.length > 0)
      return await runCommand(words, output);
    const options = program.opts<GlobalOptions>();
    if (options.server) return await runServer(input);
    if (stdin.isTTY === true) {
      program.outputHelp({ error: true });
      return 1;
    }
    const session = openSession(options, output);
    try {
      const code = await runScript(input, session);
      await session.finish();
      return code;
    } catch (error) {
      if (!options.batchMode) await session.finish().catch(() => {});
      throw error;
    }
  } catch (error) {
    output.err(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}
