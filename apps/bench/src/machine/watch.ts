import { performance } from 'node:perf_hooks';
import {
  allProcesses,
  family,
  hasProc,
  type MachineTime,
  type ProcessTime,
  readLoadAverage,
  readMachine,
  readProcess,
} from './proc.ts';

/** CPU seconds that a group of processes has used. */
export interface Usage {
  readonly user_s: number;
  readonly system_s: number;
}

interface Tick {
  readonly at_ms: number;
  readonly machine: MachineTime;
  readonly own: ReadonlyMap<string, Usage>;
}

/** CPUs taken, on average over a window: 1 is one core. */
export interface Window {
  readonly length_s: number;
  /** By group. */
  readonly own: ReadonlyMap<string, { readonly user: number; readonly system: number }>;
  /** Taken by processes that are no part of the sample. */
  readonly other: number;
  readonly steal: number;
}

const PERIOD_MS = 100;

/**
 * Watches the CPU time of groups of processes and of the machine around a sample. It looks ten times a second, so
 * that a window can be chosen afterwards: an initiator does not say when it begins and ends.
 */
export class Watch {
  readonly #groups = new Map<string, number[]>();
  readonly #ticks: Tick[] = [];
  readonly #before: Map<number, ProcessTime> = hasProc ? allProcesses() : new Map();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor() {
    this.#timer = setInterval(() => this.tick(), PERIOD_MS);
  }

  /** Counts a process, its threads and its descendants to a group. */
  add(group: string, pid: number): void {
    this.#groups.set(group, [...(this.#groups.get(group) ?? []), pid]);
  }

  /** Looks now. Returns the time of the look, in ms of performance.now(). */
  tick(): number {
    const at_ms = performance.now();
    if (!hasProc) return at_ms;
    const own = new Map([...this.#groups].map(([group, pids]) => [group, usageOf(pids)]));
    const self = process.cpuUsage();
    own.set('bench', { user_s: self.user / 1e6, system_s: self.system / 1e6 });
    this.#ticks.push({ at_ms, machine: readMachine(), own });
    return at_ms;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** What was used between two times, to the nearest looks inside; null with fewer than two of them. */
  window(from_ms: number, to_ms: number): Window | null {
    const inside = this.#ticks.filter(({ at_ms }) => at_ms >= from_ms && at_ms <= to_ms);
    const [first, last] = [inside[0], inside.at(-1)];
    return first === undefined || last === undefined || first === last ? null : windowOf(first, last);
  }

  /** Who else has used the CPU most since the watch began: for the message about a rejected sample. */
  culprit(): string | null {
    const mine = new Set([...[...this.#groups.values()].flat(), process.pid]);
    let most = 0;
    let worst: ProcessTime | null = null;
    for (const now of hasProc ? allProcesses().values() : []) {
      const then = this.#before.get(now.pid);
      const used = now.user_s + now.system_s - (then ? then.user_s + then.system_s : 0);
      if (mine.has(now.pid) || used <= most) continue;
      most = used;
      worst = now;
    }
    return worst === null ? null : `${worst.name} (${worst.pid})`;
  }

  static load(): number {
    return hasProc ? readLoadAverage() : 0;
  }
}

function usageOf(pids: readonly number[]): Usage {
  let [user_s, system_s] = [0, 0];
  for (const pid of pids.flatMap(family)) {
    const time = readProcess(pid);
    user_s += time?.user_s ?? 0;
    system_s += time?.system_s ?? 0;
  }
  return { user_s, system_s };
}

function windowOf(first: Tick, last: Tick): Window {
  const length_s = (last.at_ms - first.at_ms) / 1000;
  const own = new Map<string, { user: number; system: number }>();
  let mine = 0;
  for (const [group, { user_s, system_s }] of last.own) {
    const before = first.own.get(group) ?? { user_s: 0, system_s: 0 };
    const user = Math.max(0, (user_s - before.user_s) / length_s);
    const system = Math.max(0, (system_s - before.system_s) / length_s);
    own.set(group, { user, system });
    mine += user + system;
  }
  const busy = (last.machine.busy_s - first.machine.busy_s) / length_s;
  const steal = (last.machine.steal_s - first.machine.steal_s) / length_s;
  return { length_s, own, other: Math.max(0, busy - mine), steal };
}
