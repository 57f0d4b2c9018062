import { IoType } from '@spdk-ts/bdev';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Rule, RuleSet, ruleProblem } from './rules.ts';

/** Which of `count` I/Os the rules hit, as a string of x and dots. */
function hits(rules: Rule[], count = 12, seed = 1, reactor = 0, type: number = IoType.READ): string {
  const set = new RuleSet(rules, seed, reactor);
  return Array.from({ length: count }, (_, i) => (set.decide(type, i, 1) === null ? '.' : 'x')).join('');
}

describe('rules', () => {
  it('hit by LBA range, nth, pattern, count and after a while', () => {
    const fail = { error_type: 'failure' } as const;
    expect(hits([fail])).toBe('xxxxxxxxxxxx');
    expect(hits([{ ...fail, first_block: 3, num_blocks: 2 }])).toBe('...xx.......');
    expect(hits([{ ...fail, first_block: 10 }])).toBe('..........xx');
    expect(hits([{ ...fail, every: 4 }])).toBe('...x...x...x');
    expect(hits([{ ...fail, every: 4, skip: 2 }])).toBe('.....x...x..');
    expect(hits([{ ...fail, pattern: 'x..xx' }])).toBe('x..xxx..xxx.');
    expect(hits([{ ...fail, pattern: '.x', skip: 3, count: 2 }])).toBe('....x.x.....');
    expect(hits([{ ...fail, count: 3 }])).toBe('xxx.........');
    expect(hits([{ ...fail, rate: 0 }])).toBe('............');
    expect(hits([{ ...fail, io_type: 'write' }])).toBe('............');
    expect(hits([{ ...fail, io_type: 'write' }], 2, 1, 0, IoType.WRITE)).toBe('xx');
    expect(hits([])).toBe('............');
  });

  it('touch a range that an I/O only overlaps', () => {
    const set = new RuleSet([{ error_type: 'failure', first_block: 8, num_blocks: 8 }], 1, 0);
    expect(set.decide(IoType.READ, 0, 8)).toBeNull();
    expect(set.decide(IoType.READ, 0, 9)).not.toBeNull();
    expect(set.decide(IoType.READ, 15, 100)).not.toBeNull();
    expect(set.decide(IoType.READ, 16, 1)).toBeNull();
  });

  it('decide in order: the first that hits, and those after it do not see the I/O', () => {
    const set = new RuleSet(
      [
        { error_type: 'nomem', every: 2 },
        { error_type: 'failure', every: 2 },
      ],
      1,
      0,
    );
    const seen = Array.from({ length: 6 }, () => set.decide(IoType.READ, 0, 1)?.error_type ?? '-');
    expect(seen).toEqual(['-', 'nomem', 'failure', 'nomem', '-', 'nomem']);
    expect(set.counts).toEqual([
      { matched: 6, hits: 3 },
      { matched: 3, hits: 1 },
    ]);
  });

  it('replay exactly from a seed, differ with another and with the reactor, and hit at their rate', () => {
    const rules: Rule[] = [{ error_type: 'failure', rate: 0.25 }];
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(7), (seed, reactor) => {
        const first = hits(rules, 2000, seed, reactor);
        expect(hits(rules, 2000, seed, reactor)).toBe(first);
        expect(hits(rules, 2000, (seed + 1) >>> 0, reactor)).not.toBe(first);
        expect(hits(rules, 2000, seed, reactor + 1)).not.toBe(first);
        const share = first.replaceAll('.', '').length / 2000;
        expect(share).toBeGreaterThan(0.15);
        expect(share).toBeLessThan(0.35);
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    [{}, 'does nothing'],
    [{ error_type: 'failure', rate: 1.5 }, '.rate is 1.5'],
    [{ error_type: 'failure', rate: -1 }, '.rate is -1'],
    [{ error_type: 'failure', every: 0 }, '.every is 0'],
    [{ error_type: 'failure', pattern: '...' }, '.pattern is "..."'],
    [{ error_type: 'failure', pattern: 'xy' }, '.pattern is "xy"'],
    [{ error_type: 'failure', pattern: 'x', every: 2 }, 'both pattern and every'],
    [{ error_type: 'failure', num_blocks: 0 }, '.num_blocks is 0'],
    [{ error_type: 'failure', nvme_sc: 1 }, 'needs error_type "nvme_failure"'],
    [{ error_type: 'pending', latency_us: 1 }, 'which error_type "pending" does not use'],
    [{ error_type: 'nvme_failure' }, 'neither nvme_sct nor nvme_sc'],
    [{ error_type: 'corrupt_data', corrupt_value: 0 }, '.corrupt_value is 0'],
  ] as [Rule, string][])('cannot be %j', (rule, problem) => {
    expect(ruleProblem(rule)).toContain(problem);
  });

  it('can be for latency alone', () => {
    expect(ruleProblem({ latency_us: 5 })).toBeNull();
  });
});
