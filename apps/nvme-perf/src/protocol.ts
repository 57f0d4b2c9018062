import type { IoQueueParams, NamespaceInfo, NvmeTarget } from '@spdk-ts/nvme';

/** A controller that was connected. */
export interface Attached {
  /** Its number: the order of connecting. */
  readonly controller: number;
  readonly name: string;
  readonly namespaces: readonly NamespaceInfo[];
  /** Subsystems that a discovery controller names, and discovery controllers that it refers to. */
  readonly found: readonly NvmeTarget[];
}

/** The load on one namespace from one reactor. */
export interface LaneSpec {
  readonly index: number;
  readonly name: string;
  readonly nsid: number;
  /** One for each queue pair. */
  readonly queues: readonly IoQueueParams[];
  readonly queue_depth: number;
  readonly io_size: number;
  readonly io_unit_size: number;
  readonly alignment: number;
  readonly io_blocks: number;
  readonly size_in_ios: number;
  readonly random: boolean;
  readonly read_share: number;
  readonly zipf_theta: number;
  readonly fua: boolean;
  /** Requests after which it ends; 0: it goes on until its time is over. */
  readonly ios_max: number;
  /** Go on after failed I/O, and tell of every so many; 0: end. */
  readonly continue_on_error: number;
  readonly seed: number;
  /** Id for the memory of its buffers. */
  readonly region: number;
}

export interface PrepareParams {
  readonly lanes: readonly LaneSpec[];
}

export interface StartParams {
  readonly warmup_us: number;
  readonly time_us: number;
}

/** What came of a lane. */
export interface LaneResult {
  readonly index: number;
  /** Time that was measured. */
  readonly runtime_us: number;
  readonly io_completed: number;
  readonly io_failed: number;
  readonly latencies: Float64Array;
  /** Sum, least and most, ns. */
  readonly latency_sum_ns: number;
  readonly latency_min_ns: number;
  readonly latency_max_ns: number;
  /** What went wrong first, or null. */
  readonly failure: string | null;
  /** Commands sent, and those of them that had to wait for a place in their queue. */
  readonly submitted: number;
  readonly waited: number;
  readonly connections: number;
  /** Of queues in memory: doorbells by the way that they were written, and commands whose data were copied. Null: there are none. */
  readonly memory: MemoryQueueCounts | null;
}

export interface MemoryQueueCounts {
  readonly doorbells: 'mapped' | 'trapped' | 'shadow';
  readonly mapped: number;
  readonly trapped: number;
  readonly shadowed: number;
  readonly copied: number;
}
