import type { Comparison } from '../analysis.ts';
import { formatDifference, formatShare } from '../format.ts';
import { verdictText } from '../metrics.ts';
import type { Verdict } from '../statistics/welch.ts';
import { type Markup, markup } from './markup.ts';
import { differenceScale, type Scale } from './scale.ts';

/*
 * The relative difference of each row to its baseline with its 99 % confidence interval, one below the other.
 */

const WIDTH = 1040;
const LABEL_WIDTH = 300;
const FIGURES_WIDTH = 228;
const LINE = 30;
const TOP = 34;
const [PLOT_LEFT, PLOT_RIGHT] = [LABEL_WIDTH + 16, WIDTH - FIGURES_WIDTH - 12];
/** About how many letters fit beside the plot. */
const LABEL_LETTERS = 46;

export const classOf: Readonly<Record<Verdict, string>> = {
  ...{ faster: 'good', slower: 'bad', 'no significant difference': 'same', 'too few samples': 'same' },
};

/** One plot of comparisons that share a metric. `sides`: several sides are compared, so their names stand there. */
export function differencePlot(comparisons: readonly Comparison[], title: string): Markup {
  const several = new Set(comparisons.map(({ side }) => side.name)).size > 1;
  const better = comparisons[0]!.metric.better;
  const edges = comparisons.flatMap(edgesOf);
  const scale = differenceScale(Math.min(...edges), Math.max(...edges), PLOT_LEFT + 8, PLOT_RIGHT - 8);
  const bottom = TOP + comparisons.length * LINE;
  const zero = scale.at(0);
  const hint = better === 'more' ? 'more is better →' : '← less is better';
  const text = comparisons
    .map((one) => `${labelOf(one, several)}: ${formatDifference(one.difference)}`)
    .join('; ');
  return markup`<svg viewBox="0 0 ${WIDTH} ${bottom + 30}" role="img" aria-label="${`${title}. ${text}`}">
<rect class="field" x="${PLOT_LEFT}" y="${TOP - 8}" width="${PLOT_RIGHT - PLOT_LEFT}" height="${bottom - TOP + 12}" rx="4"/>
<text class="hint" x="${better === 'more' ? PLOT_RIGHT : PLOT_LEFT}" y="${TOP - 16}" text-anchor="${better === 'more' ? 'end' : 'start'}">${comparisons[0]!.metric.label}: ${hint}</text>
${scale.ticks.map((tick) => tickOf(scale, tick, bottom))}
<line class="zero" x1="${zero}" x2="${zero}" y1="${TOP - 8}" y2="${bottom + 4}"/>
${comparisons.map((one, index) => lineOf(one, labelOf(one, several), scale, TOP + index * LINE + LINE / 2))}
</svg>`;
}

function edgesOf({ difference: { relative, relative_margin }, result }: Comparison): number[] {
  const margin = Number.isFinite(relative_margin) ? relative_margin : 0;
  const aim = result.row.reach === null ? [] : [result.row.reach - 1];
  // An interval wider than the difference itself by far says "unknown": it need not be shown whole.
  const least = Math.max(relative - margin, Math.min(-0.9, relative));
  const most = Math.min(relative + margin, Math.max(4, relative * 2));
  return Number.isFinite(relative) ? [relative, least, most, ...aim] : [0];
}

const labelOf = ({ result, side }: Comparison, several: boolean): string =>
  several ? `${result.row.name}: ${side.name}` : result.row.name;

function tickOf(scale: Scale, tick: number, bottom: number): Markup {
  const x = scale.at(tick);
  const label = tick === 0 ? '0' : formatShare(tick).replace('.0 %', ' %');
  return markup`<line class="grid" x1="${x}" x2="${x}" y1="${TOP - 8}" y2="${bottom + 4}"/><text class="tick" x="${x}" y="${bottom + 20}" text-anchor="middle">${label}</text>`;
}

function lineOf(comparison: Comparison, label: string, scale: Scale, y: number): Markup {
  const { relative, relative_margin, verdict } = comparison.difference;
  const inside = (x: number): number => Math.max(PLOT_LEFT, Math.min(PLOT_RIGHT, x));
  const x = inside(scale.at(relative));
  const margin = Number.isFinite(relative_margin) ? relative_margin : 0;
  const [low, high] = [scale.at(relative - margin), scale.at(relative + margin)].map(inside) as [
    number,
    number,
  ];
  const short = label.length > LABEL_LETTERS ? `${label.slice(0, LABEL_LETTERS - 1)}…` : label;
  const whisker =
    margin === 0
      ? null
      : markup`<path class="whisker" d="M${low} ${y}H${high}M${low} ${y - 5}v10M${high} ${y - 5}v10"/>`;
  return markup`<g class="${classOf[verdict]}"><title>${`${label}: ${formatDifference(comparison.difference)}, ${verdictText(comparison.metric, verdict)}`}</title>
<text class="label" x="${LABEL_WIDTH}" y="${y + 4.5}" text-anchor="end">${short}</text>
${whisker}${aimMark(comparison, scale, y)}${pointOf(verdict, x, y)}
<text class="figure" x="${WIDTH - FIGURES_WIDTH}" y="${y + 4.5}">${formatDifference(comparison.difference)}</text></g>`;
}

/** Shapes differ as well as colours. */
function pointOf(verdict: Verdict, x: number, y: number): Markup {
  if (verdict === 'faster') return markup`<path class="point" d="M${x} ${y - 6.5}l6.5 11h-13z"/>`;
  if (verdict === 'slower') return markup`<path class="point" d="M${x} ${y + 6.5}l6.5 -11h-13z"/>`;
  return markup`<circle class="point" cx="${x}" cy="${y}" r="4.8"/>`;
}

/** A mark at the ratio that the row aims at. */
function aimMark({ result, reached }: Comparison, scale: Scale, y: number): Markup | null {
  if (reached === null) return null;
  const x = scale.at(result.row.reach! - 1);
  return markup`<line class="aim" x1="${x}" x2="${x}" y1="${y - 11}" y2="${y + 11}"/>`;
}
