import {
  type BdevDescription,
  type BdevDescriptor,
  type BdevRegistry,
  IoType,
  MODIFYING_TYPES,
} from '@spdk-ts/bdev';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { JobConfig } from './job-config.ts';
import type { PerfOptions } from './options.ts';
import { planRun, type ReactorPlan } from './plan.ts';
import type { JobCounters, JobMessage, JobResult, JobSpec } from './protocol.ts';
import { neededIoTypes } from './workload.ts';

/** How a job ended, in perform_tests' words. */
export type JobStatus = 'finished' | 'failed' | 'terminated';

export interface JobOutcome {
  readonly spec: JobSpec;
  readonly result: JobResult;
  readonly status: JobStatus;
}

export interface RunOutcome {
  readonly jobs: readonly JobOutcome[];
  readonly core_count: number;
  /** The first failure of any job, or null if nothing failed. */
  readonly failure: string | null;
  /** A failure ended the run (there was no -f). */
  readonly stopped: boolean;
  /** It was ended from outside. */
  readonly terminated: boolean;
  readonly seconds: number;
}

/** What is told while jobs run. */
export interface RunEvents {
  print(lines: readonly string[]): void;
  /** The jobs have been started. */
  started?(jobs: readonly JobSpec[]): void;
}

/** Runs jobs on the reactors, one run at a time. */
export class PerfRunner {
  private readonly host: ReactorHost;
  private readonly bdevs: BdevRegistry;
  private readonly options: PerfOptions;
  private readonly seed: number;
  private plans: ReactorPlan[] = [];
  private events: RunEvents | null = null;
  private terminated = false;
  private failed = false;
  private runs = 0;
  private ended: Promise<unknown> = Promise.resolve();

  constructor(host: ReactorHost, bdevs: BdevRegistry, options: PerfOptions, seed: number) {
    this.host = host;
    this.bdevs = bdevs;
    this.options = options;
    this.seed = seed;
    host.provide('bdevperf', {
      print: ({ lines }: JobMessage) => this.events?.print(lines),
      failed: () => {
        this.failed = true;
        return this.endJobs('terminate');
      },
    });
  }

  get running(): boolean {
    return this.events !== null;
  }

  /** Runs the jobs. Rejects with an Error that says why they could not be started. */
  run(configs: readonly JobConfig[], time_s: number, events: RunEvents): Promise<RunOutcome> {
    if (this.running) return Promise.reject(new Error('a test is running already'));
    this.events = events;
    this.terminated = false;
    this.failed = false;
    const outcome = this.runNow(configs, time_s, events).finally(() => {
      this.events = null;
      this.plans = [];
    });
    this.ended = outcome.catch(() => {});
    return outcome;
  }

  private async runNow(
    configs: readonly JobConfig[],
    time_s: number,
    events: RunEvents,
  ): Promise<RunOutcome> {
    const plans = planRun(configs, this.options, {
      reactors: this.host.reactors,
      bdevs: this.bdevs.list(),
      allocateRegionId: () => this.host.allocateRegionId(),
      seed: this.seed + this.runs++,
    });
    const specs = plans.flatMap((plan) => plan.jobs).sort((a, b) => a.index - b.index);
    const descriptors = this.openBdevs(specs);
    try {
      await this.prepare(plans);
      this.plans = plans;
      const start = performance.now();
      if (this.terminated) {
        await this.endJobs('release');
        throw new Error('the test was ended before it began');
      }
      const results = this.callAll(plans, 'start', { time_us: time_s * 1_000_000 });
      events.started?.(specs);
      const all = ((await results) as JobResult[][]).flat();
      return this.outcome(specs, all, (performance.now() - start) / 1000);
    } finally {
      await Promise.all(descriptors.map((descriptor) => descriptor.close()));
    }
  }

  /** Holds the bdevs of a run: for writing, where a job of it writes. */
  private openBdevs(specs: readonly JobSpec[]): BdevDescriptor[] {
    const opened: BdevDescriptor[] = [];
    try {
      for (const name of new Set(specs.map((spec) => spec.name))) {
        const own = specs.filter((spec) => spec.name === name);
        const onEvent = (event: string): void => {
          if (event === 'remove') void this.removed(own[0]!);
        };
        const options = {
          write: own.some(writes),
          hide_metadata: own[0]!.hide_metadata,
          owner: { name: 'bdevperf', onEvent },
        };
        opened.push(this.bdevs.open(name, options));
      }
      return opened;
    } catch (error) {
      for (const descriptor of opened) void descriptor.close();
      throw error;
    }
  }

  private async removed({ bdev_id, name }: JobSpec): Promise<void> {
    this.events?.print([`bdev ${name} is being removed: its jobs end`]);
    await this.callAll(this.plans, 'removed', { bdev_id });
  }

  private async prepare(plans: readonly ReactorPlan[]): Promise<void> {
    const made = await Promise.allSettled(
      plans.map((plan) => this.host.call(plan.reactor, 'bdevperf', 'prepare', { jobs: plan.jobs })),
    );
    const failure = made.find((result) => result.status === 'rejected');
    if (failure === undefined) return;
    await this.callAll(plans, 'release');
    throw failure.reason;
  }

  private callAll(plans: readonly ReactorPlan[], method: string, params?: unknown): Promise<unknown[]> {
    return Promise.all(plans.map(({ reactor }) => this.host.call(reactor, 'bdevperf', method, params)));
  }

  private async endJobs(how: 'terminate' | 'release'): Promise<void> {
    await this.callAll(this.plans, how);
  }

  /** Ends the run early, if there is one. Resolves when its outcome is known. */
  async terminate(): Promise<void> {
    if (this.running && !this.terminated) {
      this.terminated = true;
      await this.endJobs('terminate');
    }
    await this.ended;
  }

  /** The jobs' counters now, in the jobs' order. Empty if no test runs. */
  async counters(): Promise<JobCounters[]> {
    const all = (await this.callAll(this.plans, 'counters')) as JobCounters[][];
    return all.flat().sort((a, b) => a.index - b.index);
  }

  private outcome(specs: readonly JobSpec[], results: JobResult[], seconds: number): RunOutcome {
    const jobs = specs.map((spec): JobOutcome => {
      const result = results.find((one) => one.index === spec.index)!;
      return { spec, result, status: this.statusOf(spec, result) };
    });
    const failure = jobs.find(({ result }) => result.failure !== null)?.result.failure ?? null;
    const cores = new Set(specs.flatMap((spec) => spec.cpumask));
    return {
      ...{ jobs, failure, seconds },
      core_count: cores.size,
      stopped: this.failed,
      terminated: this.terminated,
    };
  }

  private statusOf(spec: JobSpec, result: JobResult): JobStatus {
    if (this.terminated) return 'terminated';
    return endedByError(spec, result) ? 'failed' : 'finished';
  }
}

/** True if an error ended the job before its time. */
export function endedByError(spec: JobSpec, result: JobResult): boolean {
  return result.failure !== null && !spec.continue_on_failure;
}

const writes = ({ workload }: JobSpec): boolean =>
  neededIoTypes(workload).some((type) => {
    const number = IoType[type.toUpperCase() as keyof typeof IoType];
    return (MODIFYING_TYPES & (1 << number)) !== 0;
  });

/** The bdevs that a run takes when none is named: those that no module has claimed. */
export function freeBdevs(bdevs: BdevRegistry): BdevDescription[] {
  return bdevs.list().filter((bdev) => !bdevs.info(bdev).claimed);
}
