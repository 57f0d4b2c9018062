import { availableParallelism } from 'node:os';
import { parseCpuset } from '@spdk-ts/env';
import { parseSize } from '@spdk-ts/load';
import { setPrintLevel } from '@spdk-ts/log';
import { parseTransportId, type TransportId } from '@spdk-ts/nvme';
import { sockImplementations } from '@spdk-ts/sock';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { isMixed, parseWorkload, type Workload, workloads } from './workload.ts';

const IO_SIZE_MAX = 1024 ** 3;

/** The last core: targets run on the first unless told otherwise, and two busy reactors on one core are twenty times slower. */
const lastCore = (): number => availableParallelism() - 1;

/** What nvme-perf is told. */
export interface PerfOptions {
  readonly queue_depth: number;
  readonly io_size: number;
  readonly io_unit_size: number;
  readonly workload: Workload;
  readonly rw_percentage: number;
  readonly time_s: number;
  readonly warmup_s: number;
  readonly cores: readonly number[];
  readonly targets: readonly TransportId[];
  readonly num_qpairs: number;
  readonly num_unused_qpairs: number;
  readonly alignment: number;
  /** Requests, or a share of the namespace. 0: no limit. */
  readonly number_ios: number;
  readonly number_ios_percent: number;
  readonly zipf_theta: number;
  readonly fua: boolean;
  readonly use_every_core: boolean;
  readonly io_queue_size: number;
  readonly keep_alive_timeout_ms: number | null;
  readonly header_digest: boolean;
  readonly data_digest: boolean;
  readonly disable_sq_flow_control: boolean;
  /** Files with keys; empty: none. */
  readonly psk_path: string;
  readonly dhchap_key_path: string;
  readonly dhchap_ctrlr_key_path: string;
  readonly latency_level: number;
  readonly continue_on_error: number;
  readonly transport_stats: boolean;
  readonly sock_impl: string | null;
  readonly seed: number;
  readonly explained: readonly string[];
}

/** Options of spdk_nvme_perf that mean nothing here, each with the reason. */
const withoutMeaning: readonly (readonly [flags: string, reason: string])[] = [
  ['-s, --hugemem-size <MB>', 'memory is taken from the system as it is needed'],
  ['-g, --mem-single-seg', 'hugepages are never used'],
  ['-i, --shmem-grp-id <id>', 'there is no shared memory'],
  ['-C, --max-completion-per-poll <n>', 'what has arrived is taken'],
  ['-z, --disable-zcopy <impl>', 'what is sent is copied by the kernel'],
  ['-Z, --enable-zcopy <impl>', 'what is sent is copied by the kernel'],
  ['-D, --disable-sq-cmb', 'PCI devices are never touched'],
  ['-N, --no-shst-notification', 'a controller of Fabrics is shut down all the same'],
  ['-m, --cpu-usage', 'reactors spin while they run'],
  ['--iova-mode <mode>', 'no device does DMA'],
  ['--no-huge', 'hugepages are never used'],
  ['--enforce-numa', 'memory is placed by the kernel'],
  ['--env-context <options>', 'there is no DPDK'],
  ['--zerocopy-threshold <bytes>', 'what is sent is copied by the kernel'],
  ['--zerocopy-threshold-sock-impl <impl>', 'what is sent is copied by the kernel'],
];

/** Options of spdk_nvme_perf that ask for what there is not: refused. */
const refused: readonly (readonly [flags: string, reason: string])[] = [
  ['-b, --allowed-pci-addr <bdf>', 'PCI devices are never touched: name a target with -r'],
  ['-V, --enable-vmd', 'PCI devices are never touched'],
  ['-E, --enable-interrupt', 'the reactors of nvme-perf poll'],
  ['-R, --enable-uring', 'local devices are measured by bdevperf-ts --bdev uring:PATH'],
  ['-l, --enable-ssd-latency-tracking', 'Intel’s log pages are not read'],
  ['-e, --metadata <format>', 'protection information is not made'],
  ['--psk-identity <identity>', 'identities are those of NVMe/TCP, made of the names of host and subsystem'],
  ['--vfio-vf-token <uuid>', 'PCI devices are never touched'],
  ['--transport-tos <value>', 'the type of service is not set'],
  ['--rdma-srq-size <entries>', 'there is no RDMA transport'],
];

