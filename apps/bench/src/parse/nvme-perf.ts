import type { Metrics } from '../metrics.ts';
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
      ...doorbellTraps(lines),
    },
  };
}

/** Of all queues together, where counters of doorbells were printed (--transport-stats over vfio-user). */
function doorbellTraps(lines: readonly string[]): Metrics {
  const sum = (name: string): number | null => {
    const found = lines.flatMap((line) => new RegExp(`^\\s*${name}:\\s+(\\d+)`).exec(line)?.[1] ?? []);
    return found.length === 0 ? null : found.reduce((total, count) => total + Number(count), 0);
  };
  const trapped = sum('trapped_doorbells');
  const commands = sum('submitted_requests');
  return trapped === null || !commands ? {} : { traps_per_1000: (1000 * trapped) / commands };
}
