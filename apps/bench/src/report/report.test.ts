import { describe, expect, it } from 'vitest';
import { comparisonsOf } from '../analysis.ts';
import { exitCodeOf } from '../commands/measure.ts';
import type { Metrics } from '../metrics.ts';
import type { Result, RowResult } from '../result.ts';
import { rowDefaults } from '../scenario/parse.ts';
import { htmlReport } from './html.ts';
import { markdownReport } from './markdown.ts';
import { textReport } from './text.ts';

const noise = { other: 0, steal: 0, load: 0 };
const side = (name: string, all: readonly Metrics[], skipped: string | null = null) => ({
  ...{ name, about: `${name} <1.0>`, skipped },
  samples: all.map((metrics, round) => ({ round, metrics, noise })),
});
const iops = (...values: number[]): Metrics[] =>
  values.map((value) => ({ iops: value, latency_us_p99: 1e6 / value, iops_per_cpu_s: value }));

function rowOf(name: string, changes: Partial<RowResult> & { reach?: number; x?: number }): RowResult {
  const { reach = null, x = null, ...rest } = changes;
  const nothing = { skipped: null, failed: null, rejections: [], rounds_lost: 0, sides: [] };
  return { ...nothing, row: { ...rowDefaults, name, group: 'g & h', reach, x }, ...rest };
}

const faster = rowOf('faster', {
  sides: [side('spdk', iops(100, 101, 99)), side('ours', iops(200, 201, 199))],
  ...{ reach: 2.5, x: 1 },
  rejections: [{ side: 'ours', round: 1, reason: 'busy' }],
});
const slower = rowOf('slower', {
  sides: [side('spdk', iops(100, 101, 99)), side('ours', iops(50, 51))],
  x: 2,
});
const alone = rowOf('alone', { sides: [side('spdk', [], 'no SPDK'), side('ours', iops(5, 6))] });
const skipped = rowOf('gone', { sides: [side('spdk', [], 'no SPDK')], skipped: 'no SPDK' });
const failed = rowOf('broken', { failed: 'crashed\nwith a log' });

const result = (...rows: RowResult[]): Result => ({
  ...{ format: 'spdk-ts-bench-1', per_iteration: true, started: '2026-11-21T00:00:00Z', ended: 'x', rows },
  scenario: { name: 's', title: 'A & <B>', about: '' },
  machine: { cpu: 'C', cpus: 2, memory_gib: 24, kernel: 'Linux 6', node: 'v20.0.0', commit: 'abc' },
  settings: { seed: 7, order: 'random', pin: true, busy_max: 0.1, command: 'spdk-ts bench run s' },
});
const everything = result(faster, slower, alone, skipped, failed);

describe('comparisons', () => {
  it('have a verdict, an aim and side ratios', () => {
    const [one] = comparisonsOf(faster);
    expect(one!.difference.verdict).toBe('faster');
    expect(one!.reached).toBe(false);
    expect(one!.p99_ratio).toBeCloseTo(0.5, 6);
    expect(one!.efficiency_ratio).toBeCloseTo(2, 6);
    expect(comparisonsOf(slower)[0]!.reached).toBeNull();
  });

  it('need the baseline itself', () => {
    expect(comparisonsOf(alone)).toEqual([]);
    expect(comparisonsOf(skipped)).toEqual([]);
  });

  it('decide the exit code', () => {
    expect(exitCodeOf(result(faster, skipped), true)).toBe(0);
    expect(exitCodeOf(result(faster, slower), true)).toBe(3);
    expect(exitCodeOf(result(faster, slower), false)).toBe(0);
    expect(exitCodeOf(everything, false)).toBe(1);
  });
});

describe('reports', () => {
  it.each([
    ['text', textReport],
    ['Markdown', markdownReport],
    ['HTML', htmlReport],
  ])('%s names what was skipped, failed and rejected', (_, report) => {
    const text = report(everything);
    for (const remark of [
      'alone: spdk skipped: no SPDK',
      'gone: skipped: no SPDK',
      'broken: failed: crashed',
    ])
      expect(text).toContain(remark);
    expect(text).toContain('faster: 1 sample rejected, such as: busy');
    expect(text).toContain('≥ 2.50× missed');
  });

  it('HTML is whole in itself and escaped', () => {
    const page = htmlReport(everything);
    expect(page).toContain('<title>A &amp; &lt;B&gt;</title>');
    expect(page).not.toMatch(/<script|<link|<img|https?:|url\(|NaN|undefined/);
    expect(page.match(/<svg/g)).toHaveLength(page.match(/role="img" aria-label="[^"]+"/g)!.length);
  });

  it('survive samples without figures and infinite intervals', () => {
    const one = rowOf('one', { sides: [side('a', iops(1)), side('b', [{}]), side('c', iops(9))] });
    expect(htmlReport(result(one))).not.toMatch(/NaN|Infinity/);
    expect(textReport(result())).toContain('seed 7');
  });
});
