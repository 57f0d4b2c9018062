import { afterEach, beforeEach, expect, test } from 'vitest';
import { Harness } from '../test-support/harness.ts';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start(2);
});
afterEach(() => harness.stop());

test('a silent host is dropped when its timeout has passed, on every reactor', async () => {
  const controller = await harness.controller({ kato: 10_000 });
  const io = await harness.ioQueue(controller, 1, 1);
  await harness.pass(9_900);
  expect(controller.admin.disconnecting).toBe(false);
  await harness.pass(200);
  expect(controller.admin.disconnectReason).toBe('keep alive timeout');
  expect([controller.admin.removed, io.removed]).toEqual([true, true]);
  expect(harness.log.join('')).toMatch(/Disconnecting host .* due to keep alive timeout/);
});

test('Keep Alive holds the association, other commands do not', async () => {
  const { admin } = await harness.controller({ kato: 10_000 });
  for (let i = 0; i < 6; i++) {
    await harness.pass(8_000);
    expect((await harness.command(admin, { opcode: 0x18 })).status).toBe(0);
  }
  expect(admin.disconnecting).toBe(false);
  for (let i = 0; i < 3; i++) {
    await harness.pass(8_000);
    if (!admin.disconnecting) await harness.identify(admin, 1);
  }
  expect(admin.disconnecting).toBe(true);
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
