import { identifyController } from '@spdk-ts/nvme-spec';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FakeQpair } from '../test-support/fake-transport.ts';
import { ADDRESS, Harness, SUBSYSTEM } from '../test-support/harness.ts';
import { defaultLimits } from './limits.ts';

const DISCOVERY = 'nqn.2014-08.org.nvmexpress.discovery';
const OTHER = { ...ADDRESS, trsvcid: '4421' };
const EXTENDED = 1;
const PORT_LOCAL = 2;
const EVENT = 0x70_f002;

let harness: Harness;
let admin: FakeQpair;
beforeEach(async () => {
  harness = await Harness.start(2);
  ({ admin } = await harness.controller({ subnqn: DISCOVERY }));
});
afterEach(() => harness.stop());

/** Get Log Page of page 70h, as bytes. */
async function read(qpair: FakeQpair, { offset = 0, length = 8192, lsp = 0, rae = false } = {}) {
  const cdw10 = (0x70 | (lsp << 8) | (rae ? 0x8000 : 0) | ((length / 4 - 1) << 16)) >>> 0;
  const answer = await harness.command(qpair, { opcode: 2, cdw10, cdw12: offset }, { length });
  return { status: answer.status, page: Buffer.from(answer.data) };
}

/** SUBTYPE, EFLAGS, TRSVCID and SUBNQN of each record. */
function records(page: Buffer) {
  return Array.from({ length: page.readUInt32LE(8) }, (_, i) => {
    const record = page.subarray(1024 * (i + 1));
    return {
      subtype: record[2],
      eflags: record.readUInt16LE(10),
      trsvcid: record.subarray(32, 64).toString().trim(),
      subnqn: record.subarray(256, 512).toString().replace(/\0+$/, ''),
    };
  });
}
const own = { subtype: 3, trsvcid: '4420', subnqn: DISCOVERY };
const nvm = { subtype: 2, eflags: 0, trsvcid: '4420', subnqn: SUBSYSTEM };

test('every change steps the generation counter and is told once until the page is read', async () => {
  const { target } = harness;
  const referral = { trtype: 'tcp', traddr: '192.0.2.1', trsvcid: '8009', adrfam: 'ipv4' };
  const changes: (() => Promise<unknown>)[] = [
    () => target.addListener(SUBSYSTEM, { listen_address: OTHER }),
    () => target.allowAnyHost(SUBSYSTEM, false),
    () => target.allowAnyHost(SUBSYSTEM, true),
    () => target.removeListener(SUBSYSTEM, { ...OTHER }),
    async () => target.referrals.add(referral),
    async () => target.referrals.remove(referral),
    () => target.deleteSubsystem(SUBSYSTEM),
  ];
  let generation = (await read(admin)).page.readUInt32LE(0);
  let cid = admin.send({ opcode: 0x0c });
  for (const [i, change] of changes.entries()) {
    await harness.done(change());
    expect((await harness.completion(admin, cid)).dw0, `change ${i}`).toBe(EVENT);
    cid = admin.send({ opcode: 0x0c });
    target.referrals.add({ ...referral, trsvcid: String(i + 1) });
    await read(admin, { rae: true });
    await harness.turns();
    expect(admin.take(cid), 'masked until it is read').toBeUndefined();
    const { page } = await read(admin);
    await harness.turns();
    expect(admin.take(cid), 'the page that was read has both changes').toBeUndefined();
    expect(page.readUInt32LE(0), `change ${i}`).toBe(generation + 2);
    generation += 2;
  }
});

test('what hosts see depends on who they are, and with filters on where they ask', async () => {
  const { target } = harness;
  await harness.done(target.addListener(DISCOVERY, { listen_address: ADDRESS }));
  await harness.done(target.addListener(SUBSYSTEM, { listen_address: OTHER }));
  const all = records((await read(admin)).page);
  expect(all).toEqual([{ ...own, eflags: 3 }, nvm, { ...nvm, trsvcid: '4421' }]);
  await harness.done(target.configure({ discovery_filters: ['svcid'] }));
  expect(records((await read(admin)).page)).toEqual([{ ...own, eflags: 2 }, nvm]);
  await harness.done(target.configure({ discovery_filters: ['address'] }));
  expect(records((await read(admin)).page)).toHaveLength(3);
  await harness.done(target.configure({}));
  target.referrals.add({ trtype: 'tcp', traddr: '192.0.2.1', trsvcid: '8009', adrfam: 'ipv4' });
  const whole = records((await read(admin)).page);
  expect(whole.map(({ subtype }) => subtype)).toEqual([3, 2, 2, 1]);
  const local = records((await read(admin, { lsp: PORT_LOCAL })).page);
  expect(local).toEqual([{ ...own, eflags: 3 }, nvm]);
  await harness.done(target.allowAnyHost(SUBSYSTEM, false));
  expect(records((await read(admin)).page).map(({ subtype }) => subtype)).toEqual([3, 1]);
});

