import type { Metrics } from '../metrics.ts';
import { parseLatencyLines } from './percentiles.ts';

const NUMBER = '(-?\\d+(?:\\.\\d+)?)';
const TOTAL = new RegExp(`^\\s*Total\\s*:\\s+${Array(7).fill(NUMBER).join('\\s+')}\\s*$`);

/** A test's output, and how many I/Os failed: a figure of failed I/Os is none. */
export interface Measured {
  readonly metrics: Metrics;
  readonly failed_per_s: number;
}

/** The output of each test that a bdevperf which waits for perform_tests calls (-z) has run. */
export const testsOf = (output: string): string[] => output.split(/^Running I\/O for/m).slice(1);

/** Reads what bdevperf printed about one test, SPDK's or ours. Null if it is not that. */
export function parseBdevperf(output: string): Measured | null {
  const lines = output.split(/[\r\n]+/);
  const at = lines.findIndex((line) => TOTAL.test(line));
  if (at < 0) return null;
  const [iops, mibps, failed, , average, , max] = TOTAL.exec(lines[at]!)!.slice(1).map(Number);
  return {
    failed_per_s: failed!,
    metrics: {
      iops: iops!,
      mibps: mibps!,
      latency_us_average: average!,
      latency_us_max: max!,
      ...parseLatencyLines(lines.slice(at + 1)),
    },
  };
}
