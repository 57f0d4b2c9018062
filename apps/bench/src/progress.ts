import { comparisonsOf, measuredSides, metricOf, summaryOf } from './analysis.ts';
import { formatDifference, formatValue } from './format.ts';
import { verdictText } from './metrics.ts';
import { remarksOf } from './report/rows.ts';
import type { RowResult } from './result.ts';
import type { Progress } from './run-scenario.ts';
import type { Row, Side } from './scenario/types.ts';

/** What goes on, on stderr: one line that changes on a terminal, a line for each row elsewhere. */
export class ProgressLine implements Progress {
  readonly #stream: NodeJS.WriteStream;
  #title = '';
  #rejected = 0;
  #began_ms = 0;
  #done = 0;
  #total = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  /** Says something that stays. */
  say(line: string): void {
    this.#clear();
    this.#stream.write(`${line}\n`);
  }

  begin(row: Row, index: number, rows: number): void {
    this.#title = `[${index + 1}/${rows}] ${row.group === '' ? '' : `${row.group}: `}${row.name}`;
    this.#rejected = 0;
    this.#done = 0;
    this.#total = 0;
    this.#began_ms = performance.now();
    this.#show('trying');
  }

  sample(side: Side, round: number, rounds: number): void {
    if (this.#total === 0) this.#began_ms = performance.now();
    this.#total = rounds;
    this.#done = round;
    const spent_s = (performance.now() - this.#began_ms) / 1000;
    const left = round === 0 ? '' : `, ${Math.round((spent_s / round) * (rounds - round))} s left`;
    const rejected = this.#rejected === 0 ? '' : `, ${this.#rejected} rejected`;
    this.#show(`${side.name}, round ${round + 1} of ${rounds}${rejected}${left}`);
  }

  rejected(side: Side, reason: string): void {
    this.#rejected++;
    if (this.#rejected === 1) this.say(`  ${side.name}, round ${this.#done + 1}: rejected: ${reason}`);
  }

  end(result: RowResult): void {
    const compared = comparisonsOf(result);
    const metric = metricOf(result);
    for (const { side, baseline, difference } of compared)
      this.say(
        `${this.#title}: ${side.name} ${formatValue(difference.b.median, metric)}, ${baseline.name} ` +
          `${formatValue(difference.a.median, metric)}: ${formatDifference(difference)}: ${verdictText(metric, difference.verdict)}`,
      );
    if (compared.length === 0) {
      const alone = measuredSides(result).map(
        (side) => `${side.name} ${formatValue(summaryOf(side, metric.name)!.median, metric)}`,
      );
      this.say(`${this.#title}: ${alone.join(', ') || 'no figures'}`);
    }
    for (const remark of remarksOf(result)) this.say(`  ${remark}`);
  }

  #show(what: string): void {
    if (!this.#stream.isTTY) return;
    this.#clear();
    this.#stream.write(`${this.#title}: ${what}`.slice(0, (this.#stream.columns || 80) - 1));
  }

  #clear(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[2K');
  }
}
