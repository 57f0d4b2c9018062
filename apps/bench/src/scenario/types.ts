import type { RpcCall } from '../bdev-spec.ts';
import type { MetricName } from '../metrics.ts';

export const workloads = ['read', 'write', 'randread', 'randwrite', 'rw', 'randrw'] as const;
export type Workload = (typeof workloads)[number];

export const runs = ['bdevperf', 'nvmf', 'idle', 'startup'] as const;
/** What a row does: load on bdevs in one process, load on a target, an idle target, a target's start. */
export type Run = (typeof runs)[number];

/** Transports of targets that load is put on. */
export const trtypes = ['TCP', 'VFIOUSER'] as const;
export type Trtype = (typeof trtypes)[number];

/** One of the things that are compared. */
export interface Side {
  readonly name: string;
  /** `ours`, `spdk`, `fio`, `commit:REF`, or `command` with a command line. */
  readonly program: string;
  /** A shell command line that prints as bdevperf, spdk_nvme_perf or fio do. */
  readonly command: string | null;
  /** Further arguments of the program. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** In place of the row's. */
  readonly bdev: string | null;
  /** Further parameters of nvmf_create_transport. */
  readonly transport: Readonly<Record<string, unknown>>;
  /** RPC calls before all others. */
  readonly calls: readonly RpcCall[];
  /** fio options, in place of or beside those that the row gives. */
  readonly fio: Readonly<Record<string, string | number>>;
}

/** One comparison: the sides, and what they have to do. */
export interface Row {
  readonly name: string;
  /** Rows of a group share a plot. */
  readonly group: string;
  readonly about: string;
  readonly run: Run;
  /** The first is the baseline. */
  readonly sides: readonly Side[];
  /** The metric that decides. */
  readonly metric: MetricName;
  /** The ratio to the baseline that is aimed at: at least for "more is better", at most otherwise. */
  readonly reach: number | null;
  /** Where the row lies on the axis of a sweep; null: it is no part of one. */
  readonly x: number | null;
  readonly bdev: string;
  readonly workload: Workload;
  readonly size: number;
  /** I/Os in flight in all, over all connections. */
  readonly depth: number;
  readonly rw_percentage: number;
  readonly connections: number;
  /** How an initiator reaches the target. */
  readonly trtype: Trtype;
  /** CPUs of the target, or of bdevperf. */
  readonly cores: readonly number[];
  readonly initiator_cores: readonly number[];
  readonly time_s: number;
  readonly warmup_s: number;
  readonly samples: number;
  /** Write and check patterns through the same path before measuring. */
  readonly verify: boolean;
  /** CPUs that the row needs to mean something. */
  readonly needs_cpus: number;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** Print every iteration with its difference and winner, as memory backends have been compared before. */
  readonly per_iteration: boolean;
  readonly rows: readonly Row[];
}
