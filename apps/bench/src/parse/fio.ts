import type { Metrics } from '../metrics.ts';
import type { Measured } from './bdevperf.ts';
import { percentileMetrics } from './percentiles.ts';

/** One direction of a job: read, write, or mixed (--unified_rw_reporting=mixed). */
interface Direction {
  readonly total_ios: number;
  /** ms */
  readonly runtime: number;
  readonly iops: number;
  readonly bw_bytes: number;
  readonly lat_ns: { readonly mean: number; readonly max: number };
  readonly clat_ns?: { readonly percentile?: Readonly<Record<string, number>> };
}

interface Job {
  readonly error: number;
  /** ms, of all jobs of a group together */
  readonly job_runtime: number;
  /** Per cent of job_runtime. */
  readonly usr_cpu: number;
  readonly sys_cpu: number;
  readonly read?: Direction;
  readonly write?: Direction;
  readonly mixed?: Direction;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/**
 * Reads fio's --output-format=json. Percentiles are its completion latencies; with several jobs or directions they
 * exist only with --group_reporting and --unified_rw_reporting=mixed, which the fio side is run with. Null if it is
 * not fio's output.
 */
export function parseFio(output: string): Measured | null {
  const begin = output.indexOf('{');
  const found = begin < 0 ? null : parseJobs(output.slice(begin, output.lastIndexOf('}') + 1));
  if (found === null) return null;
  const directions = found
    .flatMap((job) => (job.mixed === undefined ? [job.read, job.write] : [job.mixed]))
    .filter((direction) => direction !== undefined)
    .filter(({ total_ios }) => total_ios > 0);
  if (directions.length === 0) return null;
  const iops = sum(directions.map((direction) => direction.iops));
  const ios = sum(directions.map(({ total_ios }) => total_ios));
  const runtime = Math.max(...directions.map((direction) => direction.runtime));
  const cores = (pick: (job: Job) => number): number =>
    sum(found.map((job) => (pick(job) / 100) * (job.job_runtime / runtime)));
  const cpu_user = cores((job) => job.usr_cpu);
  const cpu_system = cores((job) => job.sys_cpu);
  const metrics: Metrics = {
    iops,
    mibps: sum(directions.map(({ bw_bytes }) => bw_bytes)) / 2 ** 20,
    latency_us_average: sum(directions.map(({ lat_ns, total_ios }) => lat_ns.mean * total_ios)) / ios / 1000,
    latency_us_max: Math.max(...directions.map(({ lat_ns }) => lat_ns.max)) / 1000,
    ...(directions.length === 1 && percentilesOf(directions[0]!)),
    cpu_user,
    cpu_system,
    cpu: cpu_user + cpu_system,
  };
  return { metrics, failed_per_s: sum(found.map(({ error }) => error)) };
}

function parseJobs(text: string): Job[] | null {
  try {
    const value = JSON.parse(text) as { jobs?: unknown };
    return Array.isArray(value.jobs) ? (value.jobs as Job[]) : null;
  } catch {
    return null;
  }
}

function percentilesOf(direction: Direction): Metrics {
  const given = Object.entries(direction.clat_ns?.percentile ?? {});
  const shares = given.map(([share, ns]): [number, number] => [
    Number((Number(share) / 100).toFixed(9)),
    ns / 1000,
  ]);
  return percentileMetrics([new Map(shares)], []);
}
