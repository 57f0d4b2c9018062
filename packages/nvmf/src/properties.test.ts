import { encodeCc } from '@spdk-ts/nvme-spec';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ENABLE, Harness, SUBSYSTEM } from '../test-support/harness.ts';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start(2);
});
afterEach(() => harness.stop());

const DNR = 0x4000;

test('properties that a host reads before it enables', async () => {
  const { qpair } = await harness.connect(0);
  const cap = await harness.getProperty(qpair, 0, 1);
  expect(cap).toMatchObject({ status: 0, dw0: (127 | 0x10000 | (30 << 24)) >>> 0 });
  // NVM Command Set, all I/O command sets; ready with media.
  expect(cap.dw1).toBe((1 << 5) | (1 << 11) | (1 << 27));
  expect((await harness.getProperty(qpair, 8)).dw0).toBe(0x20000);
  expect((await harness.getProperty(qpair, 0x14)).dw0).toBe(0);
  expect(await harness.csts(qpair)).toBe(0);
  // CRTO.CRWMT is not below CAP.TO: Linux would complain.
  expect((await harness.getProperty(qpair, 0x68)).dw0).toBe(30);
});

test.each([
  ['CAP as 4 bytes', 0, 0],
  ['VS as 8 bytes', 8, 1],
  ['no such property', 0x100, 0],
  ['a reserved size', 8, 2],
])('Property Get is refused: %s', async (_, offset, size) => {
  const { qpair } = await harness.connect(0);
  expect((await harness.getProperty(qpair, offset, size)).status).toBe(0x002 | DNR);
});

test('only CC can be set, to values that are supported', async () => {
  const { qpair } = await harness.connect(0);
  const set = (cdw11: number, cdw12: number, cdw10 = 0) =>
    harness.command(qpair, { opcode: 0x7f, nsid: 0, cdw10, cdw11, cdw12 });
  expect((await set(8, 0)).status).toBe(0x002 | DNR);
  expect((await set(0x14, ENABLE, 1)).status).toBe(0x002 | DNR);
  for (const wrong of [
    { css: 1 },
    { css: 7 },
    { mps: 1 },
    { ams: 1 },
    { iosqes: 7 },
    { iocqes: 5 },
    { shn: 3 },
  ])
    expect(await harness.setCc(qpair, encodeCc({ en: true, iosqes: 6, iocqes: 4, ...wrong }))).toBe(
      0x002 | DNR,
    );
  expect(await harness.csts(qpair)).toBe(0);
  expect(await harness.setCc(qpair, ENABLE)).toBe(0);
  expect(await harness.csts(qpair)).toBe(1);
});

test('admin commands before CC.EN are out of sequence', async () => {
  const { qpair } = await harness.connect(0);
  expect((await harness.identify(qpair, 1)).status).toBe(0x00c);
  await harness.setCc(qpair, ENABLE);
  expect((await harness.identify(qpair, 1)).status).toBe(0);
});

test('a reset ends I/O queues on every reactor and reports when they are gone', async () => {
  const controller = await harness.controller();
  const { admin } = controller;
  const here = await harness.ioQueue(controller, 1, 0);
  const there = await harness.ioQueue(controller, 2, 1);
  const aer = admin.send({ opcode: 0x0c });
  expect(await harness.setCc(admin, 0)).toBe(0);
  expect(admin.take(aer)?.status, 'aborted with the reset').toBe(0x008);
  await harness.pass(20);
  expect([here.removed, there.removed]).toEqual([true, true]);
  expect(await harness.csts(admin)).toBe(0);
  expect((await harness.getProperty(admin, 0x14)).dw0).toBe(0);
  expect(await harness.setCc(admin, ENABLE)).toBe(0);
  expect(await harness.csts(admin)).toBe(1);
  expect((await harness.connect(1, { cntlid: controller.cntlid })).completion.status).toBe(0);
});

test('a reset waits for commands in flight', async () => {
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller, 1, 1);
  const { control, release } = await import('../test-support/memory-bdev.ts');
  control.hold = true;
  io.send({ opcode: 2, nsid: 1, cdw12: 0 }, { length: 512 });
  await harness.setCc(controller.admin, 0);
  await harness.pass(20);
  expect(await harness.csts(controller.admin), 'still ready').toBe(1);
  expect(await harness.setCc(controller.admin, ENABLE), 'not yet').toBe(0x00c);
  release();
  await harness.pass(20);
  expect(await harness.csts(controller.admin)).toBe(0);
});

test('a reset that cannot end is a fatal status', async () => {
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller);
  const { control, release } = await import('../test-support/memory-bdev.ts');
  control.hold = true;
  io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  await harness.setCc(controller.admin, 0);
  for (let i = 0; i < 10_100; i++) {
    harness.clock.advance(1_000_000);
    harness.host.poll();
  }
  expect((await harness.csts(controller.admin)) & 2).toBe(2);
  release();
});

test('shutdown is reported occurring, then complete', async () => {
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller, 1, 1);
  await harness.setCc(controller.admin, ENABLE | (1 << 14));
  await harness.pass(20);
  expect(await harness.csts(controller.admin)).toBe(0b1001);
  expect(io.removed).toBe(true);
  expect((await harness.connect(1, { cntlid: controller.cntlid })).completion.dw0, 'no queues now').toBe(42);
  await harness.setCc(controller.admin, 0);
  await harness.pass(20);
  expect(await harness.csts(controller.admin)).toBe(0);
});

test('shutdown and reset in one write', async () => {
  const controller = await harness.controller();
  await harness.ioQueue(controller);
  await harness.setCc(controller.admin, encodeCc({ en: false, shn: 1, iosqes: 6, iocqes: 4 }));
  await harness.pass(20);
  expect(await harness.csts(controller.admin)).toBe(0b1000);
});

test('an association that is not used again ends after two minutes', async () => {
  const { admin } = await harness.controller();
  await harness.setCc(admin, 0);
  await harness.pass(100_000, 5000);
  expect(admin.removed).toBe(false);
  await harness.pass(25_000, 5000);
  expect(admin.disconnectReason).toBe('association timeout');
});

test('when the admin queue goes, the I/O queues of the association go', async () => {
  const controller = await harness.controller();
  const there = await harness.ioQueue(controller, 1, 1);
  controller.admin.disconnect('host is gone');
  await harness.turns();
  expect(there.removed).toBe(true);
  for (const group of harness.groups) expect(group.controllers.size).toBe(0);
});

test.each([
  ['reset', 0, 0],
  ['shutdown', ENABLE | (1 << 14), 0b1001],
])('an I/O queue that was admitted just before a %s does not hold it up', async (_, cc, csts) => {
  const { admin, cntlid } = await harness.controller();
  const io = harness.connection(1);
  // Admitted by the control thread within this call; its reactor hears of that after the reset has begun.
  const connect = io.connect(1, { subnqn: SUBSYSTEM, cntlid });
  admin.send({ opcode: 0x7f, nsid: 0, cdw11: 0x14, cdw12: cc });
  await harness.pass(20);
  expect(io.take(connect)?.status, 'controller busy').toBe(0x181);
  expect(await harness.csts(admin)).toBe(csts);
});
