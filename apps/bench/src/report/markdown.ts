import { groupsOf } from '../analysis.ts';
import type { Result } from '../result.ts';
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
import { markdownTable } from './table.ts';

const table = ({ columns, rows }: Table): string[] => markdownTable(columns, rows);

const METRICS = 'Medians of all that is known; user and kernel are CPU time of the program, in cores:';

/** The report as a section of a Markdown page. */
export function markdownReport(result: Result): string {
  const { scenario, settings } = result;
  const lines = [`## ${scenario.title}`, ''];
  if (scenario.about !== '') lines.push(scenario.about, '');
  lines.push(
    `${result.started.slice(0, 10)}, ${machineOf(result)}.`,
    '',
    '```sh',
    settings.command,
    '```',
    '',
  );
  lines.push(methodOf(result), '');
  for (const [name, about] of sidesOf(result.rows)) lines.push(`- **${name}**: ${about}`);
  for (const [group, rows] of groupsOf(measuredRows(result.rows))) {
    lines.push('', `### ${group === '' ? 'Results' : group}`, '');
    const compared = comparisonTable(rows);
    if (compared.rows.length > 0) lines.push(...table(compared), '');
    if (result.per_iteration)
      for (const row of rows) lines.push(`${row.row.name}:`, '', ...table(iterationTable(row)), '');
    lines.push(...table(spreadTable(rows)), '', METRICS, '', ...table(metricTable(rows)));
  }
  const remarks = result.rows.flatMap(remarksOf);
  if (remarks.length > 0)
    lines.push('', '### Left out', '', ...remarks.map((line) => `- ${line.split('\n')[0]}`));
  if (result.ended === null) lines.push('', 'The run was not finished: rows are missing.');
  return `${lines.join('\n')}\n`;
}
