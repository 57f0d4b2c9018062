import { errorLogEntry, identifyController } from '@spdk-ts/nvme-spec';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FakeQpair } from '../test-support/fake-transport.ts';
import { ADDRESS, Harness, SUBSYSTEM } from '../test-support/harness.ts';

const DNR = 0x4000;
let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start(2);
});
afterEach(() => harness.stop());

async function subsystem(name: string, options: object): Promise<string> {
  const nqn = `nqn.2016-06.io.spdk:${name}`;
  await harness.done(harness.target.createSubsystem({ nqn, allow_any_host: true, ...options }));
  await harness.done(harness.target.addListener(nqn, { listen_address: ADDRESS }));
  return nqn;
}

test('static controllers are asked for by their id, or any of them', async () => {
  const subnqn = await subsystem('static', { static_controllers: true, min_cntlid: 5, max_cntlid: 7 });
  const ask = async (cntlid: number) => (await harness.connect(0, { subnqn, cntlid })).completion;
  expect(await ask(6)).toMatchObject({ status: 0, dw0: 6 });
  expect(await ask(0xfffe)).toMatchObject({ status: 0, dw0: 5 });
  expect((await ask(6)).status, 'in use').toBe(0x181);
  // Connect Invalid Parameters: IATTR 1, the data; IPO 16, CNTLID.
  for (const cntlid of [4, 8, 0xffff])
    expect(await ask(cntlid)).toMatchObject({ status: 0x182 | DNR, dw0: 0x1_0010 });
  expect(await ask(0xfffe)).toMatchObject({ status: 0, dw0: 7 });
  expect((await ask(0xfffe)).status, 'none is left').toBe(0x181);
  const { admin } = await harness.controller({ subnqn: SUBSYSTEM });
  const cdata = async (qpair: FakeQpair) =>
    identifyController.decode((await harness.identify(qpair, 1)).data);
  expect((await cdata(admin)).fcatt, 'dynamic').toBe(0);
});

test('controllers of a static subsystem say so', async () => {
  const subnqn = await subsystem('static', { static_controllers: true });
  const { admin } = await harness.controller({ subnqn, cntlid: 9 });
  expect(identifyController.decode((await harness.identify(admin, 1)).data)).toMatchObject({
    ...{ cntlid: 9, fcatt: 1 },
  });
});

test('an NVM subsystem reset ends every association of that subsystem', async () => {
  const subnqn = await subsystem('reset', { enable_nssr: true });
  const first = await harness.controller({ subnqn });
  const second = await harness.controller({ subnqn }, 1);
  const other = await harness.controller();
  const CAP_NSSRS = 1 << 4;
  expect((await harness.getProperty(first.admin, 0, 1)).dw1 & CAP_NSSRS).toBe(CAP_NSSRS);
  expect((await harness.getProperty(other.admin, 0, 1)).dw1 & CAP_NSSRS).toBe(0);
  const nssr = (qpair: FakeQpair, value: number) =>
    harness.command(qpair, { opcode: 0x7f, nsid: 0, cdw11: 0x20, cdw12: value });
  expect((await nssr(other.admin, 0x4e56_4d65)).status, 'it has none').toBe(0x002 | DNR);
  expect((await nssr(first.admin, 1)).status, 'another value does nothing').toBe(0);
  await harness.turns();
  expect(first.admin.disconnecting).toBe(false);
  await nssr(first.admin, 0x4e56_4d65);
  await harness.turns();
  expect([first, second, other].map(({ admin }) => admin.removed)).toEqual([true, true, false]);
  await harness.controller({ subnqn });
});

