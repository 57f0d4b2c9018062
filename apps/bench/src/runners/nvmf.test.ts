import { describe, expect, it } from 'vitest';
import { rowDefaults } from '../scenario/parse.ts';
import { cpuMetrics } from './cpu.ts';
import { windowsOf } from './nvmf.ts';

describe('CPU time of a target', () => {
  it('is looked at in the middle of the load, which ends before the initiator does', () => {
    expect(windowsOf(5000, 10_000)).toEqual({ middle: [5000, 9500], whole: [4500, 10_000] });
    expect(windowsOf(1000, 10_000).middle).toEqual([9000, 9700]);
  });

  it('is told in cores, and per I/O', () => {
    const own = new Map([['target', { user: 0.3, system: 0.2 }]]);
    const window = { length_s: 1, own, other: 0, steal: 0 };
    expect(cpuMetrics(window, 'target', 1000)).toEqual({
      ...{ cpu: 0.5, cpu_user: 0.3, cpu_system: 0.2, iops_per_cpu_s: 2000 },
    });
    expect(cpuMetrics(window, 'other')).toEqual({});
    expect(cpuMetrics(null, 'target')).toEqual({});
  });

  it('is of a row that runs on another CPU than its initiator', () => {
    expect(rowDefaults.cores).not.toEqual(rowDefaults.initiator_cores);
  });
});
