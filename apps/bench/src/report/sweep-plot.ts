import { metricOf, valuesOf } from '../analysis.ts';
import { formatNumber, formatValue } from '../format.ts';
import type { RowResult } from '../result.ts';
import { summarize } from '../statistics/summary.ts';
import { type Markup, markup } from './markup.ts';
import { linearScale, stepScale } from './scale.ts';

/*
 * The rows of a sweep as lines: medians over depth, size, connections or reactors, with the range of the samples.
 */

const WIDTH = 1040;
const [LEFT, RIGHT] = [80, 890];
const [TOP, BOTTOM] = [28, 300];
/** Labels of lines that end close together are moved apart. */
const LABEL_APART = 17;

interface Point {
  readonly x: number;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Rows that lie on one axis: more than one, all with an x. */
export const isSweep = (rows: readonly RowResult[]): boolean =>
  rows.length > 1 && rows.every(({ row }) => row.x !== null && row.x > 0);

export function sweepPlot(rows: readonly RowResult[], title: string): Markup {
  const metric = metricOf(rows[0]!);
  const lines = [...new Set(rows.flatMap(({ sides }) => sides.map(({ name }) => name)))]
    .map((name) => ({ name, points: pointsOf(rows, name) }))
    .filter(({ points }) => points.length > 0);
  const all = lines.flatMap(({ points }) => points);
  const x = stepScale(
    all.map((point) => point.x),
    LEFT + 14,
    RIGHT - 14,
  );
  const y = linearScale(0, Math.max(...all.map((point) => point.max)), BOTTOM, TOP, 5);
  const ends = apart(lines.map(({ points }) => y.at(points.at(-1)!.median)));
  const text = lines.map(
    ({ name, points }) =>
      `${name}: ${points.map((point) => `${point.x}: ${formatValue(point.median, metric)}`).join(', ')}`,
  );
  return markup`<svg viewBox="0 0 ${WIDTH} ${BOTTOM + 34}" role="img" aria-label="${`${title}. ${text.join('; ')}`}">
<text class="hint" x="${LEFT}" y="14">${metric.label}${metric.unit === '' ? '' : `, ${metric.unit}`} (medians; bars from least to most)</text>
${y.ticks.map((tick) => markup`<line class="grid" x1="${LEFT}" x2="${RIGHT}" y1="${y.at(tick)}" y2="${y.at(tick)}"/><text class="tick" x="${LEFT - 8}" y="${y.at(tick) + 4}" text-anchor="end">${formatNumber(tick)}</text>`)}
${x.ticks.map((tick) => markup`<text class="tick" x="${x.at(tick)}" y="${BOTTOM + 20}" text-anchor="middle">${xLabel(tick)}</text>`)}
${lines.map(({ name, points }, index) => {
  const path = points.map(
    (point, i) => `${i === 0 ? 'M' : 'L'}${x.at(point.x).toFixed(1)} ${y.at(point.median).toFixed(1)}`,
  );
  return markup`<g class="side${index % 6}"><path class="line" d="${path.join('')}"/>
${points.map((point) => markup`<path class="whisker" d="M${x.at(point.x)} ${y.at(point.min)}V${y.at(point.max)}"/><circle class="dot" cx="${x.at(point.x)}" cy="${y.at(point.median)}" r="4.5"><title>${`${name}, ${xLabel(point.x)}: ${formatValue(point.median, metric)}`}</title></circle>`)}
<text class="name" x="${RIGHT + 8}" y="${ends[index]! + 4}">${name}</text></g>`;
})}
</svg>`;
}

const xLabel = (value: number): string => {
  if (value >= 2 ** 20 && value % 2 ** 20 === 0) return `${value / 2 ** 20} M`;
  return value >= 1024 && value % 1024 === 0 ? `${value / 1024} K` : String(value);
};

function pointsOf(rows: readonly RowResult[], name: string): Point[] {
  return rows
    .flatMap(({ row, sides }) => {
      const side = sides.find((one) => one.name === name);
      const values = side === undefined ? [] : valuesOf(side, row.metric);
      return values.length === 0 ? [] : [{ x: row.x!, ...summarize(values) }];
    })
    .sort((a, b) => a.x - b.x);
}

/** Moves places apart that are closer than a label is high, keeping their order. */
function apart(places: readonly number[]): number[] {
  const order = places.map((_, index) => index).sort((a, b) => places[a]! - places[b]!);
  const moved = [...places];
  for (let i = 1; i < order.length; i++) {
    const [above, below] = [order[i - 1]!, order[i]!];
    moved[below] = Math.max(moved[below]!, moved[above]! + LABEL_APART);
  }
  return moved;
}
