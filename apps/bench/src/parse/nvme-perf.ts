import type { Measured } from './bdevperf.ts';
import { parseLatencyLines } from './percentiles.ts';

const NUMBER = '(\\d+(?:\\.\\d+)?)';
const TOTAL = new RegExp(`^\\s*Total\\s*:\\s+${Array(5).fill(NUMBER).join('\\s+')}\\s*$`);

/** Reads what spdk_nvme_perf printed, or a tool with the same lines. Null if it is not that. */
export function parseNvmePerf(output: string): Measured | null {
  const lines = output.split(/[\r\n]+/);
  const at = lines.findIndex((line) => TOTAL.test(line));
  if (at < 0) return null;
  const [iops, mibps, average, , max] = TOTAL.exec(lines[at]!)!.slice(1).map(Number);
  return {
    failed_per_s: 0,
    metrics: {
      iops: iops!,
      mibps: mibps!,
      latency_us_average: average!,
      latency_us_max: max!,
      ...parseLatencyLines(lines.slice(at + 1)),
    },
  };
}
