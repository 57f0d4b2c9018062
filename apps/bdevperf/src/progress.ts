import type { PerfRunner } from './perf-runner.ts';
import type { JobCounters, JobSpec } from './protocol.ts';
import { headerLines, jobLines, progressLine, statsOf, totalLines, totalOf } from './report.ts';

export interface ProgressOptions {
  /** Seconds between tables; 0: a line that is written over and over, if there is a terminal. */
  readonly show_period_s: number;
  readonly moving_average: number;
  /** Prints whole lines. */
  print(lines: readonly string[]): void;
  /** Writes to the terminal; null: there is none. */
  readonly terminal: ((text: string) => void) | null;
}

/** Shows how a test goes while it runs. */
export class Progress {
  private readonly runner: PerfRunner;
  private readonly options: ProgressOptions;
  private readonly specs: readonly JobSpec[];
  private readonly timer: NodeJS.Timeout | null = null;
  private before: readonly JobCounters[] = [];
  private readonly averages: number[] = [];
  private lineShown = false;
  private asking = false;
  private stopped = false;

  constructor(runner: PerfRunner, specs: readonly JobSpec[], options: ProgressOptions) {
    this.runner = runner;
    this.specs = specs;
    this.options = options;
    if (options.show_period_s === 0 && options.terminal === null) return;
    if (options.show_period_s > 0) options.print(headerLines());
    this.timer = setInterval(() => void this.show(), (options.show_period_s || 1) * 1000);
  }

  private async show(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    const counters = await this.runner.counters().catch(() => []);
    this.asking = false;
    if (this.stopped || counters.length !== this.specs.length) return;
    if (this.options.show_period_s > 0) this.showTable(counters);
    else this.showLine(counters);
    this.before = counters;
  }

  /** I/Os a second of a job since the last time. */
  private recent(now: JobCounters, index: number): number {
    const then = this.before[index];
    const time_us = now.runtime_us - (then?.runtime_us ?? 0);
    return time_us > 0 ? ((now.io_completed - (then?.io_completed ?? 0)) * 1_000_000) / time_us : 0;
  }

  private showLine(counters: readonly JobCounters[]): void {
    const rates = counters.map((one, index) => this.recent(one, index));
    const iops = rates.reduce((a, b) => a + b, 0);
    const bytes = rates.reduce((sum, rate, index) => sum + rate * this.specs[index]!.io_size, 0);
    this.options.terminal!(progressLine(iops, bytes / (1024 * 1024)));
    this.lineShown = true;
  }

  private showTable(counters: readonly JobCounters[]): void {
    const lines: string[] = [];
    const rows = counters.map((one, index) => {
      const spec = this.specs[index]!;
      const runtime_s = one.runtime_us / 1_000_000;
      const iops = this.options.moving_average > 0 ? this.average(one, index) : undefined;
      const stats = statsOf(one, spec.io_size, runtime_s, iops);
      const view = { spec, queue_depth: spec.queue_depth, runtime_s, ended_by_error: false };
      lines.push(...jobLines(view, stats));
      return stats;
    });
    this.options.print([...lines, ...totalLines(totalOf(rows)), '']);
  }

  /** SPDK's exponential moving average over `moving_average` periods, starting from 0. */
  private average(now: JobCounters, index: number): number {
    const before = this.averages[index] ?? 0;
    const average = before + ((this.recent(now, index) - before) * 2) / (this.options.moving_average + 1);
    this.averages[index] = average;
    return average;
  }

  /** Shows no more, and leaves the terminal's line blank. */
  stop(): void {
    this.stopped = true;
    if (this.timer !== null) clearInterval(this.timer);
    if (this.lineShown) this.options.terminal!(`${' '.repeat(50)}\r`);
  }
}
