import { IoStatus, IoType } from '@spdk-ts/bdev';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FakeQpair } from '../test-support/fake-transport.ts';
import { BLOCKS, Harness, SUBSYSTEM, type TestController } from '../test-support/harness.ts';
import { ALL_TYPES, control, release } from '../test-support/memory-bdev.ts';

let harness: Harness;
let controller: TestController;
let io: FakeQpair;
beforeEach(async () => {
  harness = await Harness.start(2);
  controller = await harness.controller();
  io = await harness.ioQueue(controller, 1, 1);
});
afterEach(async () => {
  release();
  await harness.stop();
});

const DNR = 0x4000;
const FAILED = 0x009;
const MISSING = 0x00a;
const block = (value: number, count = 1) => new Uint8Array(512 * count).fill(value);
const at = (slba: number, blocks = 1) => ({ nsid: 1, cdw10: slba, cdw11: 0, cdw12: blocks - 1 });
const compare = (where = at(5)) => ({ opcode: 5, fuse: 1, ...where });
const write = (where = at(5)) => ({ opcode: 1, fuse: 2, ...where });
const status = async (cid: number) => (await harness.completion(io, cid)).status;
const both = async (first: Parameters<FakeQpair['send']>, second: Parameters<FakeQpair['send']>) => {
  const cids = [io.send(...first), io.send(...second)];
  return [await status(cids[0]!), await status(cids[1]!)];
};
const stored = async (slba = 5) =>
  (await harness.command(io, { opcode: 2, ...at(slba) }, { length: 512 })).data[0];
/** Nothing is left of any of it: neither executing, nor with the bdev layer. */
const idle = () => {
  const subsystem = io.controller!.subsystem;
  return [io.outstanding, subsystem.outstanding, subsystem.held];
};

test('what is compared equal is written, what differs is not', async () => {
  await harness.command(io, { opcode: 1, ...at(5) }, { data: block(1) });
  expect(await both([compare(), { data: block(1) }], [write(), { data: block(2) }])).toEqual([0, 0]);
  expect(await stored()).toBe(2);
  expect(await both([compare(), { data: block(1) }], [write(), { data: block(3) }])).toEqual([0x285, FAILED]);
  expect(await stored()).toBe(2);
  expect(idle()).toEqual([0, 0, 0]);
});

test('pairs race without ever losing an update', async () => {
  await harness.command(io, { opcode: 1, ...at(5) }, { data: block(0) });
  const other = await harness.ioQueue(controller, 2, 0);
  let wins = 0;
  for (let value = 0; value < 8; value++) {
    const cids = [io, other].map((queue) => {
      queue.send(compare(), { data: block(value) });
      return [queue, queue.send(write(), { data: block(value + 1) })] as const;
    });
    for (const [queue, cid] of cids) if ((await harness.completion(queue, cid)).status === 0) wins++;
  }
  expect([wins, await stored()]).toEqual([8, 8]);
});

test.each(['first', 'second'])('the data of the %s half may come last', async (late) => {
  const first = io.send(compare(), { data: block(0), hold: late === 'first' });
  const second = io.send(write(), { data: block(9), hold: late === 'second' });
  await harness.turns();
  expect(io.completions).toEqual([]);
  const { subsystem } = io.controller!;
  expect(subsystem.outstanding, 'the half that is here holds nothing up').toBe(0);
  io.arrive(late === 'first' ? first : second);
  expect([await status(first), await status(second)]).toEqual([0, 0]);
  expect(await stored()).toBe(9);
});

test('a first without a second, a second without a first', async () => {
  const first = io.send(compare(), { data: block(0) });
  await harness.turns();
  expect(io.take(first), 'the second may still come').toBeUndefined();
  expect((await harness.command(io, { opcode: 2, ...at(0) }, { length: 512 })).status).toBe(0);
  expect(await status(first)).toBe(MISSING);
  expect((await harness.command(io, write(), { data: block(7) })).status).toBe(MISSING);
  const firsts = [io.send(compare(), { data: block(0) }), io.send(compare(), { data: block(0) })];
  expect(await status(firsts[0]!)).toBe(MISSING);
  const second = io.send(write(), { data: block(6) });
  expect([await status(firsts[1]!), await status(second)]).toEqual([0, 0]);
  const late = io.send(compare(), { data: block(0), hold: true });
  expect((await harness.command(io, { opcode: 0, nsid: 1 })).status).toBe(0);
  io.arrive(late);
  expect(await status(late)).toBe(MISSING);
  expect(idle()).toEqual([0, 0, 0]);
});

