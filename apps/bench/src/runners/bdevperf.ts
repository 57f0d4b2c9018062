import { join } from 'node:path';
import type { RpcClient } from '@spdk-ts/rpc';
import { type BdevPlan, planBdev } from '../bdev-spec.ts';
import { disturbance, noiseOf } from '../machine/quiet.ts';
import { Watch } from '../machine/watch.ts';
import { parseBdevperf, testsOf } from '../parse/bdevperf.ts';
import type { Row, Side } from '../scenario/types.ts';
import { cpuMetrics } from './cpu.ts';
import { configure, connectRpc } from './rpc.ts';
import { type Attempt, bound, type Session, withEnv } from './session.ts';

const FILL_SIZE = 128 * 1024;
const VERIFY_S = 2;

interface Test {
  readonly workload_type: string;
  readonly queue_depth: number;
  readonly io_size: string;
  readonly time_in_sec: number;
  readonly rw_percentage?: number;
}

/** The bdevs of a side, with the file below them. */
export async function planOf(session: Session, row: Row, side: Side): Promise<BdevPlan> {
  const spec = side.bdev ?? row.bdev;
  const plan = planBdev(spec, '');
  if (plan.file_bytes === null) return plan;
  return planBdev(spec, await session.file(plan.file_bytes, plan.in_memory));
}

/**
 * A sample of bdevperf, SPDK's or ours: a fresh process that waits for perform_tests calls. In it: the bdevs are
 * made over RPC and filled, since memory that was never written is read from one page of zeros; then a warm-up,
 * then the test, whose CPU time is what the process used between the call and its answer.
 */
export async function takeBdevperf(session: Session, row: Row, side: Side): Promise<Attempt> {
  const plan = await planOf(session, row, side);
  const program = await session.programs.of(side);
  const socket = join(session.scope.directory, 'bdevperf.sock');
  const in_flight = row.depth * row.size * plan.names.length;
  const launch = program.bdevperf({
    ...{ cores: row.cores, socket, memory_bytes: plan.memory_bytes + in_flight },
    args: [...loadArgs(row, plan), ...side.args],
  });
  const child = session.scope.spawn(bound(session, withEnv(launch, side), row.cores));
  const watch = new Watch();
  watch.add('target', child.pid);
  try {
    const client = await connectRpc(child, socket);
    await configure(client, [...side.calls, ...plan.calls]);
    const tests = preparations(row, plan);
    for (const test of tests) await perform(client, test);
    const from = watch.tick();
    await perform(client, testOf(row, row.time_s));
    const window = watch.window(from, watch.tick());
    client.close();
    await child.stop();
    const measured = parseBdevperf(testsOf(child.stdout)[tests.length] ?? '');
    if (measured === null) throw child.error('its output has no results');
    if (measured.failed_per_s > 0) throw new Error(`${measured.failed_per_s} I/Os a second failed`);
    const noise = noiseOf(window, Watch.load());
    return {
      metrics: { ...measured.metrics, ...cpuMetrics(window, 'target', measured.metrics.iops) },
      noise,
      disturbance: disturbance(noise, session.noise, () => watch.culprit()),
    };
  } finally {
    watch.stop();
    await child.stop();
  }
}

const testOf = (row: Row, time_in_sec: number): Test => ({
  ...{ workload_type: row.workload, queue_depth: row.depth, io_size: String(row.size), time_in_sec },
  ...((row.workload === 'rw' || row.workload === 'randrw') && { rw_percentage: row.rw_percentage }),
});

/** Options that perform_tests does not take; the others stand here too, for who reads the process list. */
function loadArgs(row: Row, plan: BdevPlan): string[] {
  const load = ['-q', `${row.depth}`, '-o', `${row.size}`, '-w', row.workload, '-t', `${row.time_s}`];
  const mixed = row.workload === 'rw' || row.workload === 'randrw' ? ['-M', `${row.rw_percentage}`] : [];
  const target = plan.names.length === 1 ? ['-T', plan.names[0]!] : [];
  const every_core = row.cores.length > 1 ? ['-C'] : [];
  return [...load, ...mixed, ...target, ...every_core];
}

function preparations(row: Row, plan: BdevPlan): Test[] {
  const fill = { workload_type: 'write', queue_depth: 8, io_size: String(FILL_SIZE), time_in_sec: 1 };
  const verify = {
    workload_type: 'verify',
    queue_depth: 32,
    io_size: String(row.size),
    time_in_sec: VERIFY_S,
  };
  return [
    ...(plan.memory_bytes > 0 ? [fill] : []),
    ...(row.verify && plan.keeps_data ? [verify] : []),
    ...(row.warmup_s > 0 ? [testOf(row, row.warmup_s)] : []),
  ];
}

async function perform(client: RpcClient, test: Test): Promise<void> {
  await client.call('perform_tests', test as unknown as Record<string, unknown>).catch((error: Error) => {
    throw new Error(`bdevperf ${test.workload_type} failed: ${error.message}`);
  });
}
