import { IoStatus, IoType, ioTypeMask } from '@spdk-ts/bdev';
import { encodeCopyRange, encodeDsmRange, identifyNamespace } from '@spdk-ts/nvme-spec';
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
const DEAC = 0x200_0000;
const FUA = 0x4000_0000;
const block = (value: number, count = 1) => new Uint8Array(512 * count).fill(value);
const at = (slba: number, blocks = 1) => ({ nsid: 1, cdw10: slba, cdw11: 0, cdw12: blocks - 1 });
const abort = (cid: number) =>
  harness.command(controller.admin, { opcode: 8, cdw10: ((cid << 16) | 1) >>> 0 });
const types = () => control.seen.map(({ type }) => type);
const firstBytes = async (slba: number, count: number) => {
  const { data } = await harness.command(io, { opcode: 2, ...at(slba, count) }, { length: count * 512 });
  return Array.from({ length: count }, (_, i) => data[i * 512]);
};

/** Source ranges of a Copy. */
function sources(format: number, ranges: [number, number][]): Uint8Array {
  const size = format === 0 ? 32 : 40;
  const bytes = new Uint8Array(size * ranges.length);
  const view = new DataView(bytes.buffer);
  for (const [i, [slba, blocks]] of ranges.entries()) encodeCopyRange(view, i * size, format, slba, blocks);
  return bytes;
}
const copy = (sdlba: number, format: number, ranges: [number, number][], flags = 0) =>
  harness.command(
    io,
    { opcode: 0x19, ...at(sdlba), cdw12: flags | (format << 8) | (ranges.length - 1) },
    { data: sources(format, ranges) },
  );

test.each([0, 1])('copies several ranges, descriptors of format %i', async (format) => {
  for (let i = 0; i < 8; i++) await harness.command(io, { opcode: 1, ...at(i) }, { data: block(10 + i) });
  const done = await copy(100, format, [
    [6, 2],
    [0, 1],
    [2, 3],
  ]);
  expect(done).toMatchObject({ status: 0, dw0: 0 });
  expect(await firstBytes(99, 8)).toEqual([0, 16, 17, 10, 12, 13, 14, 0]);
});

test('a Copy with force unit access ends with a flush', async () => {
  expect((await copy(100, 0, [[0, 1]], FUA)).status).toBe(0);
  expect(types().at(-1)).toBe(IoType.FLUSH);
  control.seen = [];
  expect((await copy(100, 0, [[0, 1]])).status).toBe(0);
  expect(types()).not.toContain(IoType.FLUSH);
});

test('a Copy that fails names the first range that was not copied', async () => {
  await harness.command(io, { opcode: 1, ...at(0, 3) }, { data: block(7, 3) });
  Object.assign(control, { failType: IoType.READ, failStatus: IoStatus.FAILED, failAt: 2 });
  const done = await copy(100, 0, [
    [0, 1],
    [1, 1],
    [2, 1],
    [0, 1],
  ]);
  expect(done).toMatchObject({ status: 0x006, dw0: 2 });
  control.failType = -1;
  expect(await firstBytes(100, 4)).toEqual([7, 7, 0, 0]);
});

test('Copy is limited as Identify Namespace says', async () => {
  const ns = identifyNamespace.decode((await harness.identify(controller.admin, 0, 1)).data);
  expect(ns).toMatchObject({ mssrl: 0xffff, mcl: 131_072, msrc: 127 });
  const SIZE_LIMIT = 0x183 | DNR;
  const range = (slba: number, blocks: number): [number, number] => [slba, blocks];
  expect((await copy(0, 0, [range(0, 65_536)])).status, 'more than MSSRL').toBe(SIZE_LIMIT);
  expect((await copy(0, 0, [range(0, 65_000), range(0, 65_000), range(0, 1100)])).status, 'MCL').toBe(
    SIZE_LIMIT,
  );
  const many = Array.from({ length: 129 }, () => range(0, 1));
  expect((await copy(0, 0, many)).status, 'more than MSRC').toBe(SIZE_LIMIT);
  expect((await copy(0, 0, many.slice(1))).status).toBe(0);
  expect((await copy(0, 0, [range(BLOCKS, 1)])).status, 'source').toBe(0x080 | DNR);
  expect((await copy(BLOCKS - 1, 0, [range(0, 2)])).status, 'destination').toBe(0x080 | DNR);
  expect((await copy(0, 2, [range(0, 1)])).status, 'format 2').toBe(0x002 | DNR);
  expect((await copy(0, 0, [range(0, 1)], 0x10_0000)).status, 'directive').toBe(0x002 | DNR);
  const short = { opcode: 0x19, ...at(0), cdw12: 1 };
  expect((await harness.command(io, short, { data: sources(0, [[0, 1]]) })).status).toBe(0x00f | DNR);
});

