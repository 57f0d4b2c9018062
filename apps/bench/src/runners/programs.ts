import { execFileSync } from 'node:child_process';
import { planBdev } from '../bdev-spec.ts';
import type { Launch } from '../child.ts';
import { disturbance, noiseOf } from '../machine/quiet.ts';
import { Watch } from '../machine/watch.ts';
import { parseAny } from '../parse/any.ts';
import type { Row, Side } from '../scenario/types.ts';
import { Skip } from '../skip.ts';
import { planOf } from './bdevperf.ts';
import { cpuMetrics } from './cpu.ts';
import { type Attempt, bound, type Session, withEnv } from './session.ts';

/** fio on the row's file: its workload, size and depth, unless the side says otherwise. */
export async function takeFio(session: Session, row: Row, side: Side): Promise<Attempt> {
  if (row.run !== 'bdevperf' || planBdev(side.bdev ?? row.bdev, '').file_bytes === null)
    throw new Skip('fio measures files; this row has none');
  if (!hasProgram('fio')) throw new Skip('fio is not installed');
  const plan = await planOf(session, row, side);
  const filename = await session.file(plan.file_bytes!, plan.in_memory);
  const options: Record<string, string | number> = {
    ...{ name: 'bench', filename, rw: row.workload, bs: row.size, iodepth: row.depth, ioengine: 'io_uring' },
    ...{
      direct: 1,
      rwmixread: row.rw_percentage,
      size: plan.size,
      runtime: row.time_s,
      ramp_time: row.warmup_s,
    },
    ...{ unified_rw_reporting: 'mixed', percentile_list: '50:99:99.9', ...side.fio },
  };
  const given = Object.entries(options).map(([key, value]) => `--${key}=${value}`);
  const flags = ['--time_based', '--group_reporting', '--thread', '--output-format=json'];
  const launch = { argv: ['fio', ...given, ...flags, ...side.args] };
  return await takeLaunch(session, row, side, launch, row.time_s);
}

/** Any command line. {workload}, {size}, {depth}, {time} and {warmup} in it stand for the row's. */
export async function takeCommand(session: Session, row: Row, side: Side): Promise<Attempt> {
  const values: Readonly<Record<string, string | number>> = {
    ...{ workload: row.workload, size: row.size, depth: row.depth, time: row.time_s, warmup: row.warmup_s },
  };
  const command = (side.command ?? '').replace(
    /\{(\w+)\}/g,
    (found, key: string) => `${values[key] ?? found}`,
  );
  return await takeLaunch(session, row, side, { argv: ['/bin/sh', '-c', command] }, null);
}

/** `load_s`: the length of the load, which ends with the program; null: the whole run counts. */
async function takeLaunch(
  session: Session,
  row: Row,
  side: Side,
  launch: Launch,
  load_s: number | null,
): Promise<Attempt> {
  const child = session.scope.spawn(bound(session, withEnv(launch, side), row.cores));
  const watch = new Watch();
  watch.add('target', child.pid);
  const begin = watch.tick();
  try {
    await child.success('it failed');
    const end = performance.now();
    watch.stop();
    const { metrics, failed_per_s } = parseAny(child.stdout);
    if (failed_per_s > 0) throw child.error('I/Os failed');
    const window = watch.window(load_s === null ? begin : end - load_s * 1000, end);
    const noise = noiseOf(window, Watch.load());
    const cpu = cpuMetrics(window, 'target', metrics.iops);
    const used = metrics.cpu ?? cpu.cpu;
    return {
      // fio's own figures of its CPU time are nearer than ours.
      metrics: { ...cpu, ...metrics, ...(used && metrics.iops && { iops_per_cpu_s: metrics.iops / used }) },
      noise,
      disturbance: disturbance(noise, session.noise, () => watch.culprit()),
    };
  } finally {
    watch.stop();
    await child.stop();
  }
}

export function hasProgram(name: string): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