test('extended records come where they are asked for only', async () => {
  const nqn = 'nqn.2016-06.io.spdk:labelled';
  const admin_label = 'a label that is long enough';
  await harness.done(harness.target.createSubsystem({ nqn, allow_any_host: true, admin_label }));
  await harness.done(harness.target.addListener(nqn, { listen_address: ADDRESS }));
  const plain = (await read(admin)).page;
  expect([plain[18], plain.readUInt32LE(20)], 'DLPF, TDLPL').toEqual([0, 0]);
  expect(records(plain).map(({ subnqn }) => subnqn)).toEqual([SUBSYSTEM, nqn]);
  const { page } = await read(admin, { lsp: EXTENDED });
  expect(page[18], 'DLPF').toBe(1);
  const length = page.readUInt32LE(2048);
  const second = 1024 + length;
  expect([page.readUInt32LE(2048), page.readUInt16LE(2052)], 'no attributes').toEqual([1032, 0]);
  expect(page.subarray(second + 256, second + 256 + nqn.length).toString()).toBe(nqn);
  expect(page.readUInt16LE(second + 1024 + 4)).toBe(1);
  expect(page.subarray(second + 1036, second + 1036 + admin_label.length).toString()).toBe(admin_label);
});

test('a page that is read in parts is one page, whatever happens meanwhile', async () => {
  const before = (await read(admin, { length: 1024 })).page;
  const cid = admin.send({ opcode: 0x0c });
  await harness.done(harness.target.addListener(SUBSYSTEM, { listen_address: OTHER }));
  const rest = await read(admin, { offset: 1024, length: 1024 });
  expect(rest.page.subarray(256, 256 + SUBSYSTEM.length).toString()).toBe(SUBSYSTEM);
  expect((await read(admin, { offset: 2048 + 4 })).status, 'beyond that page').toBe(0x4002);
  expect((await harness.completion(admin, cid)).dw0).toBe(EVENT);
  const next = admin.send({ opcode: 0x0c });
  harness.target.referrals.add({ trtype: 'tcp', traddr: '192.0.2.1', trsvcid: '8009', adrfam: 'ipv4' });
  await harness.turns();
  await read(admin, { offset: 1024, length: 1024 });
  await harness.turns();
  expect(admin.take(next), 'only a part of the old page was read').toBeUndefined();
  const after = (await read(admin)).page;
  expect(after.readUInt32LE(0)).toBeGreaterThan(before.readUInt32LE(0));
  expect(after.readUInt32LE(8)).toBe(before.readUInt32LE(8) + 2);
  expect((await read(admin, { offset: 3072 - 4, length: 8 })).status).toBe(0);
});

test('the discovery service may have a name of its own', async () => {
  const name = 'nqn.2026-11.io.spdk-ts:discovery';
  await harness.done(harness.target.configure({ discovery_nqn: name }));
  await harness.done(harness.target.addListener(DISCOVERY, { listen_address: ADDRESS }));
  for (const subnqn of [name, DISCOVERY]) {
    const { admin: one } = await harness.controller({ subnqn });
    const cdata = identifyController.decode((await harness.identify(one, 1)).data);
    expect(cdata).toMatchObject({ cntrltype: 2, subnqn: name });
    expect(records((await read(one)).page)[0]!.subnqn).toBe(name);
  }
  await expect(harness.target.configure({ discovery_nqn: 'no name' })).rejects.toThrow(
    /discovery_nqn is "no name"/,
  );
  await expect(harness.target.configure({ discovery_nqn: SUBSYSTEM })).rejects.toThrow(
    /there is a subsystem/,
  );
});

test('there is a limit of referrals', async () => {
  const { target } = harness;
  const referral = (port: number) => ({
    ...{ trtype: 'tcp', traddr: '192.0.2.1', adrfam: 'ipv4', trsvcid: String(port) },
  });
  await harness.done(target.setLimits({ referrals: 2 }));
  target.referrals.add(referral(1));
  target.referrals.add(referral(2));
  target.referrals.add(referral(2));
  expect(() => target.referrals.add(referral(3))).toThrow(/there are 2 referrals/);
  await harness.done(target.setLimits({ referrals: defaultLimits.referrals }));
  target.referrals.add(referral(3));
  expect(target.referrals.all).toHaveLength(3);
});