test.each([
  ['other blocks', compare(at(5)), write(at(6)), 1, 0x002 | DNR, 0x002 | DNR],
  ['another length', compare(at(5)), write(at(5, 2)), 2, 0x002 | DNR, 0x002 | DNR],
  ['another first command', { ...compare(), opcode: 1 }, write(), 1, 0x002 | DNR, 0x002 | DNR],
  ['another second command', compare(), { ...write(), opcode: 5 }, 1, 0x002 | DNR, 0x002 | DNR],
  ['more than ACWU', compare(at(0, 2)), write(at(0, 2)), 2, 0x014 | DNR, 0x014 | DNR],
  ['the end of the namespace', compare(at(BLOCKS)), write(at(BLOCKS)), 1, 0x080 | DNR, 0x080 | DNR],
  [
    'a namespace that is not there',
    { ...compare(), nsid: 9 },
    { ...write(), nsid: 9 },
    1,
    0x00b | DNR,
    0x00b | DNR,
  ],
  ['a directive', compare(), { ...write(), cdw12: 0x10_0000 }, 1, FAILED, 0x002 | DNR],
  ['a reserved PSDT', { ...compare(), psdt: 3 }, write(), 1, 0x002 | DNR, FAILED],
])('refused: %s', async (_, first, second, blocks, ofFirst, ofSecond) => {
  const sizes = [((first.cdw12 & 0xffff) + 1) * 512, blocks * 512];
  const data = sizes.map((size) => new Uint8Array(size));
  expect(await both([first, { data: data[0]! }], [second, { data: data[1]! }])).toEqual([ofFirst, ofSecond]);
  expect(control.seen).toEqual([]);
  expect(idle()).toEqual([0, 0, 0]);
});

test('with an SGL of another length only that half is wrong', async () => {
  expect(await both([compare(), { data: block(0) }], [write(), { data: block(0, 2) }])).toEqual([
    FAILED,
    0x00f | DNR,
  ]);
});

test('a half that fails on its way takes the other along', async () => {
  const first = io.send(compare(), { data: block(0), hold: true });
  const second = io.send(write(), { data: block(1) });
  io.abortHeld(io.findRequest(first)!);
  expect([await status(first), await status(second)]).toEqual([0x007, FAILED]);
  // ... although it has not arrived yet,
  const early = io.send(compare(), { data: block(0), hold: true });
  io.abortHeld(io.findRequest(early)!);
  const follower = io.send(write(), { data: block(1) });
  expect([await status(early), await status(follower)]).toEqual([0x007, FAILED]);
  // ... or its data have not.
  const here = io.send(compare(), { data: block(0) });
  const late = io.send(write(), { data: block(1), hold: true });
  await harness.command(controller.admin, { opcode: 8, cdw10: ((here << 16) | 1) >>> 0 });
  expect(await status(here)).toBe(0x007);
  io.arrive(late);
  expect(await status(late)).toBe(FAILED);
  expect(idle()).toEqual([0, 0, 0]);
});

test.each([
  ['first', 0x007, FAILED],
  ['second', FAILED, 0x007],
])('Abort of the %s half while the bdev compares', async (which, ofFirst, ofSecond) => {
  control.hold = true;
  const first = io.send(compare(), { data: block(0) });
  const second = io.send(write(), { data: block(1) });
  for (let i = 0; i < 50 && control.held.length === 0; i++) await harness.turns(1);
  const cid = which === 'first' ? first : second;
  const abort = harness.command(controller.admin, { opcode: 8, cdw10: ((cid << 16) | 1) >>> 0 });
  expect(await abort).toMatchObject({ status: 0, dw0: 0 });
  release();
  expect([await status(first), await status(second)]).toEqual([ofFirst, ofSecond]);
  expect(await stored()).toBe(0);
});

test('a failure of the bdev fails both; without I/O objects they wait', async () => {
  Object.assign(control, { failType: IoType.READ, failStatus: IoStatus.FAILED });
  expect(await both([compare(), { data: block(0) }], [write(), { data: block(1) }])).toEqual([0x006, FAILED]);
  control.failType = -1;
  const ns = io.controller!.subsystem.find(1)!;
  const taken = [];
  for (let other = ns.channel.getIo(); other !== null; other = ns.channel.getIo()) taken.push(other);
  const first = io.send(compare(), { data: block(0) });
  const second = io.send(write(), { data: block(4) });
  await harness.turns();
  expect(harness.groups[1]!.io.pending).toBe(1);
  for (const other of taken) other.free();
  expect([await status(first), await status(second)]).toEqual([0, 0]);
  expect(await stored()).toBe(4);
});

test('a queue that ends, and a namespace that goes, leave no half behind', async () => {
  io.send(compare(), { data: block(0) });
  await harness.done(harness.target.removeNamespace(SUBSYSTEM, 1));
  io.send(write(), { data: block(1) });
  await harness.turns();
  expect(io.completions.map((completion) => completion.status)).toEqual([FAILED, 0x00b | DNR]);
  io.send(compare(), { data: block(0) });
  io.disconnect('test');
  await harness.turns();
  expect(io.removed).toBe(true);
});

test('ACWU is the least of the namespaces’, and a transport may mask the operation', async () => {
  const wide = { acwu: 8 };
  await harness.bdev('Wide', undefined, BLOCKS, ALL_TYPES, wide);
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Wide' }));
  const { data } = await harness.identify(controller.admin, 0, 2);
  expect([data[24]! & 2, data[38]], 'NSFEAT.NSABP, NACWU').toEqual([2, 7]);
  const range = { ...at(8, 8), nsid: 2 };
  expect(await both([compare(range), { data: block(0, 8) }], [write(range), { data: block(1, 8) }])).toEqual([
    0, 0,
  ]);
  Object.assign(io.controller!, { masks_fused: true });
  expect(await both([compare(), { data: block(0) }], [write(), { data: block(1) }])).toEqual([
    0x002 | DNR,
    0x002 | DNR,
  ]);
  expect(await status(io.send(compare(), { data: block(0) })), 'nothing is waited for').toBe(0x002 | DNR);
});
