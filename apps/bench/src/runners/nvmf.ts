import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { disturbance, noiseOf } from '../machine/quiet.ts';
import { Watch } from '../machine/watch.ts';
import { parseBdevperf } from '../parse/bdevperf.ts';
import { parseNvmePerf } from '../parse/nvme-perf.ts';
import type { Row, Side } from '../scenario/types.ts';
import { cpuMetrics } from './cpu.ts';
import { initiatorLaunch, type Load, verifierLaunch } from './initiator.ts';
import { SUBSYSTEM_NQN, tcpAddress } from './listen-address.ts';
import { type Attempt, bound, type Session } from './session.ts';
import { type RunningTarget, startTarget } from './target.ts';

const FILL_SIZE = 128 * 1024;
const VERIFY_S = 2;
/** How long an initiator takes at most from the end of its load to its exit. */
const FAREWELL_MS = 500;

/**
 * A sample of a target over TCP or vfio-user: a fresh target, configured over RPC, its memory filled by the initiator; then the
 * initiator's load with its own warm-up. CPU time is the target's share during the middle of the load: before and
 * after it a polling target turns on nothing.
 */
export async function takeNvmf(session: Session, row: Row, side: Side): Promise<Attempt> {
  // An initiator that is missing is no reason to start a target.
  initiatorLaunch(session, row, loadOf(row), tcpAddress(1));
  const target = await startTarget(session, row, side);
  const watch = new Watch();
  watch.add('target', target.child.pid);
  try {
    if (target.plan.memory_bytes > 0) await fill(session, row, target);
    if (row.verify && target.plan.keeps_data) await verify(session, row, target);
    const output = await load(session, row, loadOf(row), target, watch);
    const end = performance.now();
    watch.stop();
    const measured = parseNvmePerf(output);
    if (measured === null) throw new Error(`the initiator's output has no results:\n${output.slice(-500)}`);
    const { middle, whole } = windowsOf(row.time_s * 1000, end);
    const noise = noiseOf(watch.window(...whole), Watch.load());
    const cpu = cpuMetrics(watch.window(...middle), 'target', measured.metrics.iops);
    return {
      metrics: { ...measured.metrics, ...cpu },
      noise,
      disturbance: disturbance(noise, session.noise, () => watch.culprit()),
    };
  } finally {
    watch.stop();
    target.client.close();
    await target.child.stop();
  }
}

/**
 * When the load ran, reckoned from the initiator's end: it does not say when it begins. `middle` is certainly
 * inside; `whole` is all of it.
 */
export function windowsOf(time_ms: number, end: number): Record<'middle' | 'whole', [number, number]> {
  const margin = Math.min(FAREWELL_MS, time_ms * 0.3);
  return { middle: [end - time_ms, end - margin], whole: [end - time_ms - margin, end] };
}

const loadOf = (row: Row): Load => row;

async function load(
  session: Session,
  row: Row,
  what: Load,
  target: RunningTarget,
  watch: Watch | null,
): Promise<string> {
  const launch = initiatorLaunch(session, row, what, target.where);
  const child = session.scope.spawn(bound(session, launch, row.initiator_cores));
  watch?.add('initiator', child.pid);
  await Promise.race([child.exited, target.child.exited]);
  if (!target.child.running) {
    await child.stop();
    throw target.child.error('the target ended under load');
  }
  await child.success('the initiator failed');
  return child.stdout;
}

/** Writes the namespaces once: memory that was never written is read from one page of zeros. */
async function fill(session: Session, row: Row, target: RunningTarget): Promise<void> {
  const what: Load = {
    ...{ workload: 'write', size: FILL_SIZE, depth: 16, connections: 1 },
    ...{ rw_percentage: 0, time_s: 1, warmup_s: 0 },
  };
  await load(session, row, what, target, null);
}

async function verify(session: Session, row: Row, target: RunningTarget): Promise<void> {
  const config = join(session.scope.directory, 'verify.json');
  const params = { name: 'Nvme0', ...target.where, subnqn: SUBSYSTEM_NQN };
  const attach = { method: 'bdev_nvme_attach_controller', params };
  writeFileSync(config, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: [attach] }] }));
  const launch = verifierLaunch(session, row, VERIFY_S, config);
  const child = session.scope.spawn(bound(session, launch, row.initiator_cores));
  await child.success('verification failed');
  const measured = parseBdevperf(child.stdout);
  if (measured === null || measured.failed_per_s > 0 || !(measured.metrics.iops! > 0))
    throw child.error('verification failed');
}
