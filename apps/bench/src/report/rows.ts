import { type Comparison, comparisonsOf, measuredSides, metricOf, summaryOf, valuesOf } from '../analysis.ts';
import { formatDifference, formatNumber, formatRatio, formatShare, formatValue } from '../format.ts';
import { type MetricName, metrics, verdictText } from '../metrics.ts';
import type { Result, RowResult, SideResult } from '../result.ts';
import { mean } from '../statistics/summary.ts';
import type { Column } from './table.ts';

/*
 * What the tables of every kind of report say.
 */

export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
}

const right = (title: string): Column => ({ title, right: true });

/** `≥ 1.15× reached`; empty without an aim. */
export function aimOf({ result, reached, metric }: Comparison): string {
  if (reached === null) return '';
  const bound = metric.better === 'more' ? '≥' : '≤';
  return `${bound} ${formatRatio(result.row.reach!)} ${reached ? 'reached' : 'missed'}`;
}

const only = (names: readonly string[]): string | null => (new Set(names).size === 1 ? names[0]! : null);

/** One line for each comparison: the figures that decide. Columns that would be empty are left out. */
export function comparisonTable(rows: readonly RowResult[]): Table {
  const compared = rows.flatMap(comparisonsOf);
  // Sides that are the same in all lines stand in the heading.
  const [baseline, side] = [
    only(compared.map((one) => one.baseline.name)),
    only(compared.map((one) => one.side.name)),
  ];
  const cells = (one: Comparison): [Column, string][] => {
    const { result, metric, difference, p99_ratio, efficiency_ratio } = one;
    const [a, b] = [difference.a.median, difference.b.median].map((value) => formatValue(value, metric));
    const optional = (ratio: number | null): string => (ratio === null ? '' : formatRatio(ratio));
    return [
      [{ title: 'Case' }, result.row.name],
      ...sideCells(baseline, 'Baseline', one.baseline.name, a!),
      ...sideCells(side, 'Compared', one.side.name, b!),
      [right('ratio'), formatRatio(difference.ratio)],
      [right('difference (99 % CI)'), formatDifference(difference)],
      [{ title: 'verdict' }, verdictText(metric, difference.verdict)],
      [{ title: 'aim' }, aimOf(one)],
      [right('p99 ratio'), metric.name === 'latency_us_p99' ? '' : optional(p99_ratio)],
      [right('per CPU-s ratio'), optional(efficiency_ratio)],
    ];
  };
  const lines = compared.map(cells);
  const filled = (lines[0] ?? []).map((_, i) => lines.some((line) => line[i]![1] !== ''));
  const columns = (lines[0] ?? []).map(([column]) => column).filter((_, i) => filled[i]);
  return { columns, rows: lines.map((line) => line.map(([, text]) => text).filter((_, i) => filled[i])) };
}

function sideCells(common: string | null, kind: string, name: string, value: string): [Column, string][] {
  if (common !== null) return [[right(common), value]];
  return [
    [{ title: kind }, name],
    [right('median'), value],
  ];
}

const shownMetrics: readonly MetricName[] = [
  ...([
    'iops',
    'mibps',
    'latency_us_average',
    'latency_us_p50',
    'latency_us_p99',
    'latency_us_p999',
  ] as const),
  ...(['cpu_user', 'cpu_system', 'iops_per_cpu_s', 'start_ms', 'memory_mib'] as const),
];

const ofSides = (
  rows: readonly RowResult[],
  cells: (side: SideResult, result: RowResult) => string[],
): string[][] =>
  rows.flatMap((result) =>
    measuredSides(result).map((side) => [result.row.name, side.name, ...cells(side, result)]),
  );

/** The spread of the figure that decides: one line for each side that was measured. */
export function spreadTable(rows: readonly RowResult[]): Table {
  const titles = ['median', 'mean', 'SD', 'min', 'max'];
  const columns = [{ title: 'Case' }, { title: 'Side' }, right('n'), ...titles.map(right)];
  const lines = ofSides(rows, (side, result) => {
    const metric = metricOf(result);
    const { n, median, mean, sd, min, max } = summaryOf(side, metric.name)!;
    return [String(n), ...[median, mean, sd, min, max].map((value) => formatValue(value, metric))];
  });
  return { columns, rows: lines };
}

