import { afterEach, beforeEach, expect, test } from 'vitest';
import { Harness, SUBSYSTEM, type TestController } from '../test-support/harness.ts';
import { control, release } from '../test-support/memory-bdev.ts';

let harness: Harness;
let controller: TestController;
beforeEach(async () => {
  harness = await Harness.start(2);
  controller = await harness.controller();
});
afterEach(async () => {
  release();
  await harness.stop();
});

const abort = (sqid: number, cid: number) =>
  harness.command(controller.admin, { opcode: 8, cdw10: ((cid << 16) | sqid) >>> 0 });
const read = { opcode: 2, nsid: 1 };

test.each([0, 1])('a command in the bdev is found on reactor %i', async (reactor) => {
  const io = await harness.ioQueue(controller, 1, reactor);
  control.hold = true;
  const cid = io.send(read, { length: 512 });
  expect(await abort(1, cid)).toMatchObject({ status: 0, dw0: 0 });
  expect((await harness.completion(io, cid)).status).toBe(0x007);
  expect(await abort(1, cid), 'gone already').toMatchObject({ status: 0, dw0: 1 });
});

test.each([0, 1])('a command whose data has not arrived is found on reactor %i', async (reactor) => {
  const io = await harness.ioQueue(controller, 1, reactor);
  const cid = io.send({ opcode: 1, nsid: 1 }, { data: new Uint8Array(512), hold: true });
  expect(await abort(1, cid)).toMatchObject({ status: 0, dw0: 0 });
  expect((await harness.completion(io, cid)).status).toBe(0x007);
});

test('a command that the bdev cannot abort completes as it does', async () => {
  const io = await harness.ioQueue(controller, 1, 1);
  control.hold = true;
  const cid = io.send(read, { length: 512 });
  // Out of the module's sight: its abort does not find it.
  const [held] = control.held.splice(0);
  expect(await abort(1, cid)).toMatchObject({ status: 0, dw0: 1 });
  control.held.push(held!);
  release();
  expect((await harness.completion(io, cid)).status).toBe(0);
});

test('a command that waits in a pause is found', async () => {
  const io = await harness.ioQueue(controller, 1, 1);
  const id = harness.target.subsystem(SUBSYSTEM).id;
  await harness.done(harness.host.broadcast('nvmf', 'pause', { id, nsid: 1 }));
  const cid = io.send(read, { length: 512 });
  expect(await abort(1, cid)).toMatchObject({ status: 0, dw0: 0 });
  expect((await harness.completion(io, cid)).status).toBe(0x007);
  await harness.done(harness.host.broadcast('nvmf', 'resume', { id, nsid: 1 }));
});

test('a parked event request is found', async () => {
  const cid = controller.admin.send({ opcode: 0x0c });
  expect(await abort(0, cid)).toMatchObject({ status: 0, dw0: 0 });
  expect((await harness.completion(controller.admin, cid)).status).toBe(0x007);
  expect(controller.admin.outstanding).toBe(0);
});

test('what cannot be aborted', async () => {
  expect(await abort(9, 1)).toMatchObject({ status: 0, dw0: 1 });
  expect(await abort(0, 0x7fff)).toMatchObject({ status: 0, dw0: 1 });
  const self = await harness.command(controller.admin, { opcode: 8, cid: 77, cdw10: 77 << 16 });
  expect(self).toMatchObject({ status: 0, dw0: 1 });
  expect((await harness.command(controller.admin, { opcode: 8, nsid: 1 })).status).toBe(0x4002);
});

test('the abort limit', async () => {
  const io = await harness.ioQueue(controller, 1, 1);
  control.hold = true;
  const cids = [0, 1, 2, 3, 4].map(() => io.send(read, { length: 512 }));
  const aborts = cids.map((cid) => controller.admin.send({ opcode: 8, cdw10: ((cid << 16) | 1) >>> 0 }));
  const answers = [];
  for (const cid of aborts) answers.push((await harness.completion(controller.admin, cid)).status);
  expect(answers).toEqual([0, 0, 0, 0, 0x103]);
});
