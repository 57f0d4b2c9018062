import type { StackedContext } from '@spdk-ts/vbdev';

/** What reads and writes take longer, µs: one in a hundred the p99 latency, the others the average. */
export interface Latencies {
  readonly avg_read_latency: number;
  readonly p99_read_latency: number;
  readonly avg_write_latency: number;
  readonly p99_write_latency: number;
}

export interface DelayContext extends StackedContext, Latencies {}