/** Medians of all that is known: one line for each side that was measured. */
export function metricTable(rows: readonly RowResult[]): Table {
  const shown = shownMetrics.filter((name) =>
    rows.some((result) => result.sides.some((side) => valuesOf(side, name).length > 0)),
  );
  const titles = shown.map((name) => metrics.get(name)!.short);
  const columns = [{ title: 'Case' }, { title: 'Side' }, ...titles.map(right)];
  const lines = ofSides(rows, (side) =>
    shown.map((name) => {
      const summary = summaryOf(side, name);
      return summary === null ? '' : formatNumber(summary.median);
    }),
  );
  return { columns, rows: lines };
}

/** Every iteration of each side, its mean, the difference to the baseline and the winner: of one row. */
export function iterationTable(result: RowResult): Table {
  const metric = metricOf(result);
  const sides = measuredSides(result);
  const most = Math.max(...sides.map((side) => side.samples.length));
  const columns = [
    ...[{ title: 'Side' }, ...Array.from({ length: most }, (_, i) => right(`iteration ${i + 1}`))],
    ...[right('mean'), right('difference'), { title: 'winner' }],
  ];
  const means = sides.map((side) => mean(valuesOf(side, metric.name)));
  const lines = sides.map((side, index) => {
    const values = valuesOf(side, metric.name).map((value) => formatValue(value, metric));
    const blanks = Array<string>(most - values.length).fill('');
    const share = (means[index]! - means[0]!) / means[0]!;
    const won = share > 0 === (metric.better === 'more') ? side : sides[0]!;
    const compared = index === 0 ? ['', ''] : [formatShare(share), won.name];
    return [side.name, ...values, ...blanks, formatValue(means[index]!, metric), ...compared];
  });
  return { columns, rows: lines };
}

/** Lines about what was left out and why: rows and sides that were skipped, failures, rejected samples. */
export function remarksOf(result: RowResult): string[] {
  const { row, skipped, failed, rejections, rounds_lost } = result;
  if (skipped !== null) return [`${row.name}: skipped: ${skipped}`];
  const remarks = result.sides
    .filter((side) => side.skipped !== null)
    .map((side) => `${row.name}: ${side.name} skipped: ${side.skipped}`);
  if (failed !== null) remarks.push(`${row.name}: failed: ${failed}`);
  if (rejections.length > 0)
    remarks.push(
      `${row.name}: ${plural(rejections.length, 'sample')} rejected, such as: ${rejections[0]!.reason}`,
    );
  if (rounds_lost > 0)
    remarks.push(`${row.name}: ${plural(rounds_lost, 'round')} left out: the machine stayed busy`);
  return remarks;
}

export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** Rows that are reported in any way but as a remark. */
export const measuredRows = (rows: readonly RowResult[]): RowResult[] =>
  rows.filter((result) => measuredSides(result).length > 0);

/** How it was measured, in sentences. */
export function methodOf(result: Result): string {
  const { settings, rows } = result;
  const rejected = rows.reduce((sum, row) => sum + row.rejections.length, 0);
  const how = settings.order === 'random' ? 'in an order drawn for each round' : 'to and fro (ABBA)';
  const busy =
    settings.busy_max === null
      ? 'No sample was rejected for a busy machine: the check was off.'
      : `A sample during which other processes took more than ${Math.round(settings.busy_max * 100)} % of a core was rejected and taken again: ${plural(rejected, 'sample')}.`;
  return (
    `Sides alternate ${how} (seed ${settings.seed}); every sample is a fresh process after a warm-up. ` +
    'Differences are of the means, relative to the baseline, with 99 % confidence intervals by Welch’s t; ' +
    `ratios are of the medians. ${busy}`
  );
}

export function machineOf({ machine }: Result): string {
  const { cpu, cpus, memory_gib, kernel, node, commit } = machine;
  return `${cpu}, ${plural(cpus, 'CPU')}, ${memory_gib} GiB, ${kernel}, Node.js ${node.slice(1)}, bench ${commit || 'without git'}`;
}

/** Each side once, with what it is. */
export function sidesOf(rows: readonly RowResult[]): [name: string, about: string][] {
  const found = new Map<string, Pick<SideResult, 'name' | 'about'>>();
  for (const { sides } of rows) for (const side of sides) found.set(`${side.name}\n${side.about}`, side);
  return [...found.values()].map(({ name, about }) => [name, about]);
}
