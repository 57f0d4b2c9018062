import { formatSize, parseSize } from '@spdk-ts/load';
import { type Command, InvalidArgumentError } from 'commander';
import { type BdevArgument, parseBdevArgument } from './bdev-argument.ts';
import type { TestParameters } from './job-config.ts';
import { isMixed, isRandom, parseWorkload, type Workload, workloads } from './workload.ts';

export const QUEUE_DEPTH_MAX = 65_535;
export const IO_SIZE_MAX = 1024 * 1024 * 1024;
const TIME_MAX_S = 4_000_000;
const MOVING_AVERAGE_MAX = 1_000_000;

/** What a test is run with, as far as the command line or perform_tests have said it. */
export interface TestSettings {
  readonly queue_depth: number | null;
  readonly io_size: number | null;
  readonly workload: Workload | null;
  readonly time_s: number | null;
  readonly rw_percentage: number | null;
}

/** bdevperf-ts's own options. */
export interface PerfOptions {
  readonly test: TestSettings;
  /** Bdevs to run on (-T); empty: all. */
  readonly targets: readonly string[];
  /** Bdevs to make (--bdev). */
  readonly bdevs: readonly BdevArgument[];
  readonly job_file: string | null;
  readonly timeout_s: number;
  readonly abort: boolean;
  readonly continue_on_failure: boolean;
  readonly zipf_theta: number;
  readonly random_map: boolean;
  readonly hide_metadata: boolean;
  readonly unique_writes: boolean;
  readonly zcopy: boolean;
  readonly every_core: boolean;
  readonly thread_per_core: boolean;
  readonly wait: boolean;
  /** Seconds between tables while a test runs; 0: a line instead. */
  readonly show_period_s: number;
  readonly moving_average: number;
  /** 1: percentiles, 2: all buckets too. */
  readonly latency_level: number;
  readonly json_output: string | null;
  /** Lines about options that were accepted without effect. */
  readonly explained: readonly string[];
}

/** Letters that SPDK's bdevperf gives another meaning than its other applications. */
export const ownLetters: readonly string[] = [...'qowtkCEFHJMPSTXljDUNZzf'];

const DEFAULTS: TestParameters & { readonly time_s: number } = {
  ...{ queue_depth: 128, io_size: 4096, workload: 'randread', rw_percentage: 50, time_s: 5 },
};

const withoutMeaning: readonly [key: string, flag: string, reason: string][] = [
  ['rpcLog', '-J', 'calls are not logged to a file (-L rpc shows them)'],
  ['nohugeBuffers', '-H', 'hugepages are never used'],
];

function integer(name: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(`${name} is an integer from ${min} to ${max}.`);
    return value;
  };
}

/** A parser whose RangeErrors commander shows with the option's name. */
function checked<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

/** Throws RangeError unless `text` is a size that an I/O may have. */
export function parseIoSize(text: string): number {
  const size = parseSize(text);
  if (size > IO_SIZE_MAX) throw new RangeError(`'${text}' is more than ${formatSize(IO_SIZE_MAX)}`);
  return size;
}

function theta(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value < 100))
    throw new InvalidArgumentError('theta is a number from 0 (even) on, such as 0.99.');
  return value;
}

const more = <T>(parse: (text: string) => T) => checked(parse) as (text: string) => T;
const collect =
  <T>(parse: (text: string) => T) =>
  (text: string, before: T[] = []): T[] => [...before, more(parse)(text)];

/** Adds the options to a command. */
export function addPerfOptions(command: Command): Command {
  return command
    .optionsGroup('Load:')
    .option(
      '-q, --queue-depth <depth>',
      `I/Os in flight of each job (default: ${DEFAULTS.queue_depth})`,
      integer('the depth', 1, QUEUE_DEPTH_MAX),
    )
    .option(
      '-o, --io-size <size>',
      `size of an I/O: 4096, 4k, 1M (default: ${formatSize(DEFAULTS.io_size)})`,
      checked(parseIoSize),
    )
    .option(
      '-w, --workload <type>',
      `one of ${workloads.join(', ')} (default: ${DEFAULTS.workload})`,
      checked(parseWorkload),
    )
    .option(
      '-t, --time <seconds>',
      `length of the test (default: ${DEFAULTS.time_s})`,
      integer('the time', 1, TIME_MAX_S),
    )
    .option(
      '-M, --rw-percentage <percent>',
      `share of reads of rw and randrw (default: ${DEFAULTS.rw_percentage})`,
      integer('the share', 0, 100),
    )
    .option('-F, --zipf <theta>', "draw random places by Zipf's law", theta)
    .option('-D, --random-map', 'draw no random place twice before each was drawn once')
    .option('-U, --unique-writes', 'write other data with each write')
    .option(
      '-Z, --zcopy',
      'reads leave the place of the data to the bdev (needs one that can, such as malloc)',
    )
    .optionsGroup('Bdevs and jobs:')
    .option(
      '--bdev <bdev>',
      'make a bdev: malloc:64M, null:1G, file:PATH, file:PATH:1G, uring:PATH, aio:PATH; block size behind it: ' +
        'malloc:64M:4096 (repeatable)',
      collect(parseBdevArgument),
    )
    .option(
      '-T, --target <bdev>',
      'run on this bdev only (repeatable; default: on all)',
      collect((text) => text),
    )
    .option('-C, --every-core', 'a job on every core for each bdev, each on its share of the blocks')
    .option('-E, --thread-per-core', 'one thread for all jobs of a core')
    .option('-j, --job-file <file>', 'jobs from an INI file: [global] and a section for each job')
    .option(
      '-z, --wait-for-tests',
      'wait for perform_tests calls over RPC (bdevperf.py) instead of running at once',
    )
    .optionsGroup('Failures:')
    .option('-f, --continue-on-failure', 'go on after failed I/O')
    .option(
      '-k, --io-timeout <seconds>',
      'count I/Os that take longer (default: 0, do not)',
      integer('the timeout', 0, TIME_MAX_S),
    )
    .option('-X, --abort', 'abort those (with -k)')
    .optionsGroup('Output:')
    .option(
      '-l, --latency',
      'show percentiles of latency; -ll: every bucket too',
      (_: string, level: number) => level + 1,
      0,
    )
    .option(
      '-S, --show-period <seconds>',
      'show the table this often while the test runs',
      integer('the period', 1, TIME_MAX_S),
    )
    .option(
      '-P, --moving-average <periods>',
      'with -S: weighted mean over so many periods',
      integer('the number of periods', 0, MOVING_AVERAGE_MAX),
    )
    .option('-N, --hide-metadata', 'let the bdev layer make and check metadata; I/O is of data only')
    .option('--json-output <file>', "write the results to a file, as perform_tests' answer")
    .optionsGroup("bdevperf's options without meaning here (accepted, and explained at start):")
    .option('-J, --rpc-log <file>', 'calls are not logged to a file')
    .option('-H, --nohuge-buffers', 'hugepages are never used')
    .optionsGroup('Options:');
}

