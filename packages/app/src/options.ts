import { availableParallelism } from 'node:os';
import { parseCpuset } from '@spdk-ts/env';
import { logFlags, setLogFlag, setPrintLevel } from '@spdk-ts/log';
import {
  defaultUring,
  type ReactorMode,
  reactorModes,
  type UringOptions,
  uringLimits,
} from '@spdk-ts/reactor';
import { type Command, InvalidArgumentError, Option } from 'commander';

/** Where an RPC server listens unless told otherwise. */
export const DEFAULT_RPC_SOCKET = '/var/tmp/spdk.sock';

/** What an application is started with. */
export interface AppOptions {
  readonly name: string;
  /** Path of the RPC's Unix socket; null: none. */
  readonly rpcSocket: string | null;
  readonly rpcsAllowed: readonly string[];
  /** HOST:PORT of the RPC's WebSocket; null: none. */
  readonly webSocket: string | null;
  readonly webSocketToken: string | null;
  readonly webSocketOrigins: readonly string[];
  readonly waitForRpc: boolean;
  readonly configFile: string | null;
  readonly ignoreInitErrors: boolean;
  readonly cores: readonly number[];
  readonly mode: ReactorMode;
  readonly seed: number;
  /** Sizes of each reactor's io_uring, which is used where the system allows it; null: never. */
  readonly uring: UringOptions | null;
  /** I/O buffers are memory that other processes can map. */
  readonly shareableBuffers: boolean;
  readonly pidFile: string | null;
  /** Bdev modules from outside of the framework, as `--plugin` names them. */
  readonly plugins: readonly string[];
  /** Lines that explain options which were accepted without effect. */
  readonly explained: readonly string[];
}

/** Options of SPDK's applications that mean nothing here, each with the reason. */
const withoutMeaning: readonly [flags: string, reason: string][] = [
  ['-s, --mem-size <MB>', 'memory is taken from the system as it is needed'],
  ['--no-huge', 'hugepages are never used'],
  ['--huge-dir <dir>', 'hugepages are never used'],
  ['-R, --huge-unlink', 'hugepages are never used'],
  ['-g, --single-file-segments', 'hugepages are never used'],
  ['-n, --mem-channels <n>', 'there is no DPDK'],
  ['-i, --shm-id <id>', 'there is no shared-memory segment to name'],
  ['--iova-mode <mode>', 'no device does DMA'],
  ['--base-virtaddr <address>', 'no memory is mapped at a fixed address'],
  ['--enforce-numa', 'memory is placed by the kernel'],
  ['--msg-mempool-size <n>', 'messages need no pool'],
  ['-u, --no-pci', 'PCI devices are never touched'],
  ['-A, --pci-allowed <bdf>', 'PCI devices are never touched'],
  ['-B, --pci-blocked <bdf>', 'PCI devices are never touched'],
  ['--vfio-vf-token <uuid>', 'PCI devices are never touched'],
  ['--lcores <map>', 'reactors run on the cores that -m names'],
  ['-p, --main-core <core>', 'the control thread is bound to no core'],
  ['--disable-cpumask-locks', 'cores are not locked: reactors of several processes may share one'],
  ['-d, --limit-coredump', 'core dumps follow the system limits'],
  ['-e, --tpoint-group <group>', 'there are no trace points'],
  ['--num-trace-entries <n>', 'there are no trace points'],
  ['--env-context <options>', 'there is no DPDK'],
];

