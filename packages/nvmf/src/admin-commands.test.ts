import { errorLogEntry, identifyController, identifyNamespace, smartLog } from '@spdk-ts/nvme-spec';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HOSTID } from '../test-support/fake-transport.ts';
import { ADDRESS, BLOCKS, Harness, SUBSYSTEM, type TestController, UUID } from '../test-support/harness.ts';

let harness: Harness;
let controller: TestController;
beforeEach(async () => {
  harness = await Harness.start();
  controller = await harness.controller();
});
afterEach(() => harness.stop());

const DNR = 0x4000;
const DISCOVERY = 'nqn.2014-08.org.nvmexpress.discovery';
const ascii = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

test('Identify Controller, at its offsets', async () => {
  const { status, data } = await harness.identify(controller.admin, 1);
  const view = new DataView(data.buffer, data.byteOffset);
  expect(status).toBe(0);
  expect(ascii(data.subarray(4, 24))).toBe('S1'.padEnd(20));
  expect(ascii(data.subarray(24, 64))).toBe('spdk-ts bdev Controller'.padEnd(40));
  expect(ascii(data.subarray(64, 72))).toBe('1.2.3   ');
  expect(data[77], 'MDTS: 128 KiB').toBe(5);
  expect(view.getUint16(78, true)).toBe(controller.cntlid);
  expect(view.getUint32(80, true)).toBe(0x20000);
  expect(data[111], 'CNTRLTYPE').toBe(1);
  expect(view.getUint16(256, true), 'OACS').toBe(0);
  expect([data[258], data[259]], 'ACL, AERL').toEqual([3, 3]);
  expect(view.getUint16(320, true), 'KAS').toBe(100);
  expect([data[512], data[513]], 'SQES, CQES').toEqual([0x66, 0x44]);
  expect(view.getUint16(514, true), 'MAXCMD').toBe(128);
  expect(view.getUint32(516, true), 'NN').toBe(32);
  const optional = 'ONCS: compare, DSM, write zeroes, select, reservations, timestamp, verify, copy';
  expect(view.getUint16(520, true), optional).toBe(0x1fd);
  expect(view.getUint16(522, true), 'FUSES: compare and write').toBe(1);
  expect(view.getUint16(532, true), 'ACWU: one block').toBe(0);
  expect(view.getUint16(534, true), 'OCFS: formats 0 and 1').toBe(3);
  expect(data[525], 'VWC: present, flush of all namespaces').toBe(0x07);
  expect(view.getUint32(536, true), 'SGLS').toBe(0x300001);
  expect(ascii(data.subarray(768, 768 + SUBSYSTEM.length + 1))).toBe(`${SUBSYSTEM}\0`);
  expect(view.getUint32(1792, true), 'IOCCSZ').toBe((64 + 4096) / 16);
  expect(view.getUint32(1796, true), 'IORCSZ').toBe(1);
});