test('Verify reads the blocks, a buffer at a time, and fails as a read does', async () => {
  const bytes = harness.host.local[1]!.buffers.max_bytes;
  const blocks = Math.floor(bytes / 512) + 3;
  expect((await harness.command(io, { opcode: 0x0c, ...at(7, blocks) })).status).toBe(0);
  expect(control.seen).toMatchObject([
    { type: IoType.READ, offset_blocks: 7, num_blocks: blocks - 3 },
    { type: IoType.READ, offset_blocks: 7 + blocks - 3, num_blocks: 3 },
  ]);
  Object.assign(control, { failType: IoType.READ, failStatus: IoStatus.FAILED });
  expect((await harness.command(io, { opcode: 0x0c, ...at(0) })).status).toBe(0x006);
});

test('Write Uncorrectable makes blocks unreadable until they are written, where the bdev can', async () => {
  const uncorrectable = (nsid: number, slba: number, blocks = 1, flags = 0) =>
    harness.command(io, { opcode: 4, ...at(slba, blocks), nsid, cdw12: flags | (blocks - 1) });
  const oncsOf = async () => (await harness.identify(controller.admin, 1)).data[520]!;
  expect((await uncorrectable(1, 3)).status).toBe(0x001 | DNR);
  expect((await oncsOf()) & 2).toBe(0);
  await harness.bdev('Fragile', undefined, BLOCKS, ALL_TYPES | ioTypeMask(IoType.WRITE_UNCORRECTABLE));
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Fragile' }));
  expect((await oncsOf()) & 2).toBe(2);
  const effects = new Uint32Array((await harness.logPage(controller.admin, 5, 4096)).data.buffer);
  expect(effects[256 + 4], 'supported, changes blocks').toBe(3);

  expect((await uncorrectable(2, 3, 2)).status).toBe(0);
  const read = (slba: number) =>
    harness.command(io, { opcode: 2, ...at(slba), nsid: 2 }, { length: 512 }).then(({ status }) => status);
  const UNRECOVERED = 0x281;
  expect([await read(2), await read(3), await read(4), await read(5)]).toEqual([
    ...[0, UNRECOVERED, UNRECOVERED, 0],
  ]);
  const verify = { opcode: 0x0c, ...at(0, 8), nsid: 2 };
  expect((await harness.command(io, verify)).status, 'Verify').toBe(UNRECOVERED);
  const { data } = await harness.logPage(controller.admin, 2, 512);
  expect(new DataView(data.buffer, data.byteOffset).getUint32(160, true), 'media errors').toBe(3);
  await harness.command(io, { opcode: 1, ...at(3, 2), nsid: 2 }, { data: block(9, 2) });
  expect([await read(3), await read(4)]).toEqual([0, 0]);

  expect((await uncorrectable(2, BLOCKS - 1, 2)).status).toBe(0x080 | DNR);
  expect((await uncorrectable(2, 0, 1, 0x10_0000)).status, 'a directive').toBe(0x002 | DNR);
});

test('Write Zeroes deallocates where that reads as zeroes', async () => {
  const dlfeat = async (nsid: number) => (await harness.identify(controller.admin, 0, nsid)).data[33];
  expect(await dlfeat(1)).toBe(0);
  const zeroes = (nsid: number, flags: number) =>
    harness.command(io, { opcode: 8, ...at(3, 4), nsid, cdw12: flags | 3 });
  expect((await zeroes(1, DEAC)).status).toBe(0x002 | DNR);
  await harness.bdev('Holes', undefined, BLOCKS, ALL_TYPES, { unmap_zeroes: true });
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Holes' }));
  expect(await dlfeat(2), 'reads zeroes, write zeroes deallocates').toBe(0x09);
  control.seen = [];
  for (const flags of [0, DEAC, DEAC | FUA]) expect((await zeroes(2, flags)).status).toBe(0);
  expect(types(), 'an unmap is not known to be on the medium').toEqual([
    IoType.WRITE_ZEROES,
    IoType.UNMAP,
    IoType.WRITE_ZEROES,
  ]);
});

