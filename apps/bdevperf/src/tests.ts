import { readFileSync } from 'node:fs';
import type { Application } from '@spdk-ts/app';
import { formatCpumask } from '@spdk-ts/env';
import type { ResultOf } from '@spdk-ts/rpc-schema';
import { type JobConfig, planJobs } from './job-config.ts';
import { parseJobFile } from './job-file.ts';
import { type PerfOptions, resolveTest, type TestSettings } from './options.ts';
import { endedByError, freeBdevs, PerfRunner, type RunOutcome } from './perf-runner.ts';
import { findBdev } from './plan.ts';
import { Progress } from './progress.ts';
import {
  headerLines,
  jobLines,
  latencyDetails,
  latencySummary,
  type Stats,
  statsOf,
  totalLines,
  totalOf,
} from './report.ts';
import { isMixed, verifies } from './workload.ts';

/** perform_tests' answer. */
export type TestResults = ResultOf<'perform_tests'>;

/** There is nothing to run a test on. */
export class NoJobsError extends Error {}

export interface TestsParts {
  readonly app: Application;
  readonly options: PerfOptions;
  print(lines: readonly string[]): void;
  readonly terminal: ((text: string) => void) | null;
}

/** Runs tests one after the other, with what the command line says and what callers change of it. */
export class Tests {
  private readonly parts: TestsParts;
  private readonly runner: PerfRunner;
  private settings: TestSettings;
  /** Some I/O of some test failed. */
  anyFailed = false;

  constructor(parts: TestsParts) {
    this.parts = parts;
    this.settings = parts.options.test;
    this.runner = new PerfRunner(parts.app.host, parts.app.bdevs, parts.options, parts.app.options.seed);
  }

  get running(): boolean {
    return this.runner.running;
  }

  /** Ends the present test early. Resolves when its results have been printed. */
  terminate(): Promise<void> {
    return this.runner.terminate();
  }

  /**
   * Runs one test and prints it. What `changes` sets holds for later tests too, once it has proved possible.
   * Rejects with an Error that says why the test could not be run; NoJobsError if there is no bdev.
   */
  async perform(changes: Partial<TestSettings> = {}): Promise<{ outcome: RunOutcome; results: TestResults }> {
    const { options, print, terminal } = this.parts;
    const settings = { ...this.settings, ...changes };
    const test = resolveTest(settings, options);
    const configs = this.configs(settings, test.parameters);
    if (configs.length === 0) throw new NoJobsError('No jobs defined or bdevs created');
    let progress: Progress | null = null;
    const { show_period_s, moving_average } = options;
    const outcome = await this.runner
      .run(configs, test.time_s, {
        print,
        started: (jobs) => {
          this.settings = settings;
          print([...test.said, `Running I/O for ${test.time_s} seconds...`]);
          progress = new Progress(this.runner, jobs, { show_period_s, moving_average, print, terminal });
        },
      })
      .finally(() => progress?.stop());
    if (outcome.failure !== null) this.anyFailed = true;
    const rows = outcome.jobs.map(({ spec, result }) =>
      statsOf(result, spec.io_size, result.runtime_us / 1_000_000),
    );
    this.report(outcome, rows);
    return { outcome, results: resultsOf(outcome, rows) };
  }

  private configs(settings: TestSettings, parameters: Parameters<typeof planJobs>[3]): JobConfig[] {
    const { app, options } = this.parts;
    const { targets } = options;
    if (options.job_file !== null) return this.fileConfigs(options.job_file, settings);
    const all = app.bdevs.list();
    const bdevs = targets.length > 0 ? targets.map((name) => findBdev(name, all)) : freeBdevs(app.bdevs);
    const cores = app.host.reactors.map(({ lcore }) => lcore);
    return planJobs(bdevs, cores, options.every_core, parameters);
  }

  private fileConfigs(path: string, settings: TestSettings): JobConfig[] {
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      throw new Error(`cannot read the job file: ${(error as Error).message}`);
    }
    const configs = parseJobFile(text, path, { ...settings, bdevs: this.parts.options.targets });
    this.parts.print([`Using job config with ${configs.length} jobs`]);
    return configs;
  }

  private report(outcome: RunOutcome, rows: readonly Stats[]): void {
    const { options, print } = this.parts;
    if (outcome.terminated)
      print([`Received shutdown signal, test time was about ${outcome.seconds.toFixed(6)} seconds`]);
    const lines = ['', ...headerLines()];
    outcome.jobs.forEach(({ spec, result }, index) => {
      const runtime_s = result.runtime_us / 1_000_000;
      const ended_by_error = endedByError(spec, result);
      lines.push(
        ...jobLines({ spec, queue_depth: result.queue_depth, runtime_s, ended_by_error }, rows[index]!),
      );
    });
    const total = totalOf(rows);
    lines.push(...totalLines(total));
    const histograms = outcome.jobs.map(({ spec, result }) => ({ spec, latencies: result.latencies }));
    if (options.latency_level > 0 && total.ios > 0) lines.push(...latencySummary(histograms));
    if (options.latency_level > 1 && total.ios > 0) lines.push(...latencyDetails(histograms));
    print(lines);
  }
}

function resultsOf({ jobs, core_count }: RunOutcome, rows: readonly Stats[]): TestResults {
  return {
    results: jobs.map(({ spec, result, status }, index) => {
      const row = rows[index]!;
      return {
        job: spec.name,
        core_mask: `0x${formatCpumask(spec.cpumask)}`,
        workload: spec.workload,
        ...(isMixed(spec.workload) && { percentage: spec.rw_percentage }),
        status,
        ...(verifies(spec.workload) && {
          verify_range: { start: spec.ios_base, length: spec.size_in_ios },
        }),
        queue_depth: result.queue_depth,
        io_size: spec.io_size,
        runtime: row.runtime_s,
        iops: row.iops,
        mibps: row.mibps,
        io_failed: result.io_failed,
        io_timeout: result.io_timeout,
        avg_latency_us: row.average_us,
        min_latency_us: row.min_us,
        max_latency_us: row.max_us,
      };
    }),
    core_count,
  };
}