test('Identify Namespace, its identifiers and lists', async () => {
  const { admin } = controller;
  const ns = identifyNamespace.decode((await harness.identify(admin, 0, 1)).data);
  expect(ns).toMatchObject({
    nsze: BLOCKS,
    ncap: BLOCKS,
    nuse: BLOCKS,
    nlbaf: 0,
    flbas: 0,
    nmic: 1,
    nsattr: 0,
  });
  expect(ns.lbaf[0]).toEqual({ ms: 0, lbads: 9, rp: 0 });
  expect(Buffer.from(ns.nguid).toString('hex')).toBe(UUID.replaceAll('-', ''));
  const ids = Buffer.from((await harness.identify(admin, 3, 1)).data);
  expect(ids.subarray(0, 4).toString('hex')).toBe('02100000');
  expect(ids.subarray(20, 24).toString('hex')).toBe('03100000');
  expect(ids.subarray(24, 40).toString('hex')).toBe(UUID.replaceAll('-', ''));
  expect(ids.subarray(40, 45).toString('hex'), 'CSI NVM').toBe('0401000000');
  const list = async (cns: number, after: number) => {
    const { data } = await harness.identify(admin, cns, after);
    return [...new Uint32Array(data.buffer, data.byteOffset, 3)];
  };
  expect(await list(2, 0)).toEqual([1, 0, 0]);
  expect(await list(2, 1)).toEqual([0, 0, 0]);
  expect(await list(7, 0)).toEqual([1, 0, 0]);
  expect(
    (await harness.identify(admin, 0, 2)).data.every((byte) => byte === 0),
    'inactive',
  ).toBe(true);
  expect((await harness.identify(admin, 0x1c)).data[0], 'one combination of all command sets').toBe(7);
  expect((await harness.identify(admin, 0x1c)).data.slice(1, 16).every((byte) => byte === 0)).toBe(true);
  expect((await harness.identify(admin, 8, 1)).data[14], 'NSTAT').toBe(1);
  expect((await harness.identify(admin, 6)).status).toBe(0);
  expect((await harness.identify(admin, 5, 1)).status).toBe(0);
});

test.each([
  ['namespace 0', 0, 0, 0, 0x00b],
  ['namespace beyond NN', 0, 33, 0, 0x00b],
  ['identifiers of an inactive namespace', 3, 2, 0, 0x00b],
  ['list after FFFFFFFEh', 2, 0xffff_fffe, 0, 0x00b],
  ['another command set', 6, 0, 2 << 24, 0x002],
  ['unknown CNS', 0x10, 0, 0, 0x002],
])('Identify is refused: %s', async (_, cns, nsid, cdw11, status) => {
  expect((await harness.identify(controller.admin, cns, nsid, cdw11)).status).toBe(status | DNR);
});

test('Identify with too small a buffer is refused', async () => {
  const answer = await harness.command(controller.admin, { opcode: 6, cdw10: 1 }, { length: 512 });
  expect(answer.status).toBe(0x00f | DNR);
});

test.each([0x00, 0x01, 0x04, 0x05, 0x0d, 0x80, 0x7c, 0xff])(
  'admin opcode %i is not known',
  async (opcode) => {
    expect((await harness.command(controller.admin, { opcode })).status).toBe(0x001 | DNR);
  },
);

test('features are got and set', async () => {
  const { admin } = controller;
  const get = (fid: number, cdw11 = 0) => harness.command(admin, { opcode: 0x0a, cdw10: fid, cdw11 });
  const set = (fid: number, cdw11: number, nsid = 0) =>
    harness.command(admin, { opcode: 9, cdw10: fid, cdw11, nsid });
  expect(await set(7, 0x000f_000f)).toMatchObject({ status: 0, dw0: 0x007e_007e });
  expect((await get(7)).dw0).toBe(0x007e_007e);
  expect((await set(7, 0xffff)).status, 'FFFFh queues').toBe(0x002 | DNR);
  expect((await get(6)).dw0).toBe(1);
  await set(6, 0);
  expect((await get(6)).dw0).toBe(0);
  await set(1, 0x0102_0304);
  expect((await get(1)).dw0).toBe(0x0102_0304);
  await set(4, 350);
  await set(4, (1 << 20) | 200);
  expect([(await get(4)).dw0, (await get(4, 1 << 20)).dw0]).toEqual([350, 200]);
  expect((await set(2, 1)).status, 'power state 1').toBe(0x002 | DNR);
  expect((await set(5, 0x1_0000)).status, 'DULBE').toBe(0x002 | DNR);
  expect((await set(8, 1)).status).toBe(0x10e | DNR);
  expect((await get(0x0b)).dw0).toBe(0x100);
  for (const fid of [0, 3, 0x0c, 0x0d, 0x84, 0xc0]) {
    expect((await get(fid)).status).toBe(0x002 | DNR);
    expect((await get(fid | (3 << 8))).status, 'capabilities of none').toBe(0x002 | DNR);
    expect((await set(fid, 0)).status).toBe(0x002 | DNR);
  }
  expect((await set(1 | 0x8000_0000, 0)).status, 'save').toBe(0x10d | DNR);
  expect((await set(1, 0, 1)).status, 'namespace').toBe(0x10f | DNR);
  for (const [fid, now, otherwise, capabilities] of [
    [1, 0x0102_0304, 0, 4],
    [6, 0, 1, 4],
    [4, 350, 0xffff, 4],
    [5, 0, 0, 6],
    [7, 0x007e_007e, 0x007e_007e, 4],
    [8, 0, 0, 0],
    [0x0b, 0x100, 0x100, 4],
    [0x0f, 0, 0, 4],
  ] as const) {
    const values: number[] = [];
    for (const select of [0, 1, 2, 3]) {
      const { status, dw0 } = await get(fid | (select << 8));
      expect(status).toBe(0);
      values.push(dw0);
    }
    expect(values, `${fid}: current, default, saved, capabilities`).toEqual([
      ...[now, otherwise, otherwise, capabilities],
    ]);
  }
  expect((await get(1 | (4 << 8))).status, 'select 100b').toBe(0x002 | DNR);
});

