import type { Reactor, ReactorPlugin, ReactorService, Thread } from '@spdk-ts/reactor';
import { DataJob } from './data-job.ts';
import type { Job, JobEvents } from './job.ts';
import type { JobCounters, JobMessage, JobResult, JobSpec, PrepareParams, StartParams } from './protocol.ts';
import { VerifyJob } from './verify-job.ts';
import { verifies } from './workload.ts';
import { type ZeroFillParams, zeroFill } from './zero-fill.ts';

/** The jobs of one run on one reactor. */
class ReactorJobs implements JobEvents {
  private readonly reactor: Reactor;
  private jobs: Job[] = [];
  private readonly threads = new Map<number, Thread>();
  private running = 0;
  private started = false;
  /** Jobs that were to end before they were started. */
  private readonly endAtOnce = new Set<Job>();
  private resolve: (results: JobResult[]) => void = () => {};
  private finished: Promise<unknown> = Promise.resolve();

  constructor(reactor: Reactor) {
    this.reactor = reactor;
  }

  /** Makes threads, channels and buffers. What was made is given back if it throws. */
  prepare({ jobs }: PrepareParams): void {
    if (this.jobs.length > 0) throw new Error(`reactor ${this.reactor.index} has jobs already`);
    try {
      for (const spec of jobs) this.jobs.push(this.make(spec));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  private make(spec: JobSpec): Job {
    const thread =
      this.threads.get(spec.thread) ?? this.reactor.createThread(spec.thread_name, [...spec.cpumask]);
    this.threads.set(spec.thread, thread);
    return verifies(spec.workload) ? new VerifyJob(spec, thread, this) : new DataJob(spec, thread, this);
  }

  /** Gives back what {@link prepare} made, where nothing was started. */
  release(): void {
    for (const job of this.jobs) job.close();
    this.forget();
  }

  private forget(): void {
    for (const thread of this.threads.values()) thread.exit(() => {});
    this.threads.clear();
    this.endAtOnce.clear();
    this.jobs = [];
    this.started = false;
  }

  /** Runs the jobs. Resolves when the last one has ended. */
  start({ time_us }: StartParams): Promise<JobResult[]> {
    if (this.jobs.length === 0) return Promise.resolve([]);
    this.running = this.jobs.length;
    this.started = true;
    // On their own threads, within an iteration: only there the reactor's time is right.
    for (const job of this.jobs) job.thread.send(() => job.start(time_us));
    for (const job of this.endAtOnce) this.end(job);
    this.endAtOnce.clear();
    const finished = new Promise<JobResult[]>((resolve) => {
      this.resolve = resolve;
    });
    this.finished = finished;
    return finished;
  }

  /** Ends the jobs early. */
  terminate(): void {
    for (const job of this.jobs) this.end(job);
  }

  private end(job: Job): void {
    if (this.started) job.thread.send(() => job.drain());
    else this.endAtOnce.add(job);
  }

  /** Ends the jobs of one bdev. */
  removed({ bdev_id }: { bdev_id: number }): void {
    for (const job of this.jobs) if (job.spec.bdev_id === bdev_id) this.end(job);
  }

  /** The application ends: so do the jobs, first. */
  async stop(): Promise<void> {
    this.terminate();
    await this.finished;
  }

  counters(): JobCounters[] {
    return this.jobs.map((job) => job.counters());
  }

  // --- what jobs tell ---

  print({ spec }: Job, lines: readonly string[]): void {
    this.reactor.control.notify('bdevperf', 'print', { index: spec.index, lines } satisfies JobMessage);
  }

  failed(): void {
    this.reactor.control.notify('bdevperf', 'failed', null);
    this.terminate();
  }

  ended(): void {
    if (--this.running > 0) return;
    const results = this.jobs.map((job) => job.result());
    this.forget();
    this.resolve(results);
  }
}

/** bdevperf-ts on each reactor. */
const plugin: ReactorPlugin = {
  name: 'bdevperf',
  start(reactor: Reactor): ReactorService {
    const jobs = new ReactorJobs(reactor);
    return {
      prepare: (params: PrepareParams) => jobs.prepare(params),
      release: () => jobs.release(),
      start: (params: StartParams) => jobs.start(params),
      terminate: () => jobs.terminate(),
      removed: (params: { bdev_id: number }) => jobs.removed(params),
      counters: () => jobs.counters(),
      zeroFill: (params: ZeroFillParams) => zeroFill(reactor, params),
      stop: () => jobs.stop(),
    };
  },
};
export default plugin;
