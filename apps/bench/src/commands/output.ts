import { writeFileSync } from 'node:fs';
import { hidePaths } from '../environment.ts';
import { htmlReport } from '../report/html.ts';
import { markdownReport } from '../report/markdown.ts';
import type { Result, RowResult } from '../result.ts';

/** Where reports go; absent: nowhere. */
export interface Outputs {
  readonly json?: string;
  readonly markdown?: string;
  readonly html?: string;
}

/** Writes the reports that were asked for. Paths of this machine are left out of them. */
export function writeReports(result: Result, { json, markdown, html }: Outputs): void {
  const shown = { ...result, rows: result.rows.map(withoutPaths) };
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(shown, null, 1)}\n`);
  if (markdown !== undefined) writeFileSync(markdown, markdownReport(shown));
  if (html !== undefined) writeFileSync(html, htmlReport(shown));
}

const withoutPaths = (row: RowResult): RowResult => ({
  ...row,
  failed: row.failed && hidePaths(row.failed),
  skipped: row.skipped && hidePaths(row.skipped),
  sides: row.sides.map((side) => ({
    ...side,
    about: hidePaths(side.about),
    skipped: side.skipped && hidePaths(side.skipped),
  })),
});