test('number of queues cannot be set once there are queues', async () => {
  await harness.ioQueue(controller);
  const { status } = await harness.command(controller.admin, { opcode: 9, cdw10: 7, cdw11: 0 });
  expect(status).toBe(0x00c);
});

test('host identifier and host behaviour travel as data', async () => {
  const { admin } = controller;
  const get = (cdw10: number, cdw11: number, length: number) =>
    harness.command(admin, { opcode: 0x0a, cdw10, cdw11 }, { length });
  expect((await get(0x81, 1, 16)).data).toEqual(HOSTID);
  expect((await get(0x81, 0, 8)).status).toBe(0x002 | DNR);
  const data = new Uint8Array(512);
  data[2] = 1;
  const set = (bytes: Uint8Array, cdw10 = 0x16) =>
    harness.command(admin, { opcode: 9, cdw10 }, { data: bytes });
  expect((await set(new Uint8Array(16), 0x81)).status).toBe(0x00c);
  expect((await set(data)).status).toBe(0);
  expect((await get(0x16, 0, 512)).data).toEqual(data);
  data[2] = 2;
  expect((await set(data)).status).toBe(0x002 | DNR);
  expect((await set(data.subarray(0, 256))).status).toBe(0x00f | DNR);
});

test('SMART counts what was read and written', async () => {
  const io = await harness.ioQueue(controller);
  const length = 128 * 1024;
  const rw = (opcode: number, options: object) =>
    harness.command(io, { opcode, nsid: 1, cdw12: length / 512 - 1 }, options);
  for (let i = 0; i < 8; i++) await rw(1, { data: new Uint8Array(length) });
  for (let i = 0; i < 4; i++) await rw(2, { length });
  const { data } = await harness.logPage(controller.admin, 2, 512, { nsid: 0xffff_ffff });
  expect(smartLog.decode(data)).toMatchObject({
    dataUnitsRead: 2,
    dataUnitsWritten: 3,
    hostReadCommands: 4,
    hostWriteCommands: 8,
    mediaErrors: 0,
    availableSpare: 100,
    powerOnHours: 0,
  });
  expect((await harness.logPage(controller.admin, 2, 512, { nsid: 1 })).status).toBe(0x002 | DNR);
});

test('the error log has failed commands of all queues, newest first', async () => {
  const io = await harness.ioQueue(controller);
  await harness.command(controller.admin, { opcode: 0xff });
  const cid = io.send({ opcode: 2, nsid: 1, cdw10: BLOCKS }, { length: 512 });
  await harness.completion(io, cid);
  const { data } = await harness.logPage(controller.admin, 1, 64 * 3);
  expect(errorLogEntry.decode(data)).toMatchObject({
    ...{ errorCount: 2, sqid: 1, cid, statusField: (0x080 | DNR) << 1, lba: BLOCKS, nsid: 1, opc: 2 },
  });
  expect(errorLogEntry.decode(data, 64)).toMatchObject({ errorCount: 1, sqid: 0, opc: 0xff });
  expect(errorLogEntry.decode(data, 128).errorCount).toBe(0);
});

