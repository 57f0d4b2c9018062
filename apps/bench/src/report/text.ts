import { groupsOf } from '../analysis.ts';
import type { Result } from '../result.ts';
import {
  comparisonTable,
  iterationTable,
  machineOf,
  measuredRows,
  metricTable,
  plural,
  remarksOf,
  spreadTable,
  type Table,
} from './rows.ts';
import { textTable } from './table.ts';

const table = ({ columns, rows }: Table): string[] => textTable(columns, rows);

/** The report for a terminal. */
export function textReport(result: Result): string {
  const lines: string[] = ['', result.scenario.title, machineOf(result)];
  for (const [group, rows] of groupsOf(measuredRows(result.rows))) {
    lines.push('', group === '' ? 'Results' : group, '');
    const compared = comparisonTable(rows);
    if (compared.rows.length > 0) lines.push(...table(compared), '');
    lines.push(...table(spreadTable(rows)), '', ...table(metricTable(rows)));
    if (result.per_iteration)
      for (const row of rows) lines.push('', row.row.name, ...table(iterationTable(row)));
  }
  const remarks = result.rows.flatMap(remarksOf);
  if (remarks.length > 0)
    lines.push('', plural(remarks.length, 'remark'), ...remarks.map((line) => `  ${line}`));
  lines.push('', `seed ${result.settings.seed}`);
  return `${lines.join('\n')}\n`;
}
