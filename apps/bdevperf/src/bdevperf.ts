import { writeFileSync } from 'node:fs';
import {
  Application,
  type AppOptionDefaults,
  type AppPlugin,
  addAppOptions,
  bdevPlugin,
  DEFAULT_RPC_SOCKET,
  readAppOptions,
} from '@spdk-ts/app';
import type { Command } from 'commander';
import { type BdevArgument, createCall, freeName, parseBdevArgument } from './bdev-argument.ts';
import { addPerfOptions, ownLetters, type PerfOptions, readPerfOptions } from './options.ts';
import { registerPerformTests } from './perform-tests-rpc.ts';
import { NoJobsError, Tests } from './tests.ts';
import type { ZeroFillParams } from './zero-fill.ts';

const DEFAULT_BDEV = 'malloc:64M';

const plugin: AppPlugin = {
  name: 'bdevperf',
  reactorEntries: [new URL('./reactor.js', import.meta.url).href],
  setup() {},
};

const defaults = (wait: boolean): AppOptionDefaults => ({
  rpcSocket: wait ? DEFAULT_RPC_SOCKET : null,
  taken: ownLetters,
});

/** Gives a command bdevperf-ts's description, options and help. */
export function addBdevperf(command: Command): Command {
  command.description(
    'Load block devices and measure them: options, output and perform_tests as of SPDK’s bdevperf.',
  );
  addPerfOptions(command);
  addAppOptions(command, defaults(false));
  return command.showHelpAfterError('(bdevperf-ts --help lists the options)').addHelpText(
    'after',
    `
Examples:
  bdevperf-ts -q 128 -o 512 -w randread                       a 64 MiB memory disk, as no bdev is named
  bdevperf-ts --bdev null:1G -q 128 -o 4k -w randread -t 3 -l
  bdevperf-ts --bdev file:/tmp/disk.img:4096 -w verify -q 16 -o 64k -t 10
  bdevperf-ts -m 0x3 -c conf.json -T Malloc0 -C -w randrw -M 70
  bdevperf-ts -z &  bdevperf.py perform_tests -w randwrite -t 2

Exit status: 0, or 1 if a test could not be run or any I/O failed or read other data than were written.`,
  );
}

/** Runs bdevperf-ts to its end. Resolves with the exit status; rejects with an Error that says what is wrong. */
export async function runBdevperf(values: Record<string, unknown>): Promise<number> {
  const options = readPerfOptions(values);
  const appOptions = readAppOptions('bdevperf-ts', values, defaults(options.wait));
  const explained = [...appOptions.explained, ...options.explained];
  const plugins = [await bdevPlugin(appOptions), plugin];
  const app = await Application.start({ ...appOptions, explained }, plugins);
  try {
    return await drive(app, options);
  } finally {
    await app.stop();
  }
}

async function drive(app: Application, options: PerfOptions): Promise<number> {
  // Whoever read the output may be gone: that ends no test.
  process.stdout.on('error', () => {});
  const print = (lines: readonly string[]): void =>
    void process.stdout.write(lines.map((l) => `${l}\n`).join(''));
  const terminal = [process.stdout, process.stderr].find((stream) => stream.isTTY);
  const tests = new Tests({
    ...{ app, options, print },
    terminal: terminal === undefined ? null : (text) => void terminal.write(text),
  });
  let end = (): void => {};
  const asked = new Promise<void>((resolve) => {
    end = resolve;
  });
  registerPerformTests(app, tests, options, end);
  onSignals(app, async () => {
    await tests.terminate();
    // Whoever waits for the answer of perform_tests gets it first.
    setImmediate(end);
  });

  const ready = await Promise.race([app.initialized.then(() => true), asked.then(() => false)]);
  if (!ready) return 0;
  await makeBdevs(app, options, print);
  if (options.wait) {
    app.log.notice(`waiting for perform_tests on ${app.options.rpcSocket ?? 'the WebSocket'}`);
    await asked;
    return tests.anyFailed ? 1 : 0;
  }
  const { results } = await tests.perform().catch((error: Error) => {
    if (!(error instanceof NoJobsError)) throw error;
    throw new Error('there is no bdev to run on: make one with --bdev, or in the configuration (-c)');
  });
  if (options.json_output !== null) writeJson(options.json_output, results);
  return tests.anyFailed ? 1 : 0;
}

function writeJson(path: string, results: unknown): void {
  try {
    writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);
  } catch (error) {
    throw new Error(`cannot write --json-output: ${(error as Error).message}`);
  }
}

/** Makes what --bdev says, or a memory disk if there is nothing at all to run on. */
async function makeBdevs(
  app: Application,
  options: PerfOptions,
  print: (lines: readonly string[]) => void,
): Promise<void> {
  const used = new Set(app.bdevs.list().map((bdev) => bdev.name));
  const wanted: BdevArgument[] = [...options.bdevs];
  if (wanted.length === 0 && app.options.configFile === null && !options.wait && used.size === 0) {
    wanted.push(parseBdevArgument(DEFAULT_BDEV));
    print([`No bdev was named (--bdev, -c): using ${DEFAULT_BDEV} as Malloc0`]);
  }
  for (const argument of wanted) {
    const name = freeName(argument.kind, used);
    used.add(name);
    const { method, params } = createCall(argument, name);
    await app.rpc.call(method, params).catch((error: Error) => {
      throw new Error(`--bdev ${describe(argument)}: ${error.message}`);
    });
    if (argument.kind === 'malloc') await fill(app, name);
  }
}

/** Makes the memory of a new disk real: see zeroFill. */
async function fill(app: Application, name: string): Promise<void> {
  const { id, num_blocks } = app.bdevs.get(name)!;
  const owner = { name: 'bdevperf', onEvent: () => {} };
  const descriptor = app.bdevs.open(name, { write: true, owner });
  try {
    const params: ZeroFillParams = { bdev_id: id, num_blocks };
    await app.host.call(0, 'bdevperf', 'zeroFill', params);
  } finally {
    await descriptor.close();
  }
}

const describe = ({ kind, size, path, block_size }: BdevArgument): string =>
  `${kind}:${path ?? size}:${block_size}`;

/** The first signal ends the test, prints what was measured, and ends; the second ends at once. */
function onSignals(app: Application, terminate: () => Promise<void>): void {
  let asked = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (asked) {
        app.log.warn(`${signal} again: ending without cleaning up`);
        process.exit(1);
      }
      asked = true;
      void terminate();
    });
  }
}