test('other log pages, offsets and refusals', async () => {
  const { admin } = controller;
  const supported = new Uint32Array((await harness.logPage(admin, 0, 1024)).data.buffer);
  const pages = [...supported.keys()].filter((page) => supported[page] !== 0);
  expect(pages).toEqual([0, 1, 2, 3, 4, 5, 0x12, 0x13, 0x80]);
  const slot = (await harness.logPage(admin, 3, 512)).data;
  expect([slot[0], ascii(slot.subarray(8, 16))]).toEqual([1, '1.2.3   ']);
  const effects = new Uint32Array((await harness.logPage(admin, 5, 4096)).data.buffer);
  expect([effects[6]! & 1, effects[0]! & 1, effects[256 + 1]! & 3, effects[256 + 2]! & 3]).toEqual([
    1, 0, 3, 1,
  ]);
  expect((await harness.logPage(admin, 3, 8, { offset: 8 })).data).toEqual(slot.slice(8, 16));
  const past = await harness.logPage(admin, 3, 16, { offset: 508 });
  expect([past.status, past.data.slice(4).every((byte) => byte === 0)]).toEqual([0, true]);
  expect((await harness.logPage(admin, 3, 8, { offset: 516 })).status).toBe(0x002 | DNR);
  expect((await harness.logPage(admin, 3, 8, { offset: 2 })).status).toBe(0x002 | DNR);
  for (const lid of [0x06, 0x0c, 0x70, 0x81, 0xc0])
    expect((await harness.logPage(admin, lid, 512)).status).toBe(0x109 | DNR);
  const short = await harness.command(admin, { opcode: 2, cdw10: 3 | (127 << 16) }, { length: 64 });
  expect(short.status).toBe(0x00f | DNR);
});

test('Asynchronous Event Requests have a limit', async () => {
  const { admin } = controller;
  const cids = [1, 2, 3, 4].map(() => admin.send({ opcode: 0x0c }));
  expect((await harness.command(admin, { opcode: 0x0c })).status).toBe(0x105);
  expect([admin.outstanding, admin.completions.length]).toEqual([0, 0]);
  expect((await harness.command(admin, { opcode: 0x0c, nsid: 1 })).status).toBe(0x002 | DNR);
  expect(cids.length).toBe(4);
});