test('the timestamp goes on from what the host has set', async () => {
  const { admin } = await harness.controller();
  const get = async (select = 0) =>
    Buffer.from(
      (await harness.command(admin, { opcode: 0x0a, cdw10: 0x0e | (select << 8) }, { length: 8 })).data,
    );
  await harness.pass(3_000);
  const early = await get();
  expect(early.readUIntLE(0, 6)).toBeGreaterThanOrEqual(3_000);
  expect([early[6], early[7]], 'origin: reset').toEqual([0, 0]);
  const data = Buffer.alloc(8);
  const time = 0x0190_1234_5678;
  data.writeUIntLE(time, 0, 6);
  expect((await harness.command(admin, { opcode: 9, cdw10: 0x0e }, { data })).status).toBe(0);
  await harness.pass(5_000);
  const later = await get();
  expect(later.readUIntLE(0, 6) - time).toBeGreaterThanOrEqual(5_000);
  expect(later.readUIntLE(0, 6) - time).toBeLessThan(5_100);
  expect(later[6], 'origin: Set Features').toBe(2);
  expect([...(await get(1))], 'by default').toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  const short = await harness.command(admin, { opcode: 9, cdw10: 0x0e }, { data: data.subarray(0, 4) });
  expect(short.status).toBe(0x00f | DNR);
});

test('the error log says where in the command the error is', async () => {
  const controller = await harness.controller();
  const { admin } = controller;
  const at = async (sent: Promise<unknown>) => {
    await sent;
    const entry = errorLogEntry.decode((await harness.logPage(admin, 1, 64)).data);
    return [entry.opc, entry.parameterErrorLocation];
  };
  const io = await harness.ioQueue(controller);
  const send = (fields: Parameters<FakeQpair['send']>[0], length = 4096) =>
    at(harness.command(admin, fields, { length }));
  expect(await send({ opcode: 0xff }, 0), 'opcode').toEqual([0xff, 0]);
  expect(await send({ opcode: 6, cdw10: 0x10 }), 'CNS').toEqual([6, 40]);
  expect(await send({ opcode: 6, cdw10: 0, nsid: 99 }), 'NSID').toEqual([6, 4]);
  expect(await send({ opcode: 6, cdw10: 6, cdw11: 2 << 24 }), 'CSI').toEqual([6, 47]);
  expect(await send({ opcode: 0x0a, cdw10: 0xc0 }, 0), 'FID').toEqual([0x0a, 40]);
  expect(await send({ opcode: 0x0a, cdw10: 1 | (5 << 8) }, 0), 'SEL').toEqual([0x0a, 41]);
  expect(await send({ opcode: 9, cdw10: 0x8000_0001 }, 0), 'SV, bit 7 of byte 43').toEqual([9, 0x72b]);
  expect(await send({ opcode: 9, cdw10: 2, cdw11: 1 }, 0), 'value').toEqual([9, 44]);
  expect(await send({ opcode: 2, cdw10: 0xc0 }, 4), 'LID').toEqual([2, 40]);
  expect(await send({ opcode: 2, cdw10: 3, cdw12: 2 }, 4), 'LPO').toEqual([2, 48]);
  expect(await send({ opcode: 8, nsid: 1 }, 0), 'NSID').toEqual([8, 4]);
  const read = (fields: object) =>
    at(harness.command(io, { opcode: 2, nsid: 1, ...fields }, { length: 512 }));
  expect(await read({ cdw10: 0x10_0000 }), 'SLBA').toEqual([2, 40]);
  expect(await read({ nsid: 5 }), 'NSID').toEqual([2, 4]);
});

test('the changed namespace list can be read in parts, and again while the event is retained', async () => {
  const { admin } = await harness.controller();
  await harness.bdev('Mem1');
  await harness.bdev('Mem2');
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem1' }));
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem2' }));
  await harness.turns();
  const list = async (offset: number, length: number) => {
    const { data } = await harness.logPage(admin, 4, length, { offset });
    return [...new Uint32Array(data.buffer, data.byteOffset, length / 4)];
  };
  expect(await list(0, 4)).toEqual([2]);
  expect(await list(4, 8)).toEqual([3, 0]);
  expect(await list(0, 8), 'it has been read').toEqual([0, 0]);
});

test('a host that no longer wants an event that waits is not told of it', async () => {
  const { admin } = await harness.controller();
  await harness.done(harness.target.removeNamespace(SUBSYSTEM, 1));
  await harness.command(admin, { opcode: 9, cdw10: 0x0b, cdw11: 0 });
  const cid = admin.send({ opcode: 0x0c });
  await harness.turns();
  expect(admin.take(cid)).toBeUndefined();
});
