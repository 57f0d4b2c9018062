import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IoType, ioTypeMask } from '@spdk-ts/bdev';
import {
  CNTLID_STATIC,
  encodeCopyRange,
  identifyController,
  identifyNamespace,
  nvmOpcode,
  reservationLog,
} from '@spdk-ts/nvme-spec';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ADDRESS, BLOCKS, Harness, SUBSYSTEM } from '../test-support/harness.ts';
import { ALL_TYPES, control, release } from '../test-support/memory-bdev.ts';
import { hostidOf, TestHost } from '../test-support/test-host.ts';

let harness: Harness;
let a: TestHost;
let b: TestHost;
beforeEach(async () => {
  harness = await Harness.start(2);
  a = await TestHost.connect(harness, 1, { reactor: 0 });
  b = await TestHost.connect(harness, 2, { reactor: 1 });
});
afterEach(async () => {
  release();
  await harness.stop();
});

const DNR = 0x4000;
const CONFLICT = 0x083 | DNR;
const MASK = 0x82;
const PERSISTENCE = 0x83;
const EVENT = 0x80_0006;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Both are registered, with keys 1 and 2. */
async function register(): Promise<void> {
  expect([await a.register(1n), await b.register(2n)]).toEqual([0, 0]);
}

/** Statuses of every I/O command of a host: those that read, then those that write. */
async function statuses(host: TestHost): Promise<[number[], number[]]> {
  const data = new Uint8Array(512);
  const io = async (opcode: number, options: object = {}) =>
    (await harness.command(host.io, { opcode, nsid: 1 }, options)).status;
  const source = new Uint8Array(32);
  encodeCopyRange(new DataView(source.buffer), 0, 0, 1, 1);
  const reads = [
    await io(nvmOpcode.read, { length: 512 }),
    await io(nvmOpcode.compare, { data }),
    await io(nvmOpcode.verify),
  ];
  const writes = [
    await io(nvmOpcode.write, { data }),
    await io(nvmOpcode.writeZeroes),
    await io(nvmOpcode.flush),
    await io(nvmOpcode.datasetManagement, { data }),
    await io(nvmOpcode.copy, { data: source }),
    (await harness.command(host.io, { opcode: nvmOpcode.flush, nsid: 0xffff_ffff })).status,
  ];
  return [reads, writes];
}

test('without a reservation, registrations refuse nothing', async () => {
  await register();
  const free = [
    [0, 0, 0],
    [0, 0, 0, 0, 0, 0],
  ];
  expect([await statuses(a), await statuses(b)]).toEqual([free, free]);
});

// Base 2.0, 8.19: what a host may do that neither holds the reservation nor is registered, and one that is registered.
test.each([
  [1, 'write exclusive', [true, false], [true, false]],
  [2, 'exclusive access', [false, false], [false, false]],
  [3, 'write exclusive, registrants only', [true, false], [true, true]],
  [4, 'exclusive access, registrants only', [false, false], [true, true]],
  [5, 'write exclusive, all registrants', [true, false], [true, true]],
  [6, 'exclusive access, all registrants', [false, false], [true, true]],
])('type %i, %s', async (rtype, _, stranger, registrant) => {
  const status = (may: boolean) => (may ? 0 : CONFLICT);
  const expected = ([reads, writes]: boolean[]) => [
    Array(3).fill(status(reads!)),
    Array(6).fill(status(writes!)),
  ];
  const c = await TestHost.connect(harness, 3, { reactor: 1 });
  await register();
  expect(await a.acquire(1n, { rtype })).toBe(0);
  expect(await statuses(a), 'the holder').toEqual(expected([true, true]));
  expect(await statuses(b), 'a registrant').toEqual(expected(registrant));
  expect(await statuses(c), 'another host').toEqual(expected(stranger));
  expect(control.seen.length).toBeGreaterThan(0);
  // A controller that comes later is treated alike, and another of the holder's as the first.
  expect(await statuses(await TestHost.connect(harness, 4, { reactor: 0 }))).toEqual(expected(stranger));
  expect(await statuses(await TestHost.connect(harness, 1, { reactor: 1 }))).toEqual(expected([true, true]));
  expect(await a.release(1n, { rtype })).toBe(0);
  expect(await statuses(c)).toEqual(expected([true, true]));
});

