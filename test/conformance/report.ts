/** What a run found, as JSON and in words. */
import type { Severity } from './check.ts';

export type Verdict = 'as expected' | 'otherwise' | 'not applicable' | 'not run';

export interface Finding {
  readonly id: string;
  readonly area: string;
  readonly section: string;
  readonly severity: Severity;
  readonly title: string;
  readonly expected: string;
  readonly verdict: Verdict;
  /** What was seen, or why the check does not apply or was not run. */
  readonly seen: string;
}

export interface Report {
  /** What the target calls itself. */
  readonly target: { readonly model: string; readonly firmware: string; readonly version: string };
  readonly seed: number;
  readonly findings: readonly Finding[];
}

export const countOf = (findings: readonly Finding[], verdict: Verdict): number =>
  findings.filter((finding) => finding.verdict === verdict).length;

/** One line for each deviation, and the sums. */
export function summary({ target, findings }: Report): string {
  const lines = findings
    .filter(({ verdict }) => verdict === 'otherwise')
    .flatMap(({ id, severity, section, title, expected, seen }) => [
      `  ${id} (${severity}; ${section}): ${title}`,
      `      expected: ${expected}`,
      `      seen:     ${seen}`,
    ]);
  const sums = (['as expected', 'otherwise', 'not applicable', 'not run'] as const)
    .map((verdict) => `${countOf(findings, verdict)} ${verdict}`)
    .join(', ');
  return [`${target.model} ${target.firmware} (NVMe ${target.version}): ${sums}`, ...lines].join('\n');
}
