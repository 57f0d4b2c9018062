/**
 * A target that exports namespaces of another one, of every kind (blocks, protected blocks, zones, keys), is held to what any target is
 * held to: the checks of I/O of the conformance suite.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { areas } from '../conformance/checks/index.ts';
import { type OwnTarget, startOwn } from '../conformance/own-target.ts';
import { Run } from '../conformance/run.ts';
import { DEFAULT_HOSTNQN } from '../host/index.ts';
import { freePort, type Json, Target } from '../linux-guest/target.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const FRONT = 'nqn.2026-11.io.spdk-ts:proxy';
const CHECK_MS = 30_000;

let back: OwnTarget;
let front: Target;
let run: Run;
beforeAll(async () => {
  console.log(`seed ${SEED}`);
  back = await startOwn();
  front = await Target.start();
  const { host: traddr, port, subnqn } = back.address;
  const names = (await front.rpc('bdev_nvme_attach_controller', {
    ...{ name: 'Back', trtype: 'TCP', traddr, trsvcid: String(port), subnqn },
    ...{ prchk_reftag: true, prchk_guard: true },
  })) as string[];
  const frontPort = await freePort();
  await front.export(FRONT, names, frontPort);
  run = await Run.start({ host: traddr, port: frontPort, subnqn: FRONT, hostnqn: DEFAULT_HOSTNQN }, SEED);
});
afterAll(async () => {
  run?.close();
  for (const target of [front, back?.target]) {
    await target?.stop();
    await target?.dispose();
  }
});

it('each namespace is a bdev of its kind', async () => {
  const { zoned, keyValue, protected: with_metadata } = run.bench.facts;
  expect([zoned, keyValue, with_metadata].every((found) => found !== null)).toBe(true);
  const bdevs = (await front.rpc('bdev_get_bdevs')) as Json[];
  const theirs = (await back.target.rpc('bdev_get_bdevs')) as Json[];
  expect(bdevs.length).toBe(theirs.length);
  const same = [
    ...['block_size', 'num_blocks', 'uuid', 'zoned', 'zone_size', 'max_open_zones'],
    ...['md_size', 'md_interleave', 'dif_type', 'dif_is_head_of_md', 'dif_pi_format'],
  ];
  for (const [index, bdev] of bdevs.entries()) {
    const their = theirs[index]!;
    for (const field of same)
      if (bdev.kv === undefined) expect([field, bdev[field]]).toEqual([field, their[field]]);
    expect(Object.keys(bdev.kv ?? {}).sort()).toEqual(Object.keys(their.kv ?? {}).sort());
  }
});

for (const { name, checks } of areas.filter(({ name: area }) => /^I\/O|namespaces$/.test(area)))
  describe(name, () => {
    for (const check of checks)
      it(`${check.id}: ${check.title}`, { timeout: CHECK_MS }, async () => {
        const { verdict, section, expected, seen } = await run.hold(name, check);
        if (verdict === 'as expected' || verdict === 'not applicable') return;
        expect.fail(`${section}\nexpected: ${expected}\nseen:     ${seen}`);
      });
  });
