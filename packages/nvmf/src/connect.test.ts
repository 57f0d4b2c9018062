import { afterEach, beforeEach, expect, test } from 'vitest';
import { HOST } from '../test-support/fake-transport.ts';
import { ADDRESS, ENABLE, Harness, SUBSYSTEM } from '../test-support/harness.ts';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(() => harness.stop());

const DNR = 0x4000;
const INVALID_PARAMETERS = 0x182 | DNR;
const IN_DATA = 0x10000;

test('an admin queue connects and gets a dynamic controller', async () => {
  const { qpair, completion } = await harness.connect(0);
  expect(completion).toMatchObject({ status: 0, dw0: 1, sqhd: 1 });
  expect(qpair).toMatchObject({ qid: 0, sqSize: 32 });
  const second = await harness.connect(0);
  expect(second.completion.dw0).toBe(2);
});

test('an I/O queue connects once its controller is enabled', async () => {
  const { qpair, completion } = await harness.connect(0);
  const cntlid = completion.dw0;
  expect((await harness.connect(1, { cntlid })).completion).toMatchObject({
    status: INVALID_PARAMETERS,
    dw0: 42,
  });
  await harness.setCc(qpair, ENABLE);
  expect((await harness.connect(1, { cntlid })).completion).toMatchObject({ status: 0, dw0: cntlid });
  expect((await harness.connect(1, { cntlid })).completion.status, 'queue id in use').toBe(0x00c);
  expect((await harness.connect(2, { cntlid })).completion.status).toBe(0);
});

test('without SQ flow control, SQHD is FFFFh', async () => {
  const { qpair, completion } = await harness.connect(0, { cattr: 4 });
  expect(completion.sqhd).toBe(0xffff);
  await harness.setCc(qpair, ENABLE);
  expect(qpair.sqhd).toBe(0xffff);
});

test.each([
  ['record format', 0, { recfmt: 1 }, 0x180 | DNR, 0],
  ['short data', 0, { length: 512 }, 0x00f | DNR, 0],
  ['SQSIZE 0', 0, { entries: 1 }, INVALID_PARAMETERS, 44],
  ['admin queue too small', 0, { entries: 31 }, INVALID_PARAMETERS, 44],
  ['SQSIZE too large', 0, { entries: 129 }, INVALID_PARAMETERS, 44],
  ['queue id too large', 128, { cntlid: 1 }, INVALID_PARAMETERS, 42],
  ['unknown subsystem', 0, { subnqn: 'nqn.2016-06.io.spdk:none' }, INVALID_PARAMETERS, 256 | IN_DATA],
  ['empty subsystem', 0, { subnqn: '' }, INVALID_PARAMETERS, 256 | IN_DATA],
  ['unended SUBNQN', 0, { raw: (d: Uint8Array) => d.fill(97, 256, 512) }, INVALID_PARAMETERS, 256 | IN_DATA],
  ['unended HOSTNQN', 0, { raw: (d: Uint8Array) => d.fill(97, 512, 768) }, INVALID_PARAMETERS, 512 | IN_DATA],
  ['chosen CNTLID', 0, { cntlid: 7 }, INVALID_PARAMETERS, 16 | IN_DATA],
  ['any static CNTLID', 0, { cntlid: 0xfffe }, INVALID_PARAMETERS, 16 | IN_DATA],
  ['unknown controller', 1, { cntlid: 9 }, INVALID_PARAMETERS, 16 | IN_DATA],
])('Connect is refused: %s', async (_, qid, options, status, dw0) => {
  const { completion } = await harness.connect(qid, options);
  expect(completion).toMatchObject({ status, dw0 });
});

test('a host without a name connects where any host may, as SPDK’s tools do', async () => {
  expect((await harness.connect(0, { hostnqn: '' })).completion.status).toBe(0);
});

