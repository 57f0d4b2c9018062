/**
 * Holds an NVMe/TCP target to the specifications: ours, or the one that `npm run test:conformance -- --address` names.
 * A foreign target's deviations are told, ours fail. See docs/conformance.md.
 */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_HOSTNQN } from '../host/index.ts';
import type { Address } from './bench.ts';
import { areas } from './checks/index.ts';
import { firstSubsystem } from './find-subsystem.ts';
import { foreign, given, parseAddress, seed } from './options.ts';
import { type OwnTarget, startOwn } from './own-target.ts';
import { summary } from './report.ts';
import { CHECK_SECONDS, Run, SPARE_SECONDS } from './run.ts';

console.log(`seed ${seed}`);
let own: OwnTarget | null = null;
let run: Run;

async function find(): Promise<Address> {
  if (given.address === undefined) {
    own = await startOwn();
    for (const why of own.unserved) console.log(`not served: ${why}`);
    return own.address;
  }
  const hostnqn = given.hostnqn ?? DEFAULT_HOSTNQN;
  const at = parseAddress(given.address);
  const subnqn = given.subnqn ?? (await firstSubsystem(at.host, at.port, hostnqn));
  return { ...at, subnqn, hostnqn, closedSubnqn: given['closed-subnqn'] };
}

beforeAll(async () => {
  run = await Run.start(await find(), seed);
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
