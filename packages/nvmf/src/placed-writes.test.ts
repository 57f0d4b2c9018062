import { IoStatus, IoType } from '@spdk-ts/bdev';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FakeQpair } from '../test-support/fake-transport.ts';
import { BLOCKS, Harness, SUBSYSTEM, type TestController } from '../test-support/harness.ts';
import { ALL_TYPES, control, release } from '../test-support/memory-bdev.ts';

let harness: Harness;
let controller: TestController;
let io: FakeQpair;
let bytes: Uint8Array;
beforeEach(async () => {
  harness = await Harness.start();
  bytes = await harness.bdev('Lends', undefined, BLOCKS, ALL_TYPES | (1 << IoType.ZCOPY));
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Lends' }));
  controller = await harness.controller();
  io = await harness.ioQueue(controller);
});
afterEach(async () => {
  release();
  await harness.stop();
});

const FUA = 0x4000_0000;
const write = (slba: number, blocks: number, cdw12 = 0) =>
  ({ opcode: 1, nsid: 2, cdw10: slba, cdw11: 0, cdw12: cdw12 + blocks - 1 }) as const;
const send = (fields: Parameters<FakeQpair['send']>[0], blocks: number) =>
  io.send(fields, { length: blocks * 512, place: true });
const data = new Uint8Array(4 * 512).fill(7);
const outstanding = () => {
  const { outstanding: executing, held } = harness.groups[0]!.subsystems.values().next().value!;
  return [executing, held];
};

test('the data go to the bdev’s own memory, and are there when the command completes', async () => {
  const cid = send(write(10, 4, FUA), 4);
  await harness.turns();
  expect(io.completions).toEqual([]);
  io.arriveInPlace(cid, data);
  expect((await harness.completion(io, cid)).status).toBe(0);
  expect(bytes.subarray(10 * 512, 14 * 512)).toEqual(data);
  const zcopy = { type: IoType.ZCOPY, offset_blocks: 10, num_blocks: 4, fua: true };
  expect(control.seen.slice(-2)).toEqual([zcopy, zcopy]);
  expect(outstanding()).toEqual([0, 0]);
  // Bytes and commands written, as SMART counts them.
  const smart = new DataView((await harness.logPage(controller.admin, 2, 512)).data.buffer);
  expect(smart.getUint32(80, true)).toBe(1);
});

test.each([
  ['a bdev that lends no place', { ...write(0, 1), nsid: 1 }, 1],
  ['a namespace that is not there', { ...write(0, 1), nsid: 3 }, 1],
  ['the end of the namespace', write(BLOCKS - 1, 2), 2],
  ['an SGL of another length', write(0, 2), 1],
  ['a fused command', { ...write(0, 1), fuse: 1 }, 1],
  ['a directive', write(0, 1, 0x10_0000), 1],
  ['a command that is no write', { ...write(0, 1), opcode: 5 }, 1],
])('%s goes the usual way', (_, fields, blocks) => {
  expect(() => send(fields, blocks)).toThrow('no place');
  expect(outstanding()).toEqual([0, 0]);
});

test('the command fails with the status of a start or an end that failed', async () => {
  Object.assign(control, { failType: IoType.ZCOPY, failStatus: IoStatus.FAILED });
  const first = send(write(0, 1), 1);
  expect((await harness.completion(io, first)).status).toBe(6);
  control.failType = -1;
  const second = send(write(0, 1), 1);
  await harness.turns();
  Object.assign(control, { failType: IoType.ZCOPY, failStatus: IoStatus.FAILED });
  io.arriveInPlace(second, data.subarray(0, 512));
  expect((await harness.completion(io, second)).status).toBe(6);
  expect(outstanding()).toEqual([0, 0]);
});

test('a connection that goes gives the place back, known to it or not', async () => {
  send(write(0, 1), 1);
  await harness.turns();
  control.hold = true;
  send(write(8, 1), 1);
  await harness.turns();
  io.disconnect('test');
  await harness.turns();
  expect(io.removed).toBe(true);
  release();
  await harness.turns();
  expect(outstanding()).toEqual([0, 0]);
  await harness.done(harness.target.removeNamespace(SUBSYSTEM, 2));
  await harness.done(harness.bdevs.unregister('Lends'));
});

test('a namespace stays until writes to its memory have ended', async () => {
  const cid = send(write(0, 4), 4);
  await harness.turns();
  let removed = false;
  const removal = harness.target.removeNamespace(SUBSYSTEM, 2).then(() => {
    removed = true;
  });
  await harness.turns(50);
  expect(removed).toBe(false);
  expect(() => send(write(8, 1), 1)).toThrow('no place');
  io.arriveInPlace(cid, data);
  expect((await harness.completion(io, cid)).status).toBe(0);
  await harness.done(removal);
  expect(bytes.subarray(0, 4 * 512)).toEqual(data);
});

test('an aborted command whose data are under way gives its place back', async () => {
  const cid = send(write(0, 1), 1);
  await harness.turns();
  const abort = await harness.command(controller.admin, { opcode: 8, cdw10: ((cid << 16) | 1) >>> 0 });
  expect([abort.status, abort.dw0]).toEqual([0, 0]);
  expect((await harness.completion(io, cid)).status).toBe(7);
  await harness.turns();
  expect(outstanding()).toEqual([0, 0]);
});
