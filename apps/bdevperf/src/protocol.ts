import type { Workload } from './workload.ts';

/*
 * What the control thread and the reactors tell each other: plain, cloneable data. The reactors' half is the
 * service `bdevperf` (reactor.ts), the control thread's is PerfRunner.
 */

/** One job: one bdev, one workload, one logical thread (which jobs may share). */
export interface JobSpec {
  /** Position among the run's jobs. */
  readonly index: number;
  /** The bdev's name. */
  readonly name: string;
  readonly bdev_id: number;
  readonly hide_metadata: boolean;
  /** Jobs with the same number run on one logical thread; no other reactor has a thread of this number. */
  readonly thread: number;
  readonly thread_name: string;
  readonly cpumask: readonly number[];

  readonly workload: Workload;
  readonly queue_depth: number;
  readonly io_size: number;
  /** Share of reads of mixed workloads, %. */
  readonly rw_percentage: number;
  /** Blocks of an I/O. */
  readonly io_blocks: number;
  readonly block_size: number;
  /** The range that the job works on, in I/Os. */
  readonly ios_base: number;
  readonly size_in_ios: number;

  /** 0: places are drawn evenly. */
  readonly zipf_theta: number;
  readonly random_map: boolean;
  readonly unique_writes: boolean;
  readonly zcopy: boolean;
  readonly continue_on_failure: boolean;
  /** An I/O that takes longer counts as timed out; 0: none does. */
  readonly timeout_us: number;
  /** Abort those. */
  readonly abort: boolean;
  readonly seed: number;
  /** Id for the memory of the job's buffers. */
  readonly region: number;
}

export interface PrepareParams {
  readonly jobs: readonly JobSpec[];
}

export interface StartParams {
  readonly time_us: number;
}

/** A job's counters at some time. */
export interface JobCounters {
  readonly index: number;
  /** Time since the job's start, or what it took. */
  readonly runtime_us: number;
  readonly io_completed: number;
  readonly io_failed: number;
  readonly io_timeout: number;
  /** Latencies: see LatencyHistogram. */
  readonly latencies: Float64Array;
}

/** What came of a job. */
export interface JobResult extends JobCounters {
  readonly queue_depth: number;
  /** I/Os whose data were not those written. They count as failed too. */
  readonly miscompares: number;
  /** What went wrong first, or null. */
  readonly failure: string | null;
}

/** Told while the jobs run. */
export interface JobMessage {
  readonly index: number;
  /** Lines to print. */
  readonly lines: readonly string[];
}