test('another host cannot join a controller', async () => {
  const { cntlid } = await harness.controller();
  const hostnqn = 'nqn.2016-06.io.spdk:host2';
  const { completion } = await harness.connect(1, { cntlid, hostnqn });
  expect(completion).toMatchObject({ status: INVALID_PARAMETERS, dw0: 512 | IN_DATA });
  const other = await harness.connect(1, { cntlid, hostid: new Uint8Array(16) });
  expect(other.completion).toMatchObject({ status: INVALID_PARAMETERS, dw0: IN_DATA });
});

test('only listed hosts connect, and a removed host is disconnected', async () => {
  const { target } = harness;
  await harness.done(target.allowAnyHost(SUBSYSTEM, false));
  expect((await harness.connect(0)).completion.status).toBe(0x184 | DNR);
  await harness.done(target.addHost(SUBSYSTEM, HOST, {}));
  const { qpair, completion } = await harness.connect(0);
  expect(completion.status).toBe(0);
  await harness.done(target.removeHost(SUBSYSTEM, HOST));
  expect(qpair.removed).toBe(true);
  expect(target.subsystem(SUBSYSTEM).controllers.size).toBe(0);
});

test('a subsystem is reached through its listeners only, discovery everywhere', async () => {
  const elsewhere = { ...ADDRESS, trsvcid: '4421' };
  expect((await harness.connect(0, {}, 0, elsewhere)).completion.status).toBe(0x184 | DNR);
  const subnqn = 'nqn.2014-08.org.nvmexpress.discovery';
  expect((await harness.connect(0, { subnqn }, 0, elsewhere)).completion.status).toBe(0);
});

test('commands before Connect, and a second Connect, are out of sequence', async () => {
  const fresh = harness.connection();
  expect((await harness.command(fresh, { opcode: 6, cdw10: 1 }, { length: 4096 })).status).toBe(0x00c);
  expect((await harness.getProperty(fresh, 0)).status).toBe(0x00c);
  const { qpair } = await harness.connect(0);
  const again = await harness.completion(qpair, qpair.connect(0, { subnqn: SUBSYSTEM }));
  expect(again.status).toBe(0x00c);
});

test('controller ids run out, and come back', async () => {
  const nqn = 'nqn.2016-06.io.spdk:small';
  await harness.done(
    harness.target.createSubsystem({ nqn, allow_any_host: true, min_cntlid: 5, max_cntlid: 6 }),
  );
  await harness.done(harness.target.addListener(nqn, { listen_address: ADDRESS }));
  const first = await harness.connect(0, { subnqn: nqn });
  const second = await harness.connect(0, { subnqn: nqn });
  expect([first.completion.dw0, second.completion.dw0]).toEqual([5, 6]);
  expect((await harness.connect(0, { subnqn: nqn })).completion.status, 'controller busy').toBe(0x181);
  first.qpair.disconnect('test');
  await harness.turns();
  expect((await harness.connect(0, { subnqn: nqn })).completion).toMatchObject({ status: 0, dw0: 5 });
});

test('a connection that ends during Connect leaves nothing behind', async () => {
  const qpair = harness.connection();
  qpair.connect(0, { subnqn: SUBSYSTEM });
  qpair.disconnect('gone');
  await harness.turns();
  expect(qpair.removed).toBe(true);
  expect(harness.groups[0]!.controllers.size).toBe(0);
  expect(harness.target.subsystem(SUBSYSTEM).controllers.size).toBe(0);
});

test('Disconnect ends an I/O queue only', async () => {
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller);
  const disconnect = { opcode: 0x7f, nsid: 8 };
  expect((await harness.command(controller.admin, disconnect)).status).toBe(0x185 | DNR);
  const cid = io.send(disconnect);
  await harness.pass(10);
  expect(io.take(cid)?.status).toBe(0);
  await harness.pass(1500);
  expect(io.removed).toBe(true);
  expect((await harness.connect(1, { cntlid: controller.cntlid })).completion.status).toBe(0);
});