test('a conflicting write that is under way ends before the command does, a later one is refused', async () => {
  await register();
  control.hold = true;
  const data = new Uint8Array(512);
  const write = b.io.send({ opcode: 1, nsid: 1 }, { data });
  const read = b.io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  const acquired = a.send(nvmOpcode.reservationAcquire, 1, { rtype: 1 }, 1n, 0n);
  await harness.pass(5);
  expect(a.io.take(acquired), 'not while the write may still reach the medium').toBeUndefined();
  expect(await b.write()).toBe(CONFLICT);
  expect(control.held).toHaveLength(2);
  release();
  expect((await harness.completion(b.io, write)).status).toBe(0);
  expect((await harness.completion(b.io, read)).status).toBe(0);
  expect((await harness.completion(a.io, acquired)).status).toBe(0);
});

test('what does not end within 10 s is reported, and the state is as the command made it', async () => {
  await register();
  control.hold = true;
  b.io.send({ opcode: 1, nsid: 1 }, { data: new Uint8Array(512) });
  const acquired = a.send(nvmOpcode.reservationAcquire, 1, { rtype: 2 }, 1n, 0n);
  await harness.pass(10_100, 50);
  expect((await harness.completion(a.io, acquired)).status).toBe(0x006);
  expect(harness.log.join('\n')).toMatch(/1 command\(s\) that it forbids have not ended/);
  expect(await b.read()).toBe(CONFLICT);
});

test('a read that the type lets be is not waited for', async () => {
  await register();
  control.hold = true;
  const read = b.io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  expect(await a.acquire(1n, { rtype: 1 })).toBe(0);
  release();
  expect((await harness.completion(b.io, read)).status).toBe(0);
});

test('a write whose data go to a place that was lent is waited for', async () => {
  await harness.bdev('Mem1', undefined, BLOCKS, ALL_TYPES | ioTypeMask(IoType.ZCOPY));
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem1' }));
  expect([await a.register(1n, {}, 0n, 2), await b.register(2n, {}, 0n, 2)]).toEqual([0, 0]);
  const write = b.io.send({ opcode: 1, nsid: 2 }, { length: 512, place: true });
  await harness.turns();
  const acquired = a.send(nvmOpcode.reservationAcquire, 2, { rtype: 1 }, 1n, 0n);
  await harness.pass(5);
  expect(a.io.take(acquired)).toBeUndefined();
  b.io.arriveInPlace(write, new Uint8Array(512));
  expect((await harness.completion(b.io, write)).status).toBe(0);
  expect((await harness.completion(a.io, acquired)).status).toBe(0);
  expect(() => b.io.send({ opcode: 1, nsid: 2 }, { length: 512, place: true })).toThrow('no place');
});

test('a write whose data come later is refused then', async () => {
  await register();
  const cid = b.io.send({ opcode: 1, nsid: 1 }, { data: new Uint8Array(512), hold: true });
  expect(await a.acquire(1n, { rtype: 1 })).toBe(0);
  b.io.arrive(cid);
  expect((await harness.completion(b.io, cid)).status).toBe(CONFLICT);
});

test.each(['compare', 'write'])('a Compare and Write whose %s comes after the reservation', async (late) => {
  await register();
  const data = new Uint8Array(512);
  const compare = b.io.send({ opcode: 5, nsid: 1, fuse: 1 }, { data, hold: late === 'compare' });
  const write = b.io.send({ opcode: 1, nsid: 1, fuse: 2 }, { data: data.fill(7), hold: late === 'write' });
  expect(await a.acquire(1n, { rtype: 1 }), 'is not held up by half of it').toBe(0);
  b.io.arrive(late === 'compare' ? compare : write);
  expect((await harness.completion(b.io, compare)).status, 'failed fused command').toBe(0x009);
  expect((await harness.completion(b.io, write)).status).toBe(CONFLICT);
  const { data: stored } = await harness.command(a.io, { opcode: 2, nsid: 1 }, { length: 512 });
  expect(stored[0]).toBe(0);
});

test('a Flush of all namespaces that is under way is waited for', async () => {
  await register();
  control.hold = true;
  const flush = b.io.send({ opcode: nvmOpcode.flush, nsid: 0xffff_ffff });
  const acquired = a.send(nvmOpcode.reservationAcquire, 1, { rtype: 1 }, 1n, 0n);
  await harness.pass(5);
  expect(a.io.take(acquired)).toBeUndefined();
  release();
  expect((await harness.completion(b.io, flush)).status).toBe(0);
  expect((await harness.completion(a.io, acquired)).status).toBe(0);
});