test('Flush of all namespaces flushes each that has a cache', async () => {
  await harness.bdev('Second');
  await harness.bdev('NoCache', undefined, BLOCKS, ALL_TYPES & ~(1 << IoType.FLUSH));
  for (const bdev_name of ['Second', 'NoCache'])
    await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name }));
  control.seen = [];
  const all = { opcode: 0, nsid: 0xffff_ffff };
  expect((await harness.command(io, all)).status).toBe(0);
  expect(types()).toEqual([IoType.FLUSH, IoType.FLUSH]);
  Object.assign(control, { failType: IoType.FLUSH, failStatus: IoStatus.FAILED });
  expect((await harness.command(io, all)).status).toBe(0x006);
});

test.each([
  [
    'a copy',
    () =>
      io.send(
        { opcode: 0x19, ...at(100), cdw12: 1 },
        {
          data: sources(0, [
            [0, 1],
            [1, 1],
          ]),
        },
      ),
  ],
  ['a verify', () => io.send({ opcode: 0x0c, ...at(0, 2000) })],
  ['a flush of all', () => io.send({ opcode: 0, nsid: 0xffff_ffff })],
  [
    'a deallocation',
    () => {
      const ranges = new Uint8Array(32);
      for (const i of [0, 1]) encodeDsmRange(new DataView(ranges.buffer), i * 16, i, 1, 0);
      return io.send({ opcode: 9, nsid: 1, cdw10: 1, cdw11: 4 }, { data: ranges });
    },
  ],
])('Abort finds %s, with the bdev and while it waits', async (_, send) => {
  control.hold = true;
  const cid = send();
  await harness.turns();
  expect(await abort(cid)).toMatchObject({ status: 0, dw0: 0 });
  release();
  expect((await harness.completion(io, cid)).status).toBe(0x007);
  const ns = io.controller!.subsystem.find(1)!;
  const taken = [];
  for (let other = ns.channel.getIo(); other !== null; other = ns.channel.getIo()) taken.push(other);
  const waits = send();
  await harness.turns();
  expect(harness.groups[1]!.io.pending).toBe(1);
  expect(await abort(waits)).toMatchObject({ status: 0, dw0: 0 });
  expect((await harness.completion(io, waits)).status).toBe(0x007);
  expect(harness.groups[1]!.io.pending).toBe(0);
  for (const other of taken) other.free();
  expect([io.outstanding, io.controller!.subsystem.outstanding]).toEqual([0, 0]);
});

test('commands that a transport masks are neither reported nor executed', async () => {
  const { oncs } = await import('@spdk-ts/nvme-spec');
  for (const half of [io.controller!, controller.admin.controller!])
    Object.assign(half, {
      masked_oncs: oncs.copy | oncs.compare | oncs.writeZeroes | oncs.datasetManagement | oncs.reservations,
    });
  const { data } = await harness.identify(controller.admin, 1);
  expect(
    new DataView(data.buffer, data.byteOffset).getUint16(520, true),
    'verify, select, timestamp are left',
  ).toBe(0xd0);
  const effects = new Uint32Array((await harness.logPage(controller.admin, 5, 4096)).data.buffer);
  const known = [...effects.subarray(256, 512).keys()].filter((opcode) => effects[256 + opcode] !== 0);
  expect(known).toEqual([0, 1, 2, 0x0c, 0x7f]);
  const ranges = new Uint8Array(16);
  expect((await copy(0, 0, [[1, 1]])).status).toBe(0x001 | DNR);
  expect((await harness.command(io, { opcode: 5, ...at(0) }, { data: block(0) })).status).toBe(0x001 | DNR);
  expect((await harness.command(io, { opcode: 8, ...at(0) })).status).toBe(0x001 | DNR);
  const dsm = { opcode: 9, nsid: 1, cdw11: 4 };
  expect((await harness.command(io, dsm, { data: ranges })).status).toBe(0x001 | DNR);
});