/** The values of {@link addPerfOptions}' options. Throws an Error about those that exclude each other. */
export function readPerfOptions(values: Record<string, unknown>): PerfOptions {
  const has = (key: string): boolean => values[key] === true;
  const of = <T>(key: string): T | null => (values[key] as T | undefined) ?? null;
  const explained = withoutMeaning
    .filter(([key]) => values[key] !== undefined)
    .map(([, flag, reason]) => `${flag} has no effect: ${reason}`);
  const options: PerfOptions = {
    test: {
      queue_depth: of('queueDepth'),
      io_size: of('ioSize'),
      workload: of('workload'),
      time_s: of('time'),
      rw_percentage: of('rwPercentage'),
    },
    targets: of<string[]>('target') ?? [],
    bdevs: of<BdevArgument[]>('bdev') ?? [],
    job_file: of('jobFile'),
    timeout_s: of<number>('ioTimeout') ?? 0,
    abort: has('abort') && (of<number>('ioTimeout') ?? 0) > 0,
    continue_on_failure: has('continueOnFailure'),
    zipf_theta: of<number>('zipf') ?? 0,
    random_map: has('randomMap'),
    unique_writes: has('uniqueWrites'),
    zcopy: has('zcopy'),
    hide_metadata: has('hideMetadata'),
    every_core: has('everyCore'),
    thread_per_core: has('threadPerCore'),
    wait: has('waitForTests'),
    show_period_s: of<number>('showPeriod') ?? 0,
    moving_average: of<number>('movingAverage') ?? 0,
    latency_level: values['latency'] as number,
    json_output: of('jsonOutput'),
    explained,
  };
  if (has('abort') && !options.abort) explained.push('-X has no effect: without -k no I/O times out');
  if (options.job_file !== null && options.thread_per_core)
    throw new Error('-E cannot be used with a job file (-j): there each job has a thread of its own');
  if (options.job_file !== null && options.every_core)
    throw new Error('-C cannot be used with a job file (-j): give the jobs a cpumask');
  if (options.moving_average > 0 && options.show_period_s === 0)
    throw new Error('-P needs -S: the average is shown in its tables');
  if (options.random_map && options.zipf_theta > 0)
    throw new Error("-D and -F exclude each other: a map draws each place once, Zipf's law some more often");
  return options;
}

/** A complete set of parameters, and lines about what was assumed or does not matter. */
export interface ResolvedTest {
  readonly parameters: TestParameters;
  readonly time_s: number;
  readonly said: readonly string[];
}

/** Fills in what was not said. Throws an Error if -D does not fit the workload. */
export function resolveTest(settings: TestSettings, options: PerfOptions): ResolvedTest {
  const assumed: string[] = [];
  const said: string[] = [];
  const from_file = options.job_file !== null;
  const pick = <T>(value: T | null, flag: string, fallback: T, shown: unknown = fallback): T => {
    if (value === null && (!from_file || flag === '-t')) assumed.push(`${flag} ${shown}`);
    return value ?? fallback;
  };
  const workload = pick(settings.workload, '-w', DEFAULTS.workload);
  const queue_depth = pick(settings.queue_depth, '-q', DEFAULTS.queue_depth);
  const io_size = pick(settings.io_size, '-o', DEFAULTS.io_size, formatSize(DEFAULTS.io_size));
  const time_s = pick(settings.time_s, '-t', DEFAULTS.time_s);
  let rw_percentage = workload === 'read' || workload === 'randread' ? 100 : 0;
  if (isMixed(workload)) rw_percentage = pick(settings.rw_percentage, '-M', DEFAULTS.rw_percentage);
  else if (settings.rw_percentage !== null && !from_file)
    said.push(`-M is ignored: it is for rw and randrw only, not ${workload}`);
  if (!from_file && options.random_map && !isRandom(workload))
    throw new Error(`-D is for randread, randwrite and randrw only, not ${workload}`);
  if (assumed.length > 0) said.unshift(`Not given, so: ${assumed.join(' ')}`);
  return { parameters: { queue_depth, io_size, workload, rw_percentage }, time_s, said };
}