function cores(text: string): number[] {
  try {
    return parseCpuset(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

const list = (text: string, before: string[] = []): string[] => [
  ...before,
  ...text.split(',').filter(Boolean),
];

const each = (text: string, before: string[] = []): string[] => [...before, text];

function seed(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError('a seed is a number from 0 on.');
  return value;
}

/** The size of a ring: the kernel would round others up, or refuse them. */
const ringSize =
  (max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1 || value > max || (value & (value - 1)) !== 0)
      throw new InvalidArgumentError(`give a power of two from 1 to ${max}.`);
    return value;
  };

function uringOptions(values: Record<string, unknown>): UringOptions {
  const entries = values['uringEntries'] as number;
  const cq_entries = values['uringCqEntries'] as number;
  if (cq_entries < entries)
    throw new Error(
      `--uring-cq-entries is ${cq_entries}: it must not be less than --uring-entries (${entries})`,
    );
  return { entries, cq_entries };
}

export interface AppOptionDefaults {
  /** Null: no RPC server unless -r asks for one. */
  readonly rpcSocket: string | null;
  /** Letters that the application uses for options of its own: ours keep only their long form. */
  readonly taken?: readonly string[];
}

/** Adds the options that every application has. */
export function addAppOptions(command: Command, defaults: AppOptionDefaults): Command {
  const taken = new Set(defaults.taken ?? []);
  const flags = (text: string): string => {
    const letter = /^-(\w), /.exec(text)?.[1];
    return letter !== undefined && taken.has(letter) ? text.slice(4) : text;
  };
  const socket = defaults.rpcSocket === null ? 'none unless given' : defaults.rpcSocket;
  command
    .optionsGroup('Configuration and RPC:')
    .option(flags('-c, --config <file>'), 'JSON configuration to load at start (comments allowed)')
    .option('--json <file>', 'the same as --config')
    .option('--json-ignore-init-errors', 'go on when a call of the configuration fails')
    .option(flags('-r, --rpc-socket <path>'), `Unix socket of the RPC server (default: ${socket})`)
    .option('--no-rpc-server', 'start without an RPC server')
    .option('--rpcs-allowed <methods>', 'methods that clients may call, separated by commas', list)
    .option('--wait-for-rpc', 'wait for framework_start_init before initializing the subsystems')
    .option('--ws <host:port>', 'serve the RPC over WebSocket too (PORT alone: on 127.0.0.1)')
    .option('--ws-token <token>', 'token that WebSocket clients must give (default: one is made and printed)')
    .option('--ws-origin <origins>', 'origins that web pages may connect from, separated by commas', list)
    .optionsGroup('Plugins:')
    .option(
      '--plugin <name|path>',
      'load a bdev module: an npm package installed here, its folder, or a .js file (may be repeated)',
      each,
    )
    .optionsGroup('Reactors:')
    .option(flags('-m, --cpumask <mask>'), 'cores to run on: a mask (0x3) or a list ([0,1])', cores, [0])
    .addOption(
      new Option('--reactor-mode <mode>', 'what a reactor does when it is idle')
        .choices([...reactorModes])
        .default('adaptive'),
    )
    .option('--interrupt-mode', 'the same as --reactor-mode interrupt')
    .option('--no-uring', 'leave io_uring alone: sockets go through node:net')
    .option(
      '--uring-entries <number>',
      "submission entries of a reactor's io_uring",
      ringSize(uringLimits.entries),
      defaultUring.entries,
    )
    .option(
      '--uring-cq-entries <number>',
      'its completion entries, at least as many',
      ringSize(uringLimits.cq_entries),
      defaultUring.cq_entries,
    )
    .option(
      '--shareable-buffers',
      'I/O buffers in memory with a descriptor, so that NVMe controllers over vfio-user need no copies of the data',
    )
    .option('--seed <number>', "seed of the reactors' random numbers", seed, 1)
    .optionsGroup('Log:')
    .option(
      flags('-L, --logflag <flag>'),
      `show debug lines of a component (${['all', ...logFlags].join(', ')})`,
      list,
    )
    .option('--silence-noticelog', 'show warnings and errors only')
    .option(flags('-f, --pidfile <file>'), 'write the process id to this file');
  command.optionsGroup("SPDK's options without meaning here (accepted, and explained at start):");
  for (const [text, reason] of withoutMeaning) {
    const own = flags(text);
    if (taken.has(own.replace(/^--?(\S+).*$/, '$1'))) continue;
    command.addOption(new Option(own, reason));
  }
  command.optionsGroup('Options:');
  return command;
}

/** The values of {@link addAppOptions}' options. Throws an Error that names the option which is wrong. */
export function readAppOptions(
  name: string,
  values: Record<string, unknown>,
  defaults: AppOptionDefaults,
): AppOptions {
  const text = (key: string): string | null => (values[key] as string | undefined) ?? null;
  const configs = [text('config'), text('json')].filter((file) => file !== null);
  if (configs.length === 2) throw new Error('--config and --json are the same option: give one of them');
  for (const flag of (values['logflag'] as string[] | undefined) ?? [])
    if (!setLogFlag(flag, true))
      throw new Error(`--logflag: there is no flag '${flag}'; there are all, ${logFlags.join(', ')}`);
  if (values['silenceNoticelog'] === true) setPrintLevel('WARNING');
  return {
    name,
    rpcSocket: values['rpcServer'] === false ? null : (text('rpcSocket') ?? defaults.rpcSocket),
    rpcsAllowed: (values['rpcsAllowed'] as string[] | undefined) ?? [],
    webSocket: text('ws'),
    webSocketToken: text('wsToken'),
    webSocketOrigins: (values['wsOrigin'] as string[] | undefined) ?? [],
    waitForRpc: values['waitForRpc'] === true,
    configFile: configs[0] ?? null,
    ignoreInitErrors: values['jsonIgnoreInitErrors'] === true,
    cores: values['cpumask'] as number[],
    mode: values['interruptMode'] === true ? 'interrupt' : (values['reactorMode'] as ReactorMode),
    seed: values['seed'] as number,
    uring: values['uring'] === false ? null : uringOptions(values),
    shareableBuffers: values['shareableBuffers'] === true,
    pidFile: text('pidfile'),
    plugins: (values['plugin'] as string[] | undefined) ?? [],
    explained: explain(values),
  };
}

function explain(values: Record<string, unknown>): string[] {
  return withoutMeaning.flatMap(([flags, reason]) => {
    const long = /--([\w-]+)/.exec(flags)![1]!;
    const negated = long.startsWith('no-');
    const key = long.replace(/^no-/, '').replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
    const given = negated ? values[key] === false : values[key] !== undefined;
    return given ? [`--${long} has no effect: ${reason}`] : [];
  });
}

/** How many reactors `-m` may ask for without sharing CPUs. */
export const usableCores = (): number => availableParallelism();
