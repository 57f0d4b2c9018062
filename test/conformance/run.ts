/** A run of the checks over one target. */
import { versionText } from '@spdk-ts/nvme-spec';
import type { Address, Bench } from './bench.ts';
import { type Check, inapplicable, type Outcome } from './check.ts';
import { areas } from './checks/index.ts';
import type { Finding, Report, Verdict } from './report.ts';
import { startBench } from './start-bench.ts';

/** What a check has, unless it says otherwise. */
export const CHECK_SECONDS = 10;

/** How long a check that is not answered holds up the next of those that may run at once: connections never come in a burst. */
const PACE_MS = 250;

/** What the host beside the checks has for a look. */
const LOOK_SECONDS = 5;

/** Beyond a check's own time: two looks, and what is in between. */
export const SPARE_SECONDS = 3 * LOOK_SECONDS;

async function inTime<T>(seconds: number, done: Promise<T>, late: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000, late);
  });
  const first = await Promise.race([done, end]);
  clearTimeout(timer);
  return first;
}

/** What a check saw; whatever it throws, and too long a silence, count as such. */
function within(check: Check, on: Bench): Promise<Outcome> {
  const seconds = check.seconds ?? CHECK_SECONDS;
  const run = check.run(on).catch((error: Error) => ({ ok: false, seen: error.message }));
  return inTime(seconds, run, { ok: false, seen: `no answer within ${seconds} s` });
}

export class Run {
  readonly bench: Bench;
  readonly findings: Finding[] = [];
  /** Checks that were begun before it was their turn. */
  private readonly begun = new Map<Check, Promise<Outcome>>();
  /** Why no more checks are run; empty: they are. */
  private lost = '';

  /** Finds out about the target, and begins what mostly waits. */
  static async start(address: Address, seed: number): Promise<Run> {
    return new Run(await startBench(address, seed));
  }

  private constructor(bench: Bench) {
    this.bench = bench;
    for (const check of areas.flatMap(({ checks }) => checks)) if (check.waits === true) this.begin(check);
  }

  /** Begins a check whose turn comes later, with connections of its own. Null: it does not apply. */
  private begin(check: Check): Promise<Outcome> | null {
    if (inapplicable(check, this.bench.facts) !== '') return null;
    const aside = this.bench.aside();
    const done = within(check, aside).finally(() => aside.close());
    this.begun.set(check, done);
    return done;
  }

  /** Runs those of an area that may run at once, before it is their turn. */
  async runApart(checks: readonly Check[]): Promise<void> {
    const all: Promise<Outcome>[] = [];
    for (const check of checks) {
      const done = check.apart === true ? this.begin(check) : null;
      if (done === null) continue;
      all.push(done);
      await inTime<Outcome | null>(PACE_MS / 1000, done, null);
    }
    await Promise.all(all);
  }

  /** Holds the target to one check, and looks whether another host has noticed. */
  async hold(area: string, check: Check): Promise<Finding> {
    const { id, section, severity, title, expected } = check;
    const finding = (verdict: Verdict, seen: string): Finding => {
      const found = { ...{ id, area, section, severity, title, expected, verdict, seen } };
      this.findings.push(found);
      return found;
    };
    if (this.lost !== '') return finding('not run', this.lost);
    const { bench } = this;
    const why = inapplicable(check, bench.facts);
    if (why !== '') return finding('not applicable', why);
    const { ok, seen } = await (this.begun.get(check) ?? within(check, bench));
    bench.settle(!ok);
    const disturbed = await this.look();
    if (disturbed === '') return finding(ok ? 'as expected' : 'otherwise', seen);
    if ((await this.look()) !== '') this.lost = `after ${id} the target served nobody any more: ${disturbed}`;
    return finding('otherwise', `${seen}; and ${disturbed}`);
  }

  private async look(): Promise<string> {
    const late = `another host's write and read are not answered within ${LOOK_SECONDS} s`;
    const seen = await inTime(LOOK_SECONDS, this.bench.disturbed(), late);
    if (seen === late) this.bench.replaceWitness();
    return seen;
  }

  get report(): Report {
    const { controller, vs } = this.bench.facts;
    const { mn: model, fr: firmware } = controller;
    return {
      target: { model, firmware, version: versionText(vs) },
      seed: this.bench.seed,
      findings: this.findings,
    };
  }

  close(): void {
    this.bench.close();
  }
}

/** All checks, one after the other, but for those that may run at once. */
export async function runAll(address: Address, seed: number): Promise<Report> {
  const run = await Run.start(address, seed);
  try {
    for (const { name, checks } of areas) {
      await run.runApart(checks);
      for (const check of checks) await run.hold(name, check);
    }
    return run.report;
  } finally {
    run.close();
  }
}