test('preempt and abort ends the commands of the other host, with a status of their own', async () => {
  await register();
  expect(await a.acquire(1n, { rtype: 1 })).toBe(0);
  control.hold = true;
  const data = new Uint8Array(512);
  const inBdev = a.io.send({ opcode: 1, nsid: 1 }, { data });
  const arriving = a.io.send({ opcode: 1, nsid: 1 }, { data, hold: true });
  const own = b.io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  const event = a.aer();
  await harness.turns();
  expect(await b.acquire(2n, { action: 2, rtype: 2 }, 1n)).toBe(0);
  expect((await harness.completion(a.io, inBdev)).status).toBe(0x01b);
  expect((await harness.completion(a.io, arriving)).status).toBe(0x01b);
  expect(b.io.take(own), 'its own goes on').toBeUndefined();
  release();
  expect((await harness.completion(b.io, own)).status).toBe(0);
  expect(await a.event(event)).toBe(EVENT);
  expect([await a.read(), await b.write()]).toEqual([CONFLICT, 0]);
  expect(await a.acquire(1n, { rtype: 2 })).toBe(CONFLICT);
});

test('a preempted command that cannot be aborted ends as it does, and is waited for', async () => {
  await register();
  expect(await a.acquire(1n, { rtype: 1 })).toBe(0);
  control.hold = true;
  const cid = a.io.send({ opcode: 1, nsid: 1 }, { data: new Uint8Array(512) });
  await harness.turns();
  const [held] = control.held.splice(0);
  const preempted = b.send(nvmOpcode.reservationAcquire, 1, { action: 2, rtype: 1 }, 2n, 1n);
  await harness.pass(5);
  expect(b.io.take(preempted)).toBeUndefined();
  control.held.push(held!);
  release();
  expect((await harness.completion(a.io, cid)).status).toBe(0);
  expect((await harness.completion(b.io, preempted)).status).toBe(0);
  // An abort that a host asks for is one of its own again.
  control.hold = true;
  const next = b.io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  await harness.command(b.admin, { opcode: 8, cdw10: ((next << 16) | 1) >>> 0 });
  expect((await harness.completion(b.io, next)).status).toBe(0x007);
});

test('the report names registrants, with 128-bit host identifiers', async () => {
  await register();
  expect(await b.acquire(2n, { rtype: 1 })).toBe(0);
  const status = await a.report();
  expect(status).toMatchObject({ generation: 2, rtype: 1, ptpls: 0 });
  expect(
    status.registered.map(({ cntlid, holder, rkey, hostid }) => [cntlid, holder, rkey, hex(hostid)]),
  ).toEqual([
    [0xffff, false, 1n, hex(hostidOf(1))],
    [0xffff, true, 2n, hex(hostidOf(2))],
  ]);
  const report = (fields: object, length: number) =>
    harness.command(a.io, { opcode: 0x0e, nsid: 1, ...fields }, { length });
  expect((await report({ cdw10: 15 }, 64)).status, 'without EDS').toBe(0x018 | DNR);
  const part = await report({ cdw10: 15, cdw11: 1 }, 64);
  expect([part.status, part.data[5]], 'the header says how many there are').toEqual([0, 2]);
  expect((await report({ cdw10: 31, cdw11: 1 }, 64)).status).toBe(0x00f | DNR);
});

test('the report of a subsystem with static controllers names them', async () => {
  const subnqn = `${SUBSYSTEM}:static`;
  await harness.bdev('Mem1');
  await harness.done(
    harness.target.createSubsystem({ nqn: subnqn, allow_any_host: true, static_controllers: true }),
  );
  await harness.done(harness.target.addListener(subnqn, { listen_address: ADDRESS }));
  await harness.done(harness.target.addNamespace(subnqn, { bdev_name: 'Mem1' }));
  const [first, other] = [
    await TestHost.connect(harness, 1, { subnqn, asked: CNTLID_STATIC }),
    await TestHost.connect(harness, 2, { subnqn, asked: CNTLID_STATIC }),
  ];
  const again = await TestHost.connect(harness, 1, { subnqn, asked: CNTLID_STATIC, reactor: 1 });
  expect([await first.register(1n), await other.register(2n)]).toEqual([0, 0]);
  const { registered } = await other.report();
  const cntlidsOf = (key: bigint) =>
    registered.filter(({ rkey }) => rkey === key).map(({ cntlid }) => cntlid);
  const cntlid = ({ admin }: TestHost) => admin.controller!.cntlid;
  expect([cntlidsOf(1n), cntlidsOf(2n)]).toEqual([[cntlid(first), cntlid(again)], [cntlid(other)]]);
});

