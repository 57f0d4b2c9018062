import type { Thread } from './thread.ts';

/** A poller's function: returns how much work it did (0: idle). It never blocks and never throws for a failed I/O. */
export type PollFunction = () => number;

export type PollerState = 'waiting' | 'running' | 'unregistered' | 'paused';

/** A function that its thread calls at every iteration (active) or every period (timed). */
export class Poller {
  readonly id: number;
  readonly name: string;
  readonly thread: Thread;
  /** Ticks between runs; 0 for an active poller. */
  readonly period_ticks: number;
  readonly fn: PollFunction;
  state: PollerState = 'waiting';
  /** When a timed poller is due next, ticks. */
  due = 0;
  run_count = 0;
  busy_count = 0;

  constructor(id: number, name: string, thread: Thread, fn: PollFunction, period_ticks: number) {
    this.id = id;
    this.name = name;
    this.thread = thread;
    this.fn = fn;
    this.period_ticks = period_ticks;
  }

  /** Calls the function once and counts it. */
  run(): number {
    this.run_count++;
    const work = this.fn();
    if (work > 0) this.busy_count++;
    return work;
  }

  pause(): void {
    this.thread.pausePoller(this);
  }
  resume(): void {
    this.thread.resumePoller(this);
  }
  /** Takes the poller out. It may be called from within the poller itself. */
  unregister(): void {
    this.thread.unregisterPoller(this);
  }
}
