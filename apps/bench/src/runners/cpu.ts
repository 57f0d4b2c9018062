import type { Window } from '../machine/watch.ts';
import type { Metrics } from '../metrics.ts';

/** What a group's processes used, in cores, and how many I/Os a second of it did. */
export function cpuMetrics(window: Window | null, group: string, iops?: number): Metrics {
  const own = window?.own.get(group);
  if (own === undefined) return {};
  const cpu = own.user + own.system;
  return {
    ...{ cpu, cpu_user: own.user, cpu_system: own.system },
    ...(iops !== undefined && cpu > 0 && { iops_per_cpu_s: iops / cpu }),
  };
}