test('commands that are wrong', async () => {
  const { io } = a;
  const data = new Uint8Array(15);
  expect((await harness.command(io, { opcode: 0x0d, nsid: 1 }, { data })).status).toBe(0x00f | DNR);
  expect((await harness.command(io, { opcode: 0x15, nsid: 1 }, { data: data.subarray(0, 7) })).status).toBe(
    0x00f | DNR,
  );
  expect(await a.register(1n, {}, 0n, 2)).toBe(0x00b | DNR);
  expect(await a.register(1n, { action: 7 })).toBe(0x002 | DNR);
  expect(await a.acquire(1n, { rtype: 1 })).toBe(CONFLICT);
  expect(await a.register(1n, { cptpl: 3 }), 'there is no file').toBe(0x002 | DNR);
});

test('the 17th registrant is one too many, unless the namespace takes more', async () => {
  for (let host = 1; host <= 17; host++)
    expect(await (await TestHost.connect(harness, host)).register(1n)).toBe(host <= 16 ? 0 : 0x138 | DNR);
  await harness.bdev('Mem1');
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem1', max_registrants: 1 }));
  expect(await a.register(1n, {}, 0n, 2)).toBe(0);
  expect(await b.register(1n, {}, 0n, 2)).toBe(0x138 | DNR);
});

test('hosts are notified: one page for each, an event until it is read', async () => {
  await register();
  const pages = async (host: TestHost) => {
    const { data } = await harness.logPage(host.admin, 0x80, 64);
    return reservationLog.decode(data);
  };
  expect(await pages(b)).toEqual({ lpc: 0, type: 0, nalp: 0, nsid: 0 });
  const [first, second] = [b.aer(), b.aer()];
  const silent = a.aer();
  expect(await a.acquire(1n, { rtype: 3 })).toBe(0);
  expect(await a.release(1n, { rtype: 3 })).toBe(0);
  expect(await a.release(1n, { action: 1 })).toBe(0);
  expect(await b.event(first)).toBe(EVENT);
  expect(await b.event(second), 'until the page is read').toBeUndefined();
  const retained = await harness.logPage(b.admin, 0x80, 64, { rae: true });
  expect(reservationLog.decode(retained.data)).toEqual({ lpc: 1, type: 2, nalp: 1, nsid: 1 });
  expect(await pages(b)).toEqual({ lpc: 1, type: 2, nalp: 1, nsid: 1 });
  expect(await b.event(second), 'there is one more').toBe(EVENT);
  expect(await pages(b)).toEqual({ lpc: 2, type: 3, nalp: 0, nsid: 1 });
  expect(await pages(b)).toEqual({ lpc: 0, type: 0, nalp: 0, nsid: 0 });
  expect(await a.event(silent), 'of what it did itself').toBeUndefined();
});

test('notifications can be masked, each kind for each namespace', async () => {
  await register();
  expect((await b.getFeature(MASK, 1)).dw0).toBe(0);
  expect(await b.setFeature(MASK, 1, 0xffff_fff5)).toBe(0);
  expect((await b.getFeature(MASK, 1)).dw0, 'reserved bits are not kept').toBe(4);
  const event = b.aer();
  await a.acquire(1n, { rtype: 3 });
  await a.release(1n, { rtype: 3 });
  expect(await b.event(event), 'released').toBeUndefined();
  await a.release(1n, { action: 1 });
  expect(await b.event(event), 'preempted').toBe(EVENT);
  expect(await b.setFeature(MASK, 0xffff_ffff, 2)).toBe(0);
  expect((await b.getFeature(MASK, 1)).dw0).toBe(2);
  expect((await b.getFeature(MASK, 0xffff_ffff)).status).toBe(0x002 | DNR);
  expect((await b.getFeature(MASK, 2)).status).toBe(0x00b | DNR);
  expect(await b.setFeature(MASK, 2, 0)).toBe(0x00b | DNR);
  expect((await a.getFeature(MASK, 1)).dw0, 'of another controller').toBe(0);
});

