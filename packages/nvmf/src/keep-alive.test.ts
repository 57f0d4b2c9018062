import { identifyController } from '@spdk-ts/nvme-spec';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Harness } from '../test-support/harness.ts';
import { control, release } from '../test-support/memory-bdev.ts';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start(2);
});
afterEach(() => harness.stop());

test('a silent host is dropped when its timeout has passed, on every reactor', async () => {
  const controller = await harness.controller({ kato: 10_000 });
  const io = await harness.ioQueue(controller, 1, 1);
  await harness.command(controller.admin, { opcode: 0x18 });
  await harness.pass(9_900);
  expect(controller.admin.disconnecting).toBe(false);
  await harness.pass(200);
  expect(controller.admin.disconnectReason).toBe('keep alive timeout');
  expect([controller.admin.removed, io.removed]).toEqual([true, true]);
  expect(harness.log.join('')).toMatch(/Disconnecting host .* due to keep alive timeout/);
});

test('Keep Alive holds the association, and so does any command of any queue on any reactor', async () => {
  const controller = await harness.controller({ kato: 10_000 });
  const { admin } = controller;
  const io = await harness.ioQueue(controller, 1, 1);
  const signs = [
    () => harness.command(admin, { opcode: 0x18 }),
    () => harness.identify(admin, 1),
    () => harness.command(io, { opcode: 2, nsid: 1 }, { length: 512 }),
  ];
  for (let i = 0; i < 9; i++) {
    await harness.pass(9_000);
    expect(admin.disconnecting, `after ${i} signs`).toBe(false);
    expect((await signs[i % 3]!()).status).toBe(0);
  }
  expect(identifyController.decode((await harness.identify(admin, 1)).data).ctratt & 0x40, 'TBKAS').toBe(
    0x40,
  );
});

test.each([
  ['the admin queue', 0],
  ['an I/O queue of another reactor', 1],
])(
  'a host that falls silent after commands of %s is dropped within a second of its timeout',
  async (_, qid) => {
    const controller = await harness.controller({ kato: 10_000 });
    const io = await harness.ioQueue(controller, 1, 1);
    await harness.pass(6_300);
    if (qid === 0) await harness.identify(controller.admin, 1);
    else await harness.command(io, { opcode: 2, nsid: 1 }, { length: 512 });
    await harness.pass(9_900);
    expect(controller.admin.disconnecting).toBe(false);
    await harness.pass(1_000, 50);
    expect(controller.admin.disconnecting).toBe(true);
  },
);

test('a command that is under way counts as long as it is', async () => {
  const controller = await harness.controller({ kato: 10_000 });
  const io = await harness.ioQueue(controller, 1, 1);
  control.hold = true;
  io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  await harness.pass(35_000);
  expect(controller.admin.disconnecting).toBe(false);
  release();
  await harness.pass(11_000);
  expect(controller.admin.disconnecting).toBe(true);
});

test('the timeout is counted from the last Keep Alive', async () => {
  const { admin } = await harness.controller({ kato: 10_000 });
  await harness.pass(7_000);
  await harness.command(admin, { opcode: 0x18 });
  await harness.pass(9_800);
  expect(admin.disconnecting).toBe(false);
  await harness.pass(400);
  expect(admin.disconnecting).toBe(true);
});

test('the timeout is rounded up to the granularity and the least that is allowed', async () => {
  const { admin } = await harness.controller({ kato: 5_000 });
  const get = async () => (await harness.command(admin, { opcode: 0x0a, cdw10: 0x0f })).dw0;
  expect(await get()).toBe(10_000);
  await harness.command(admin, { opcode: 9, cdw10: 0x0f, cdw11: 10_001 });
  expect(await get()).toBe(20_000);
  await harness.command(admin, { opcode: 9, cdw10: 0x0f, cdw11: 0 });
  expect(await get()).toBe(0);
  await harness.pass(100_000, 5_000);
  expect(admin.disconnecting).toBe(false);
});

test('discovery controllers have a timeout even if none is asked for', async () => {
  const subnqn = 'nqn.2014-08.org.nvmexpress.discovery';
  const { admin } = await harness.controller({ subnqn });
  await harness.pass(119_000, 10_000);
  expect(admin.disconnecting).toBe(false);
  await harness.pass(125_000, 10_000);
  expect(admin.disconnecting).toBe(true);
});

test('Keep Alive with a namespace is refused', async () => {
  const { admin } = await harness.controller();
  expect((await harness.command(admin, { opcode: 0x18, nsid: 1 })).status).toBe(0x4002);
});
