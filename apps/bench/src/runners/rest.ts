import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '../child.ts';
import { hasProc, readMemory } from '../machine/proc.ts';
import { disturbance, noiseOf } from '../machine/quiet.ts';
import { Watch } from '../machine/watch.ts';
import type { Row, Side } from '../scenario/types.ts';
import { Skip } from '../skip.ts';
import { planOf } from './bdevperf.ts';
import { cpuMetrics } from './cpu.ts';
import { openIdleConnections } from './idle-connections.ts';
import { ADDRESS, freePort, tcpAddress } from './listen-address.ts';
import { type Attempt, bound, type Session, withEnv } from './session.ts';
import { exportCalls, startTarget } from './target.ts';

/*
 * What a target costs while it does nothing: CPU when idle, time to start, memory.
 */

const SETTLE_MS = 1000;
const START_MS_MAX = 60_000;

const needProc = (): void => {
  if (!hasProc) throw new Skip('there is no /proc here to read CPU time and memory from');
};

/** CPU of a target with `connections` hosts that have connected and do nothing, over `time_s`. */
export async function takeIdle(session: Session, row: Row, side: Side): Promise<Attempt> {
  needProc();
  if (row.trtype !== 'TCP') throw new Skip('idle connections are made over TCP');
  const target = await startTarget(session, row, side);
  const watch = new Watch();
  watch.add('target', target.child.pid);
  try {
    const sockets = await openIdleConnections(Number(target.where.trsvcid), row.connections);
    await sleep(SETTLE_MS);
    const from = watch.tick();
    await sleep(row.time_s * 1000);
    const window = watch.window(from, watch.tick());
    const lost = sockets.filter((socket) => socket.destroyed || socket.readableEnded).length;
    for (const socket of sockets) socket.destroy();
    if (lost > 0) throw new Error(`the target closed ${lost} of ${sockets.length} idle connections`);
    const noise = noiseOf(window, Watch.load());
    return {
      metrics: cpuMetrics(window, 'target'),
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
 * Time from the start of a target, with a bdev and a listener in its configuration file, until the listener accepts;
 * and the memory that is then resident, hugepages included, with the bdev untouched.
 */
export async function takeStartup(session: Session, row: Row, side: Side): Promise<Attempt> {
  needProc();
  const plan = await planOf(session, row, side);
  const program = await session.programs.of(side);
  const port = await freePort();
  const config = join(session.scope.directory, 'startup.json');
  const subsystems = [
    { subsystem: 'bdev', config: [...side.calls, ...plan.calls] },
    { subsystem: 'nvmf', config: exportCalls(plan, side, tcpAddress(port)) },
  ];
  writeFileSync(config, JSON.stringify({ subsystems }));
  const socket = join(session.scope.directory, 'startup.sock');
  const options = { cores: row.cores, socket, memory_bytes: plan.memory_bytes, args: side.args, config };
  const launch = bound(session, withEnv(program.target(options), side), row.cores);
  const watch = new Watch();
  const from = watch.tick();
  const child = session.scope.spawn(launch);
  watch.add('target', child.pid);
  try {
    await accepts(child, port);
    const start_ms = performance.now() - from;
    const noise = noiseOf(watch.window(from, watch.tick()), Watch.load());
    await sleep(SETTLE_MS);
    const { rss, hugepages } = readMemory(child.pid);
    return {
      metrics: { start_ms, memory_mib: (rss + hugepages) / 2 ** 20 },
      noise,
      disturbance: disturbance(noise, session.noise, () => watch.culprit()),
    };
  } finally {
    watch.stop();
    await child.stop();
  }
}

async function accepts(child: Child, port: number): Promise<void> {
  const deadline = performance.now() + START_MS_MAX;
  while (!(await tryConnect(port))) {
    if (!child.running) throw child.error('it ended instead of listening');
    if (performance.now() > deadline) throw child.error(`it does not listen after ${START_MS_MAX / 1000} s`);
    await sleep(2);
  }
}

function tryConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, ADDRESS);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