test('a controller that is reset has no masks', async () => {
  await b.setFeature(MASK, 1, 2);
  await harness.setCc(b.admin, 0);
  await harness.pass(50);
  await harness.setCc(b.admin, 0x46_0001);
  expect((await b.getFeature(MASK, 1)).dw0).toBe(0);
});

test('what controllers and namespaces say of reservations', async () => {
  const ns = identifyNamespace.decode((await harness.identify(a.admin, 0, 1)).data);
  expect(ns.rescap, 'all types, IEKEY as of 1.3').toBe(0xfe);
  const { data } = await harness.identify(a.admin, 1);
  expect(identifyController.decode(data).oncs & 0x20).toBe(0x20);
  expect((await harness.identify(a.admin, 8, 1)).data[2], 'independent of the command set').toBe(0xfe);
  const effects = new DataView((await harness.logPage(a.admin, 5, 4096)).data.buffer);
  for (const opcode of [0x0d, 0x0e, 0x11, 0x15]) expect(effects.getUint8(1024 + opcode * 4) & 1).toBe(1);
});

test('a namespace that goes takes its reservations along', async () => {
  await register();
  expect(await a.acquire(1n, { rtype: 2 })).toBe(0);
  await harness.done(harness.target.removeNamespace(SUBSYSTEM, 1));
  expect(await a.register(1n)).toBe(0x00b | DNR);
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem0' }));
  expect(await b.write()).toBe(0);
  expect((await a.report()).registered).toEqual([]);
});

test('a subsystem that is deleted while its hosts reserve', async () => {
  await register();
  control.hold = true;
  b.io.send({ opcode: 1, nsid: 1 }, { data: new Uint8Array(512) });
  a.send(nvmOpcode.reservationAcquire, 1, { rtype: 2 }, 1n, 0n);
  const deleted = harness.target.deleteSubsystem(SUBSYSTEM);
  await harness.turns();
  release();
  await harness.done(deleted);
  expect([a.io.removed, b.io.removed]).toEqual([true, true]);
});

test('reservations persist where they are to, and only there', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'spdk-ts-resv-'));
  try {
    const ptpl_file = join(folder, 'ns1.json');
    const again = async () => {
      await harness.done(harness.target.removeNamespace(SUBSYSTEM, 1));
      await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem0', ptpl_file }));
    };
    await again();
    const ns = identifyNamespace.decode((await harness.identify(a.admin, 0, 1)).data);
    expect(ns.rescap).toBe(0xff);
    await register();
    expect(existsSync(ptpl_file), 'nobody wants it kept').toBe(false);
    expect((await a.getFeature(PERSISTENCE, 1)).dw0).toBe(0);
    expect(await b.setFeature(PERSISTENCE, 1, 1)).toBe(0);
    expect((await a.getFeature(PERSISTENCE, 1)).dw0).toBe(1);
    expect(await a.acquire(1n, { rtype: 2 })).toBe(0);
    expect(JSON.parse(readFileSync(ptpl_file, 'utf8')).rtype, 'before the command has ended').toBe(2);
    await again();
    expect(await b.write()).toBe(CONFLICT);
    expect(await a.report()).toMatchObject({ rtype: 2, ptpls: 1, registered: [{ rkey: 1n }, { rkey: 2n }] });
    expect(await a.release(1n, { action: 1 })).toBe(0);
    expect(await a.register(3n, { cptpl: 2 })).toBe(0);
    await again();
    expect((await a.report()).registered).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a reservation that cannot be kept is not made', async () => {
  const ptpl_file = '/nowhere/at/all/ns1.json';
  await harness.done(harness.target.removeNamespace(SUBSYSTEM, 1));
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem0', ptpl_file }));
  expect(await a.register(1n, { cptpl: 3 })).toBe(0x006);
  expect((await a.report()).registered).toEqual([]);
  expect(harness.log.join('\n')).toMatch(/ENOENT/);
  expect(await a.register(1n)).toBe(0);
  await harness.bdev('Mem1');
  const twice = harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem1', ptpl_file });
  await expect(harness.done(twice)).rejects.toThrow(/ptpl_file .* is that of namespace 1/);
});
