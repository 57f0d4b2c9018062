/** The suite: checks over one target, one test each, and the report behind them. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Address } from './bench.ts';
import { areas } from './checks/index.ts';
import { foreign, given, seed } from './options.ts';
import type { OwnTarget } from './own-target.ts';
import { summary } from './report.ts';
import { CHECK_SECONDS, Run, SPARE_SECONDS } from './run.ts';

/** Makes the tests. `start`: a target of ours, or the address of one that runs. */
export function holdToSpecifications(start: () => Promise<OwnTarget | Address>): void {
  console.log(`seed ${seed}`);
  let own: OwnTarget | null = null;
  let run: Run;

  beforeAll(async () => {
    const found = await start();
    own = 'target' in found ? found : null;
    for (const why of own?.unserved ?? []) console.log(`not served: ${why}`);
    run = await Run.start('target' in found ? found.address : found, seed);
  });

  afterAll(async () => {
    if (run !== undefined) {
      run.close();
      console.log(summary(run.report));
      if (given.json !== undefined) writeFileSync(given.json, `${JSON.stringify(run.report, null, 2)}\n`);
    }
    if (own === null) return;
    const end = await own.target.stop();
    await own.target.dispose();
    if (!foreign) expect(end, own.target.output).toBe(0);
  });

  it('every check has an id of its own', () => {
    const ids = areas.flatMap(({ checks }) => checks.map(({ id }) => id));
    expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
  });

  for (const { name, checks } of areas)
    describe(name, () => {
      for (const check of checks) {
        const timeout = ((check.seconds ?? CHECK_SECONDS) + SPARE_SECONDS) * 1000;
        it(`${check.id}: ${check.title}`, { timeout }, async () => {
          const { verdict, section, expected, seen } = await run.hold(name, check);
          if (foreign || verdict === 'as expected' || verdict === 'not applicable') return;
          const log = own?.target.output.split('\n').slice(-5).join('\n');
          expect.fail(`${section}\nexpected: ${expected}\nseen:     ${seen}\n${log}`);
        });
      }
    });
}
