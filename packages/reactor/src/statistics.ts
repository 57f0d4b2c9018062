import { formatCpumask } from '@spdk-ts/env';
import type { Poller } from './poller.ts';
import type { Reactor } from './reactor.ts';
import type { Thread } from './thread.ts';

/*
 * What a reactor tells of itself, in the shapes that the RPCs return: clients decode them strictly, so no field
 * may be added or left out. Times are ticks.
 */

export interface ThreadStats {
  name: string;
  id: number;
  cpumask: string;
  busy: number;
  idle: number;
  active_pollers_count: number;
  timed_pollers_count: number;
  paused_pollers_count: number;
}

export interface PollerStats {
  name: string;
  state: string;
  id: number;
  run_count: number;
  busy_count: number;
  period_ticks?: number;
}

export interface ThreadPollers {
  name: string;
  id: number;
  active_pollers: PollerStats[];
  timed_pollers: PollerStats[];
  paused_pollers: PollerStats[];
}

export interface ThreadChannels {
  name: string;
  io_channels: { name: string; ref: number }[];
}

export interface LightweightThread {
  name: string;
  id: number;
  cpumask: string;
  elapsed: number;
}

export interface ReactorStats {
  lcore: number;
  numa_id: number;
  tid: number;
  busy: number;
  idle: number;
  in_interrupt: boolean;
  lw_threads: LightweightThread[];
}

export function threadStats(thread: Thread): ThreadStats {
  return {
    name: thread.name,
    id: thread.id,
    cpumask: formatCpumask(thread.cpumask),
    busy: thread.busy_ticks,
    idle: thread.idle_ticks,
    active_pollers_count: thread.activePollers.length,
    timed_pollers_count: thread.timedPollers.length,
    paused_pollers_count: thread.pausedPollers.length,
  };
}

function pollerStats(poller: Poller): PollerStats {
  const { name, state, id, run_count, busy_count } = poller;
  const stats: PollerStats = { name, state, id, run_count, busy_count };
  if (poller.period_ticks > 0) stats.period_ticks = poller.period_ticks;
  return stats;
}

export function threadPollers(thread: Thread): ThreadPollers {
  return {
    name: thread.name,
    id: thread.id,
    active_pollers: thread.activePollers.map(pollerStats),
    timed_pollers: thread.timedPollers.map(pollerStats),
    paused_pollers: thread.pausedPollers.map(pollerStats),
  };
}

export function threadChannels(thread: Thread): ThreadChannels {
  return {
    name: thread.name,
    io_channels: thread.ioChannels.map((channel) => ({ name: channel.device.name, ref: channel.ref })),
  };
}

export function reactorStats(reactor: Reactor, tid: number, in_interrupt: boolean): ReactorStats {
  return {
    lcore: reactor.lcore,
    numa_id: 0,
    tid,
    busy: reactor.busy_ticks,
    idle: reactor.idle_ticks,
    in_interrupt,
    lw_threads: reactor.threads.map((thread) => ({
      name: thread.name,
      id: thread.id,
      cpumask: formatCpumask(thread.cpumask),
      elapsed: thread.busy_ticks + thread.idle_ticks,
    })),
  };
}
