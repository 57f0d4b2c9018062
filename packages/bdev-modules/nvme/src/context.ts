import type { ControllerEvent, IoQueueParams, NamespaceInfo, NvmeTarget } from '@spdk-ts/nvme';

/** What a bdev's channels need to know of its namespace, beside its description. */
export interface CommandContext {
  /** Blocks have protection information. */
  readonly protects: boolean;
  /** Blocks of a range of Dataset Management, and of a Copy. */
  readonly range_blocks: number;
  readonly copy_blocks: number;
  /** One Int32 a zone, see ZoneOrder; null: it has no zones. */
  readonly zone_gates: SharedArrayBuffer | null;
}

/** What the reactor half of an nvme bdev needs to know. Its paths come in messages: {@link BdevPathsMessage}. */
export interface NvmeContext {
  /** Number of the bdev, which messages about its paths name. */
  readonly bdev: number;
  readonly nsid: number;
  /** How often an I/O is tried again after an error that may pass; -1: for ever. */
  readonly bdev_retry_count: number;
  /** Each path counts its I/O. */
  readonly io_path_stat: boolean;
  readonly commands: CommandContext;
}

/** What a controller's reactor knows of it while it is connected. */
export interface ControllerState {
  readonly cntlid: number;
  /** Where it is: one of several, where there are alternate addresses. */
  readonly target: NvmeTarget;
  readonly namespaces: readonly NamespaceInfo[];
  /** ANA states, by NSID: `anaState`. Empty, if it does not report them. */
  readonly ana: ReadonlyMap<number, number>;
}

/** A controller that was connected, as its reactor tells it. */
export interface AttachedController extends ControllerState {
  readonly transfer_bytes: number;
  readonly version: number;
  readonly vid: number;
  readonly sn: string;
  readonly mn: string;
  readonly fr: string;
  readonly subnqn: string;
  readonly oacs: number;
  readonly oncs: number;
  readonly fuses: number;
  readonly acwu: number;
  readonly vwc: number;
  readonly cmic: number;
  /** Seconds that a change of ANA state takes at most. */
  readonly anatt: number;
  /** Command retry delays that a status may name, ms: none, and CRDT1 to CRDT3. */
  readonly retry_delays_ms: readonly number[];
}

export interface AttachParams {
  readonly controller: number;
  readonly target: NvmeTarget;
  readonly alternates: readonly NvmeTarget[];
}

/** Told by the controller's reactor: what has happened, and what is the case now. */
export interface EventMessage extends ControllerState {
  readonly controller: number;
  readonly type: Exclude<ControllerEvent['type'], 'async-event'>;
  readonly nsid: number;
  readonly message: string;
}

/** What every reactor is told of a controller, at each change. */
export interface ControllerMessage {
  readonly controller: number;
  /** Counts its connections: queues of an earlier one are gone. */
  readonly epoch: number;
  /** Counts how often it was attached: its queues' numbers are granted anew. */
  readonly incarnation: number;
  /** It is connected. */
  readonly up: boolean;
  /** If not, it may be again: I/O waits for it. */
  readonly hope: boolean;
  /** It is about to be disconnected on purpose: no new I/O. */
  readonly held: boolean;
  /** See {@link AttachedController}. */
  readonly retry_delays_ms: readonly number[];
}

/** How a path may be used for a namespace. */
export const PathAccess = {
  OPTIMIZED: 1,
  NON_OPTIMIZED: 2,
  /** Not now: its ANA state is Inaccessible or Change, for no longer than ANATT. */
  WAIT: 3,
  /** Not any more: Persistent Loss, or ANATT is over. */
  LOST: 4,
} as const;

export const PathPolicy = { ACTIVE_PASSIVE: 0, ROUND_ROBIN: 1, QUEUE_DEPTH: 2 } as const;

/** What every reactor is told of a bdev's paths, at each change: all of them, those to be used first in front. */
export interface BdevPathsMessage {
  readonly bdev: number;
  /** Of {@link PathPolicy}. */
  readonly policy: number;
  /** ROUND_ROBIN: I/Os in a row on a path. */
  readonly min_io: number;
  /** ACTIVE_PASSIVE: goes back to an earlier path once that can be used again. */
  readonly failback: boolean;
  /** Changes when another path is preferred: it is taken at once. */
  readonly preference: number;
  readonly paths: readonly { readonly controller: number; readonly access: number }[];
}

/** A bdev's paths on one logical thread. */
export interface ChannelPaths {
  readonly thread: string;
  readonly bdev: number;
  readonly paths: readonly {
    readonly controller: number;
    readonly current: boolean;
    readonly connected: boolean;
    readonly accessible: boolean;
  }[];
}

/** Counters of I/O on one path: see io-stat of the bdev layer. */
export interface PathStat {
  readonly controller: number;
  readonly stat: Float64Array;
}

export type { IoQueueParams };
