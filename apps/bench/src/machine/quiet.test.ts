import { describe, expect, it } from 'vitest';
import { disturbance } from './quiet.ts';

const limits = { other_max: 0.1, steal_max: 0.05, settle_s_max: 0 };
const quiet = { other: 0.02, steal: 0, load: 0.3 };

describe('rejection', () => {
  it('believes a sample of a quiet machine, whatever its load average was', () => {
    expect(disturbance({ ...quiet, load: 9 }, limits, () => 'x')).toBeNull();
  });

  it('names who disturbed', () => {
    expect(disturbance({ ...quiet, other: 0.834 }, limits, () => 'node (12)')).toBe(
      'other processes took 83 % of a core, node (12) most',
    );
    expect(disturbance({ ...quiet, other: 0.2 }, limits, () => null)).toBe(
      'other processes took 20 % of a core',
    );
    expect(disturbance({ ...quiet, steal: 0.2 }, limits, () => null)).toBe(
      'the hypervisor took 20 % of a core',
    );
  });

  it('can be told not to care', () => {
    expect(disturbance({ ...quiet, other: 2 }, { ...limits, other_max: Infinity }, () => 'x')).toBeNull();
  });
});
