import { IoStatus, IoType } from '@spdk-ts/bdev';
import { encodeDsmRange } from '@spdk-ts/nvme-spec';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FakeQpair } from '../test-support/fake-transport.ts';
import { BLOCKS, Harness, SUBSYSTEM, type TestController } from '../test-support/harness.ts';
import { control, release } from '../test-support/memory-bdev.ts';

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
const block = (value: number, count = 1) => new Uint8Array(512 * count).fill(value);
const at = (slba: number, blocks = 1) => ({ nsid: 1, cdw10: slba, cdw11: 0, cdw12: blocks - 1 });

test('what is written is read, on a reactor other than the admin queue’s', async () => {
  expect((await harness.command(io, { opcode: 1, ...at(10, 2) }, { data: block(7, 2) })).status).toBe(0);
  const read = await harness.command(io, { opcode: 2, ...at(10, 2) }, { length: 1024 });
  expect(read.status).toBe(0);
  expect(read.data).toEqual(block(7, 2));
  const compare = (value: number) => harness.command(io, { opcode: 5, ...at(11) }, { data: block(value) });
  expect((await compare(7)).status).toBe(0);
  expect((await compare(8)).status).toBe(0x285);
  expect((await harness.command(io, { opcode: 8, ...at(10) })).status).toBe(0);
  expect(
    (await harness.command(io, { opcode: 2, ...at(10, 2) }, { length: 1024 })).data.slice(510, 514),
  ).toEqual(Uint8Array.of(0, 0, 7, 7));
  expect((await harness.command(io, { opcode: 0, nsid: 1 })).status).toBe(0);
});

test.each([
  ['namespace 0', { opcode: 2, nsid: 0 }, 512, 0x00b | DNR],
  ['namespace that is not there', { opcode: 2, nsid: 2 }, 512, 0x00b | DNR],
  ['namespace beyond the last', { opcode: 2, nsid: 0xffff_fffe }, 512, 0x00b | DNR],
  ['broadcast read', { opcode: 2, nsid: 0xffff_ffff }, 512, 0x00b | DNR],
  ['fused broadcast flush', { opcode: 0, nsid: 0xffff_ffff, fuse: 1 }, 0, 0x002 | DNR],
  ['first block past the end', { opcode: 2, ...at(BLOCKS) }, 512, 0x080 | DNR],
  ['range over the end', { opcode: 2, ...at(BLOCKS - 1, 2) }, 1024, 0x080 | DNR],
  ['LBA of 2^64 - 1', { opcode: 2, nsid: 1, cdw10: 0xffff_ffff, cdw11: 0xffff_ffff }, 512, 0x080 | DNR],
  [
    'write zeroes at 2^64 - 1',
    { opcode: 8, nsid: 1, cdw10: 0xffff_ffff, cdw11: 0xffff_ffff },
    0,
    0x080 | DNR,
  ],
  ['more than MDTS', { opcode: 2, ...at(0, 257) }, 257 * 512, 0x002 | DNR],
  ['SGL shorter than NLB', { opcode: 2, ...at(0, 2) }, 512, 0x00f | DNR],
  ['SGL longer than NLB', { opcode: 2, ...at(0) }, 1024, 0x00f | DNR],
  ['reserved FUSE', { opcode: 2, fuse: 3, ...at(0) }, 512, 0x002 | DNR],
  ['reserved PSDT', { opcode: 2, psdt: 3, ...at(0) }, 512, 0x002 | DNR],
  ['write zeroes with DEAC', { opcode: 8, nsid: 1, cdw12: 0x200_0000 }, 0, 0x002 | DNR],
  ['unknown opcode', { opcode: 0x90, nsid: 1 }, 0, 0x001 | DNR],
  ['write uncorrectable, which no bdev can', { opcode: 4, nsid: 1 }, 0, 0x001 | DNR],
  ['a command of zoned namespaces', { opcode: 0x7a, nsid: 1 }, 4096, 0x001 | DNR],
  ['verify past the end', { opcode: 0x0c, ...at(BLOCKS - 1, 2) }, 0, 0x080 | DNR],
])('refused: %s', async (_, fields, length, status) => {
  expect((await harness.command(io, fields, { length })).status).toBe(status);
  expect(control.seen).toEqual([]);
});

test('FUA and the write cache feature reach the bdev', async () => {
  await harness.command(io, { opcode: 1, ...at(0) }, { data: block(1) });
  await harness.command(io, { opcode: 1, ...at(0), cdw12: 0x4000_0000 }, { data: block(1) });
  await harness.command(controller.admin, { opcode: 9, cdw10: 6, cdw11: 0 });
  await harness.command(io, { opcode: 1, ...at(0) }, { data: block(1) });
  expect(control.seen.map(({ fua }) => fua)).toEqual([false, true, true]);
});

