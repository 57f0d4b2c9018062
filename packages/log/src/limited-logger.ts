import type { Logger } from './index.ts';

/** Lines of one period, unless said otherwise. */
const LINES_MAX = 10;

/**
 * A voice for what others can provoke as often as they like: so many lines a period, of which its user tells; the rest are
 * counted. Without periods nothing more is said: a period must end at times, for as long as anything may be said.
 */
export class LimitedLogger {
  private readonly log: Logger;
  private readonly about: string;
  private readonly lines_max: number;
  private lines = 0;

  /** `about`: whom the lines are about, in the plural. */
  constructor(log: Logger, about: string, lines_max = LINES_MAX) {
    this.log = log;
    this.about = about;
    this.lines_max = lines_max;
  }

  error(text: string): void {
    if (this.mayTell()) this.log.error(text);
  }
  warn(text: string): void {
    if (this.mayTell()) this.log.warn(text);
  }

  private mayTell(): boolean {
    this.lines++;
    return this.lines <= this.lines_max;
  }

  /** A period is over: tells how much was not shown in it. */
  endPeriod(): void {
    const hidden = this.lines - this.lines_max;
    this.lines = 0;
    if (hidden > 0) this.log.warn(`${hidden} more complaints about ${this.about} are not shown`);
  }
}