test('namespaces that come, go and grow are announced', async () => {
  const { admin } = controller;
  const event = () => admin.send({ opcode: 0x0c });
  const changed = async (rae = false) => {
    const { data } = await harness.logPage(admin, 4, 4096, { rae });
    return [...new Uint32Array(data.buffer, data.byteOffset, 4)].filter((nsid) => nsid !== 0);
  };
  const first = event();
  const second = event();
  await harness.bdev('Mem1');
  expect(await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem1' }))).toBe(2);
  expect(await harness.completion(admin, first)).toMatchObject({ status: 0, dw0: 0x04_0002 });
  await harness.done(harness.bdevs.resize('Mem0', BLOCKS * 2));
  await harness.turns();
  expect(admin.take(second), 'masked until the log page was read').toBeUndefined();
  expect(await changed(true)).toEqual([1, 2]);
  await harness.turns();
  expect(admin.take(second), 'retained').toBeUndefined();
  expect(await changed()).toEqual([]);
  expect(identifyNamespace.decode((await harness.identify(admin, 0, 1)).data).nsze).toBe(BLOCKS * 2);
  await harness.done(harness.target.removeNamespace(SUBSYSTEM, 2));
  expect((await harness.completion(admin, second)).dw0).toBe(0x04_0002);
  expect(await changed()).toEqual([2]);
});

test('a host that does not want to hear of namespaces does not', async () => {
  const { admin } = controller;
  const cid = admin.send({ opcode: 0x0c });
  await harness.command(admin, { opcode: 9, cdw10: 0x0b, cdw11: 0 });
  await harness.done(harness.target.removeNamespace(SUBSYSTEM, 1));
  await harness.turns();
  expect(admin.take(cid)).toBeUndefined();
});

test('a discovery controller tells what there is, and when it changes', async () => {
  const { target } = harness;
  const { admin } = await harness.controller({ subnqn: DISCOVERY });
  const cdata = identifyController.decode((await harness.identify(admin, 1)).data);
  expect(cdata).toMatchObject({ cntrltype: 2, oaes: 0x8000_0000, subnqn: DISCOVERY, mdts: 5 });
  expect((await harness.identify(admin, 2)).status).toBe(0x002 | DNR);
  const page = async (length = 4096) => (await harness.logPage(admin, 0x70, length)).data;
  const before = new DataView((await page()).buffer);
  expect(before.getUint32(8, true), 'records').toBe(1);
  const log = Buffer.from(await page());
  expect(log.subarray(1024, 1028)).toEqual(Buffer.from([3, 1, 2, 0]));
  expect(log.readUInt16LE(1024 + 6)).toBe(0xffff);
  expect(log.subarray(1024 + 32, 1024 + 64).toString()).toBe('4420'.padEnd(32));
  expect(log.subarray(1024 + 256, 1024 + 256 + SUBSYSTEM.length).toString()).toBe(SUBSYSTEM);
  expect(log.subarray(1024 + 512, 1024 + 768).toString()).toBe('127.0.0.1'.padEnd(256));
  const cid = admin.send({ opcode: 0x0c });
  target.referrals.add({ trtype: 'tcp', traddr: '192.0.2.1', trsvcid: '8009', adrfam: 'ipv4' });
  expect((await harness.completion(admin, cid)).dw0).toBe(0x70_f002);
  const after = Buffer.from(await page());
  expect(after.readUInt32LE(0)).toBe(before.getUint32(0, true) + 1);
  expect([after.readUInt32LE(8), after[2048 + 2]]).toEqual([2, 1]);
  await harness.done(target.allowAnyHost(SUBSYSTEM, false));
  expect(Buffer.from(await page()).readUInt32LE(8), 'not for this host').toBe(1);
  const supported = new Uint32Array((await harness.logPage(admin, 0, 1024)).data.buffer);
  const pages = [...supported.keys()].filter((lid) => supported[lid] !== 0);
  expect(pages, 'supported log pages').toEqual([0, 0x12, 0x13, 0x70]);
  expect(supported[0x70]! >>> 16, 'extended and port local entries').toBe(3);
  for (const lid of [1, 2, 5]) expect((await harness.logPage(admin, lid, 512)).status).toBe(0x109 | DNR);
  expect((await harness.command(admin, { opcode: 9, cdw10: 6 })).status).toBe(0x002 | DNR);
  expect((await harness.command(admin, { opcode: 8 })).status).toBe(0x001 | DNR);
  expect((await harness.connect(1, { subnqn: DISCOVERY, cntlid: 1 })).completion.dw0).toBe(42);
  expect(ADDRESS.trsvcid).toBe('4420');
});

test('admin data waits for memory', async () => {
  const { buffers } = harness.host.local[0]!;
  const taken: number[] = [];
  for (let offset = buffers.get(4096); offset >= 0; offset = buffers.get(4096)) taken.push(offset);
  const cid = controller.admin.send({ opcode: 6, cdw10: 1 }, { length: 4096 });
  await harness.turns();
  expect(controller.admin.take(cid)).toBeUndefined();
  for (const offset of taken) buffers.put(offset);
  expect((await harness.completion(controller.admin, cid)).status).toBe(0);
});
