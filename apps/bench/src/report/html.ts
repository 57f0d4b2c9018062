import { type Comparison, comparisonsOf, groupsOf, metricOf } from '../analysis.ts';
import type { MetricName } from '../metrics.ts';
import type { Result, RowResult } from '../result.ts';
import { differencePlot } from './difference-plot.ts';
import { type Markup, markup, Markup as Raw } from './markup.ts';
import {
  comparisonTable,
  iterationTable,
  machineOf,
  measuredRows,
  methodOf,
  metricTable,
  remarksOf,
  sidesOf,
  spreadTable,
  type Table,
} from './rows.ts';
import { samplePlot } from './sample-plot.ts';
import { style } from './style.ts';
import { isSweep, sweepPlot } from './sweep-plot.ts';

/** The report as one page: no scripts, nothing from outside. */
export function htmlReport(result: Result): string {
  const { scenario, settings, started, ended } = result;
  const measured = measuredRows(result.rows);
  const compared = measured.flatMap(comparisonsOf);
  const page = markup`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${scenario.title}</title><style>${new Raw(style)}</style></head><body>
<header><h1>${scenario.title}</h1>
${scenario.about === '' ? null : markup`<p>${scenario.about}</p>`}
<p class="soft">${started.slice(0, 10)} · ${machineOf(result)}</p></header>
${ended === null ? markup`<p><strong>The run was not finished: rows are missing.</strong></p>` : null}
<main>${compared.length > 0 ? tally(compared, result) : null}
${[...groupsOf(measured)].map(([group, rows]) => groupSection(group, rows, result.per_iteration))}
${remarks(result.rows)}</main>
<footer><h2>How it was measured</h2><p>${methodOf(result)}</p><pre><code>${settings.command}</code></pre>
<dl>${sidesOf(result.rows).map(([name, about]) => markup`<dt><b>${name}</b></dt><dd>${about}</dd>`)}</dl></footer>
</body></html>
`;
  return page.text;
}

const VERDICT_CLASS: Readonly<Record<string, string>> = {
  ...{ faster: 'good', better: 'good', less: 'good', slower: 'bad', worse: 'bad', more: 'bad' },
};

/** How many rows went which way, in numbers. */
function tally(compared: readonly Comparison[], { rows }: Result): Markup {
  const count = (verdict: string): number =>
    compared.filter(({ difference }) => difference.verdict === verdict).length;
  const aimed = compared.filter(({ reached }) => reached !== null);
  const reached = aimed.filter((one) => one.reached === true).length;
  const skipped = rows.filter((row) => row.skipped !== null).length;
  const failed = rows.filter((row) => row.failed !== null).length;
  const item = (value: string | number, label: string, kind = ''): Markup =>
    markup`<li><b class="${kind}">${value}</b>${label}</li>`;
  const few = count('too few samples');
  return markup`<ul class="tally" aria-label="Verdicts">
${item(count('faster'), '▲ better', 'good')}${item(count('slower'), '▼ worse', 'bad')}
${item(count('no significant difference'), '● no significant difference')}
${few > 0 ? item(few, '● too few samples') : null}
${aimed.length > 0 ? item(`${reached} of ${aimed.length}`, 'aims reached') : null}
${skipped > 0 ? item(skipped, 'rows skipped') : null}${failed > 0 ? item(failed, 'rows failed', 'bad') : null}</ul>`;
}

function groupSection(group: string, rows: readonly RowResult[], per_iteration: boolean): Markup {
  const title = group === '' ? 'Results' : group;
  const compared = rows.flatMap(comparisonsOf);
  const sweep = isSweep(rows) ? markup`<div class="card">${sweepPlot(rows, title)}</div>` : null;
  return markup`<section><h2>${title}</h2>${sweep}
${[...byMetric(compared).values()].map((some) => differenceCard(some, title))}
${compared.length === 0 ? null : tableOf(comparisonTable(rows), 'Each side beside its baseline; p99 and IOPS per CPU-second as ratios.')}
<details${compared.length === 0 ? new Raw(' open') : null}><summary>Samples, spread, latencies and CPU</summary>
${tableOf(spreadTable(rows), 'The figure that decides.')}
${tableOf(metricTable(rows), 'Medians of all that is known; user and kernel are CPU time of the program, in cores.')}
${rows.map((row) => markup`<h3>${row.row.name} <span class="soft">${metricOf(row).label}</span></h3>${samplePlot(row)}`)}
</details>
${per_iteration ? rows.map((row) => tableOf(iterationTable(row), row.row.name)) : null}</section>`;
}

function byMetric(compared: readonly Comparison[]): Map<MetricName, Comparison[]> {
  const found = new Map<MetricName, Comparison[]>();
  for (const one of compared) found.set(one.metric.name, [...(found.get(one.metric.name) ?? []), one]);
  return found;
}

function differenceCard(compared: readonly Comparison[], group: string): Markup {
  const { metric } = compared[0]!;
  const baselines = [...new Set(compared.map(({ baseline }) => baseline.name))].join(', ');
  const sides = [...new Set(compared.map(({ side }) => side.name))].join(', ');
  const title = `${sides} relative to ${baselines}: ${metric.label}`;
  const aims = compared.some(({ reached }) => reached !== null);
  return markup`<div class="card"><b>${title}</b> <span class="soft">mean, 99 % confidence interval${aims ? '; dashed: the aim' : ''}</span>
${differencePlot(compared, `${group}: ${title}`)}</div>`;
}

function tableOf({ columns, rows }: Table, caption: string): Markup {
  const kind = (index: number): string => (columns[index]!.right === true ? 'r' : '');
  const verdicts = columns.findIndex(({ title }) => title === 'verdict');
  const cell = (text: string, index: number): Markup => {
    if (index === 0) return markup`<th scope="row">${text}</th>`;
    const colour = index === verdicts ? (VERDICT_CLASS[text] ?? '') : '';
    return markup`<td class="${`${kind(index)} ${colour}`.trim()}">${text}</td>`;
  };
  return markup`<div class="card scroll"><table><caption>${caption}</caption><thead><tr>${columns.map(
    ({ title }, index) => markup`<th scope="col" class="${kind(index)}">${title}</th>`,
  )}</tr></thead><tbody>${rows.map((row) => markup`<tr>${row.map(cell)}</tr>`)}</tbody></table></div>`;
}

function remarks(rows: readonly RowResult[]): Markup | null {
  const lines = rows.flatMap(remarksOf);
  if (lines.length === 0) return null;
  return markup`<section><h2>Left out, rejected, failed</h2><ul>${lines.map((line) => markup`<li>${line.split('\n')[0]!}</li>`)}</ul></section>`;
}