const key = (flags: string): string =>
  /--([\w-]+)/
    .exec(flags)![1]!
    .replace(/^no-/, '')
    .replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

function checked<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

const integer = (min: number, max: number) =>
  checked((text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new RangeError(`give an integer from ${min} to ${max}`);
    return value;
  });

const ioSize = checked((text: string): number => {
  const bytes = parseSize(text);
  if (bytes > IO_SIZE_MAX || bytes % 4 !== 0)
    throw new RangeError(`'${text}' is not a multiple of 4 up to 1G`);
  return bytes;
});

const numberIos = checked((text: string): string => {
  if (!/^\d+%?$/.test(text) || (text.endsWith('%') && Number.parseInt(text, 10) > 100))
    throw new RangeError('give a number, or a share of the namespace such as 50%');
  return text;
});

const alignment = checked((text: string): number => {
  const bytes = parseSize(text);
  if (bytes < 64 || (bytes & (bytes - 1)) !== 0) throw new RangeError('give a power of two from 64 on');
  return bytes;
});

const theta = checked((text: string): number => {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value < 100))
    throw new RangeError('theta is a number such as 0.99');
  return value;
});

/** Gives a command the options of spdk_nvme_perf. */
export function addPerfOptions(command: Command): Command {
  command
    .optionsGroup('Load:')
    .requiredOption('-q, --io-depth <depth>', 'I/Os in flight on each namespace', integer(1, 65_535))
    .requiredOption('-o, --io-size <size>', 'size of an I/O: 4096, 4k, 1M', ioSize)
    .requiredOption('-w, --io-pattern <type>', `one of ${workloads.join(', ')}`, checked(parseWorkload))
    .requiredOption('-t, --time <seconds>', 'length of the test', integer(1, 4_000_000))
    .option('-M, --rwmixread <percent>', 'share of reads of rw and randrw', integer(0, 100))
    .option('-a, --warmup-time <seconds>', 'load before it, which does not count', integer(0, 4_000_000), 0)
    .option(
      '-d, --number-ios <number>',
      'end after so many I/Os on each namespace, or a share of it: 50%',
      numberIos,
    )
    .option('-F, --zipf <theta>', "draw random places by Zipf's law", theta)
    .option('--fua', 'set the Force Unit Access bit')
    .optionsGroup('Where:')
    .requiredOption(
      '-r, --transport <id>',
      'target, may be repeated: "trtype:TCP adrfam:IPv4 traddr:… trsvcid:… subnqn:…"; without subnqn all that discovery finds',
      (text: string, before: TransportId[] = []) => [...before, checked(parseTransportId)(text)],
    )
    .option(
      '-c, --core-mask <mask>',
      'cores to run on: a mask (0x3) or a list ([0,1]) (default: the last, as targets run on the first)',
      checked(parseCpuset),
    )
    .option('--use-every-core', 'load every namespace from all cores')
    .option('-P, --num-qpairs <number>', 'I/O queues of each namespace', integer(1, 1024), 1)
    .option('-U, --num-unused-qpairs <number>', 'I/O queues that are opened beside them', integer(0, 1024), 0)
    .option(
      '--io-queue-size <entries>',
      'entries of an I/O queue (default: what the controller takes)',
      integer(2, 65_536),
      65_536,
    )
    .option('-O, --io-unit-size <size>', 'pieces that an I/O’s buffer is made of', ioSize)
    .option('-A, --buffer-alignment <bytes>', 'alignment of buffers', alignment, 4096)
    .option('-k, --keepalive <ms>', 'keep alive timeout', integer(0, 0xffff_ffff))
    .option('-H, --enable-tcp-hdgst', 'ask for header digests')
    .option('-I, --enable-tcp-ddgst', 'ask for data digests')
    .option('--psk-path <file>', 'file with the key of TLS, which only you may read: connections are secured')
    .option('--dhchap-key <file>', 'file with the key of DH-HMAC-CHAP, likewise')
    .option('--dhchap-ctrlr-key <file>', 'file with the key that controllers are to prove that they have')
    .option(
      '--disable-sq-flow-control',
      'ask for no SQ flow control: reads may end without a completion of their own',
    )
    .addOption(
      new Option('-S, --default-sock-impl <impl>', 'kind of sockets; ssl is what --psk-path uses').choices([
        ...sockImplementations,
        'ssl',
      ]),
    )
    .option('--seed <number>', 'seed of the places', integer(0, 2 ** 32 - 1), 1)
    .optionsGroup('Output:')
    .option(
      '-L, --enable-sw-latency-tracking',
      'percentiles of latency; -LL: every bucket too',
      (_: string, level: number) => level + 1,
      0,
    )
    .option(
      '-Q, --continue-on-error <number>',
      'go on after failed I/O, and tell of every so many',
      integer(1, 2 ** 31),
    )
    .option('--transport-stats', 'counters of the transport')
    .addOption(
      new Option('--log-level <level>', 'what is logged').choices([
        'error',
        'warning',
        'notice',
        'info',
        'debug',
      ]),
    )
    .optionsGroup("spdk_nvme_perf's options without meaning here (accepted, and explained at start):");
  for (const [flags, reason] of withoutMeaning) command.addOption(new Option(flags, reason));
  for (const [flags, reason] of refused) command.addOption(new Option(flags, reason).hideHelp());
  return command.optionsGroup('Options:');
}

