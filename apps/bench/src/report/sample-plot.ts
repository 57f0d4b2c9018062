import { measuredSides, metricOf, valuesOf } from '../analysis.ts';
import { formatNumber, formatValue } from '../format.ts';
import type { RowResult } from '../result.ts';
import { median } from '../statistics/summary.ts';
import { type Markup, markup } from './markup.ts';
import { linearScale } from './scale.ts';

/*
 * Every sample of each side of a row as a dot: spread, outliers and two-humped distributions show.
 */

const WIDTH = 1040;
const LEFT = 190;
const RIGHT = 920;
const LINE = 28;

export function samplePlot(result: RowResult): Markup {
  const metric = metricOf(result);
  const sides = measuredSides(result);
  const all = sides.flatMap((side) => valuesOf(side, metric.name));
  const scale = linearScale(Math.min(...all), Math.max(...all), LEFT, RIGHT);
  const bottom = sides.length * LINE + 8;
  const text = sides.map(
    (side) => `${side.name}: median ${formatValue(median(valuesOf(side, metric.name)), metric)}`,
  );
  const title = `Samples of ${result.row.name}, ${metric.label}. ${text.join('; ')}`;
  return markup`<svg viewBox="0 0 ${WIDTH} ${bottom + 24}" role="img" aria-label="${title}">
${scale.ticks.map((tick) => {
  const x = scale.at(tick);
  return markup`<line class="grid" x1="${x}" x2="${x}" y1="4" y2="${bottom}"/><text class="tick" x="${x}" y="${bottom + 17}" text-anchor="middle">${formatNumber(tick)}</text>`;
})}
${sides.map((side, index) => {
  const values = valuesOf(side, metric.name);
  const y = index * LINE + LINE / 2 + 4;
  const middle = scale.at(median(values));
  return markup`<g class="side${index % 6}"><text class="label" x="${LEFT - 18}" y="${y + 4.5}" text-anchor="end">${side.name}</text>
<line class="rail" x1="${LEFT}" x2="${RIGHT}" y1="${y}" y2="${y}"/>
${values.map((value, i) => markup`<circle class="dot" cx="${scale.at(value)}" cy="${y + (((i * 5) % 7) - 3) * 1.3}" r="4"/>`)}
<line class="median" x1="${middle}" x2="${middle}" y1="${y - 11}" y2="${y + 11}"/>
<text class="figure" x="${RIGHT + 14}" y="${y + 4.5}">${formatValue(median(values), metric)}</text></g>`;
})}
</svg>`;
}