test('dataset management deallocates its ranges', async () => {
  await harness.command(io, { opcode: 1, ...at(0, 8) }, { data: block(9, 8) });
  const ranges = new Uint8Array(48);
  const view = new DataView(ranges.buffer);
  encodeDsmRange(view, 0, 1, 1, 0);
  encodeDsmRange(view, 16, 4, 0, 0);
  encodeDsmRange(view, 32, 6, 2, 0);
  control.seen = [];
  const dsm = { opcode: 9, nsid: 1, cdw10: 2 };
  expect((await harness.command(io, { ...dsm, cdw11: 3 }, { data: ranges })).status, 'hints only').toBe(0);
  expect(control.seen).toEqual([]);
  expect((await harness.command(io, { ...dsm, cdw11: 4 }, { data: ranges })).status).toBe(0);
  expect(control.seen).toMatchObject([
    { type: IoType.UNMAP, offset_blocks: 1, num_blocks: 1 },
    { type: IoType.UNMAP, offset_blocks: 6, num_blocks: 2 },
  ]);
  const { data } = await harness.command(io, { opcode: 2, ...at(0, 8) }, { length: 4096 });
  expect(Array.from({ length: 8 }, (_, i) => data[i * 512])).toEqual([9, 0, 9, 9, 9, 9, 0, 0]);
  encodeDsmRange(view, 16, BLOCKS, 1, 0);
  expect((await harness.command(io, { ...dsm, cdw11: 4 }, { data: ranges })).status).toBe(0x080 | DNR);
  const short = await harness.command(io, { ...dsm, cdw11: 4 }, { data: ranges.subarray(0, 32) });
  expect(short.status).toBe(0x00f | DNR);
});

test('the first error of several ranges is the command’s', async () => {
  const ranges = new Uint8Array(32);
  const view = new DataView(ranges.buffer);
  encodeDsmRange(view, 0, 0, 1, 0);
  encodeDsmRange(view, 16, 1, 1, 0);
  control.failType = IoType.UNMAP;
  control.failStatus = IoStatus.FAILED;
  const { status } = await harness.command(io, { opcode: 9, nsid: 1, cdw10: 1, cdw11: 4 }, { data: ranges });
  expect(status).toBe(0x006);
});

test.each([
  [IoStatus.FAILED, 0x006],
  [IoStatus.ABORTED, 0x007],
  [IoStatus.MISCOMPARE, 0x285],
  [IoStatus.AIO_ERROR, 0x006],
])('bdev status %i is NVMe status %i', async (failStatus, status) => {
  Object.assign(control, { failType: IoType.READ, failStatus });
  expect((await harness.command(io, { opcode: 2, ...at(0) }, { length: 512 })).status).toBe(status);
});

test('commands that find no I/O object wait and all complete', async () => {
  const group = harness.groups[1]!;
  const ns = io.controller!.subsystem.find(1)!;
  const taken = [];
  for (let other = ns.channel.getIo(); other !== null; other = ns.channel.getIo()) taken.push(other);
  expect(taken.length).toBeGreaterThan(0);
  const ranges = new Uint8Array(64);
  for (let i = 0; i < 4; i++) encodeDsmRange(new DataView(ranges.buffer), i * 16, i, 1, 0);
  const cids = [
    ...[1, 2, 3, 4].map((i) => io.send({ opcode: 2, ...at(i) }, { length: 512 })),
    io.send({ opcode: 9, nsid: 1, cdw10: 3, cdw11: 4 }, { data: ranges }),
  ];
  await harness.turns();
  expect(group.io.pending).toBe(5);
  expect(group.io.slots.used).toBe(0);
  for (const other of taken) {
    other.free();
    await harness.turns(1);
  }
  for (const cid of cids) expect((await harness.completion(io, cid)).status).toBe(0);
  expect(control.seen.filter(({ type }) => type === IoType.UNMAP).length).toBe(4);
  expect([group.io.pending, io.outstanding]).toEqual([0, 0]);
});

test('a read’s data stays where the bdev put it until the host has it', async () => {
  const ns = io.controller!.subsystem;
  io.keepsMemory = true;
  await harness.command(io, { opcode: 2, ...at(3) }, { length: 512 });
  expect(ns.held).toBe(1);
  const removed = harness.target.removeNamespace(SUBSYSTEM, 1);
  await harness.turns();
  expect(ns.find(1), 'not before the data has left').not.toBeNull();
  io.releaseKept();
  await harness.done(removed);
  expect([ns.held, ns.find(1)]).toEqual([0, null]);
});

test('I/O of a controller that is not enabled is out of sequence', async () => {
  const state = io.controller!.state;
  state.csts = 0;
  expect((await harness.command(io, { opcode: 2, ...at(0) }, { length: 512 })).status).toBe(0x00c);
});