/** The values of {@link addPerfOptions}' options. Throws an Error that names the option which is wrong. */
export function readPerfOptions(values: Record<string, unknown>): PerfOptions {
  const of = <T>(name: string): T | undefined => values[name] as T | undefined;
  for (const [flags, reason] of refused)
    if (of(key(flags)) !== undefined)
      throw new Error(`${flags.split(/[, ]/)[0]} is not supported: ${reason}`);
  const explained = withoutMeaning.flatMap(([flags, reason]) => {
    const value = of(key(flags));
    const given =
      flags.includes('--no-') && !flags.startsWith('-N')
        ? value === false
        : value !== undefined && value !== true;
    return given || (value === true && !flags.includes('--no-'))
      ? [`${flags.split(' ')[0]!.replace(',', '')} has no effect: ${reason}`]
      : [];
  });
  const workload = of<Workload>('ioPattern')!;
  const mix = of<number>('rwmixread');
  if (isMixed(workload) && mix === undefined) throw new Error(`-w ${workload} needs -M: the share of reads`);
  const io_size = of<number>('ioSize')!;
  const ios = of<string>('numberIos') ?? '0';
  const percent = ios.endsWith('%');
  const level = of<string>('logLevel');
  const implementation = of<string>('defaultSockImpl') ?? null;
  const psk_path = of<string>('pskPath') ?? '';
  if (implementation === 'ssl' && psk_path === '')
    throw new Error('-S ssl needs --psk-path: the key that connections are secured with');
  if (level !== undefined) setPrintLevel(level.toUpperCase() as 'ERROR');
  return {
    ...{ io_size, workload, explained },
    queue_depth: of<number>('ioDepth')!,
    io_unit_size: Math.min(io_size, of<number>('ioUnitSize') ?? io_size),
    rw_percentage: mix ?? 0,
    time_s: of<number>('time')!,
    warmup_s: of<number>('warmupTime')!,
    cores: of<readonly number[]>('coreMask') ?? [lastCore()],
    targets: of<readonly TransportId[]>('transport')!,
    num_qpairs: of<number>('numQpairs')!,
    num_unused_qpairs: of<number>('numUnusedQpairs')!,
    alignment: of<number>('bufferAlignment')!,
    number_ios: percent ? 0 : Number(ios),
    number_ios_percent: percent ? Number.parseInt(ios, 10) : 0,
    zipf_theta: of<number>('zipf') ?? 0,
    fua: of('fua') === true,
    use_every_core: of('useEveryCore') === true,
    io_queue_size: of<number>('ioQueueSize')!,
    keep_alive_timeout_ms: of<number>('keepalive') ?? null,
    header_digest: of('enableTcpHdgst') === true,
    data_digest: of('enableTcpDdgst') === true,
    disable_sq_flow_control: of('disableSqFlowControl') === true,
    latency_level: of<number>('enableSwLatencyTracking')!,
    continue_on_error: of<number>('continueOnError') ?? 0,
    transport_stats: of('transportStats') === true,
    psk_path,
    dhchap_key_path: of<string>('dhchapKey') ?? '',
    dhchap_ctrlr_key_path: of<string>('dhchapCtrlrKey') ?? '',
    sock_impl: implementation === 'ssl' ? null : implementation,
    seed: of<number>('seed')!,
  };
}
