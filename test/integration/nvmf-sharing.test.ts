/** Hosts that share namespaces over NVMe/TCP: reservations, masking, ANA states, and namespaces that come and go. */
import { join } from 'node:path';
import { Random } from '@spdk-ts/env';
import {
  adminOpcode,
  decodeAnaLog,
  decodeReservationStatus,
  encodeReservationFields,
  encodeReservationKeys,
  fid,
  lid,
  nvmOpcode,
  type ReservationFields,
  statusSc,
} from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Load, pattern, RawHost, type RawQueue, read, write } from '../host/index.ts';
import { freePort, type Json, listenAddress, Target } from '../linux-guest/target.ts';

const NQN = 'nqn.2026-11.io.spdk-ts:sharing';
const MiB = 1 << 20;
const CONFLICT = 0x4083;
const NO_NAMESPACE = 0x400b;
const seed = Number(process.env['SHARING_SEED'] ?? process.pid);

let target: Target;
let port: number;
let second: number;
const open: RawHost[] = [];

const nqnOf = (number: number) => `nqn.2014-08.org.nvmexpress:host${number}`;

/** A host of its own, by number, with I/O queues that the reactors share. */
async function connect(number: number, queues = 2, at = port): Promise<RawHost> {
  const host = await RawHost.connect({
    ...{ port: at, subnqn: NQN, hostnqn: nqnOf(number) },
    hostid: new Uint8Array(16).fill(number),
  });
  open.push(host);
  await host.setQueueCount(queues);
  await host.openQueues(queues);
  return host;
}
const closeAll = () => {
  for (const host of open.splice(0)) host.close();
};

async function reserve(
  queue: RawQueue,
  opcode: number,
  fields: Partial<ReservationFields>,
  ...keys: bigint[]
): Promise<number> {
  const command = { opcode, nsid: 1, psdt: 1, cdw10: encodeReservationFields(fields) };
  return (await queue.submit(command, encodeReservationKeys(...keys))).status;
}
const register = (host: RawHost, nrkey: bigint, fields: Partial<ReservationFields> = {}, crkey = 0n) =>
  reserve(host.queues[0]!, nvmOpcode.reservationRegister, fields, crkey, nrkey);
const acquire = (host: RawHost, crkey: bigint, fields: Partial<ReservationFields>, prkey = 0n) =>
  reserve(host.queues[0]!, nvmOpcode.reservationAcquire, fields, crkey, prkey);
const clear = (host: RawHost, crkey: bigint) =>
  reserve(host.queues[0]!, nvmOpcode.reservationRelease, { action: 1 }, crkey);
async function report(host: RawHost) {
  const { status, data } = await host.queues[0]!.submitRead(
    { opcode: nvmOpcode.reservationReport, nsid: 1, psdt: 1, cdw10: 1023, cdw11: 1 },
    4096,
  );
  expect(status).toBe(0);
  return decodeReservationStatus(data);
}

beforeAll(async () => {
  console.log(`SHARING_SEED=${seed}`);
  target = await Target.start();
  port = await freePort();
  second = await freePort();
  for (const name of ['m0', 'm1', 'm2']) await target.createMalloc(name, 16 * MiB);
  await target.createTransport();
  await target.rpc('nvmf_create_subsystem', {
    ...{ nqn: NQN, allow_any_host: true, ana_reporting: true, serial_number: 'SHARING' },
  });
  await target.rpc('nvmf_subsystem_add_ns', {
    ...{ nqn: NQN, namespace: { bdev_name: 'm0', ptpl_file: join(target.folder, 'm0.json') } },
  });
  for (const at of [port, second])
    await target.rpc('nvmf_subsystem_add_listener', { nqn: NQN, listen_address: listenAddress(at) });
});
afterAll(async () => {
  closeAll();
  try {
    expect(await target.stop(), target.output).toBe(0);
  } finally {
    await target.dispose();
  }
});

describe('reservations', () => {
  it('fence a host that writes as fast as it can: nothing of it arrives after the other has acquired', async () => {
    const random = new Random(seed);
    const [a, b] = [await connect(1, 1), await connect(2, 4)];
    for (let round = 0; round < 24; round++) {
      expect([await register(a, 1n), await register(b, 2n)]).toEqual([0, 0]);
      let running = true;
      const counts = { written: 0, refused: 0, aborted: 0 };
      const lane = async (queue: RawQueue, lba: number): Promise<void> => {
        for (let value = 0; running; value++) {
          const length = 512 * (1 + random.below(16));
          const { status } = await write(queue, lba, pattern(length, round * 1000 + value));
          if (status === 0) counts.written++;
          else if (status === CONFLICT) counts.refused++;
          else if (statusSc(status) === 0x1b) counts.aborted++;
          else throw new Error(`a write ended with status ${status.toString(16)}`);
        }
      };
      const lanes = b.queues.flatMap((queue, q) =>
        Array.from({ length: 8 }, (_, i) => lane(queue, (q * 8 + i) * 16)),
      );
      await new Promise((resolve) => setTimeout(resolve, random.below(8)));
      const rtype = 1 + random.below(2);
      const preempts = random.below(2) === 1;
      if (preempts) expect(await acquire(a, 1n, { action: 2, rtype }, 2n)).toBe(0);
      if (!preempts || (await report(a)).rtype === 0) expect(await acquire(a, 1n, { rtype })).toBe(0);
      const everything = async () => {
        const parts = [0, 256].map((lba) => read(a.queues[0]!, lba, 128 * 1024));
        return Buffer.concat((await Promise.all(parts)).map(({ data }) => data));
      };
      const before = await everything();
      const refused = counts.refused;
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(Buffer.compare(await everything(), before), `round ${round}, type ${rtype}`).toBe(0);
      while (counts.refused === refused) await new Promise((resolve) => setTimeout(resolve, 1));
      running = false;
      await Promise.all(lanes);
      expect(await clear(a, 1n)).toBe(0);
      expect((await write(b.queues[0]!, 0, pattern(512, 1))).status).toBe(0);
    }
    closeAll();
  });

  it('are the same on every queue and reactor, and shown by RPC', async () => {
    const [a, b, c] = [await connect(1, 4), await connect(2, 4), await connect(3, 4)];
    expect([await register(a, 0xffff_ffff_ffff_ffffn), await register(b, 2n)]).toEqual([0, 0]);
    expect(await acquire(a, 0xffff_ffff_ffff_ffffn, { rtype: 4 })).toBe(0);
    const data = pattern(512, 5);
    for (const queue of [...a.queues, ...b.queues]) expect((await write(queue, 8, data)).status).toBe(0);
    for (const queue of c.queues) {
      expect((await write(queue, 8, data)).status).toBe(CONFLICT);
      expect((await read(queue, 8, 512)).status).toBe(CONFLICT);
    }
    const hostid = (digit: number) => Buffer.alloc(16, digit);
    expect(await report(c)).toMatchObject({
      rtype: 4,
      registered: [
        { cntlid: 0xffff, holder: true, rkey: 0xffff_ffff_ffff_ffffn, hostid: new Uint8Array(hostid(1)) },
        { cntlid: 0xffff, holder: false, rkey: 2n, hostid: new Uint8Array(hostid(2)) },
      ],
    });
    const [shown] = await target.rpc('nvmf_ns_get_reservations', { nqn: NQN, nsid: 1 });
    expect(shown).toMatchObject({
      ...{ nsid: 1, rtype: 4, ptpl: false, num_registrants: 2, max_registrants: 16 },
      registrants: [
        { hostid: '01010101-0101-0101-0101-010101010101', rkey: '0xffffffffffffffff', holder: true },
        { rkey: '0x2', holder: false },
      ],
    });
    const { limits } = await target.rpc('spdk_ts_nvmf_get_limits');
    expect(limits).toContainEqual({ name: 'registrants', scope: 'namespace', limit: 16, current: 2 });
    expect(await clear(b, 2n)).toBe(0);
    closeAll();
  });

  it('survive kill -9 if they are to, and hosts that come back find them', async () => {
    const a = await connect(1);
    expect(await register(a, 7n, { cptpl: 3 })).toBe(0);
    expect(await register(await connect(2), 8n)).toBe(0);
    expect(await acquire(a, 7n, { rtype: 1 })).toBe(0);
    closeAll();
    const config: Json = await target.config();
    target = await target.replaceBy(config);
    expect(await target.config()).toEqual(config);
    const [again, b] = [await connect(1), await connect(2)];
    expect(await report(b)).toMatchObject({ rtype: 1, ptpls: 1, registered: [{ rkey: 7n }, { rkey: 8n }] });
    const data = pattern(512, 9);
    expect((await write(b.queues[0]!, 0, data)).status).toBe(CONFLICT);
    expect((await write(again.queues[1]!, 0, data)).status).toBe(0);
    // Killed once more while a host changes them without pause: what was acknowledged last is there, or what came next.
    let acknowledged = 8n;
    const changing = (async () => {
      for (let key = 9n; ; key++) {
        expect(await register(b, key, { action: 2 }, key - 1n)).toBe(0);
        acknowledged = key;
      }
    })();
    const broken = expect(changing).rejects.toThrow(/connection/);
    await new Promise((resolve) => setTimeout(resolve, 200));
    open.splice(0);
    target = await target.replaceBy(config);
    await broken;
    const after = await report(await connect(3));
    expect(after).toMatchObject({ rtype: 1, registered: [{ rkey: 7n, holder: true }, { holder: false }] });
    expect(acknowledged).toBeGreaterThan(8n);
    expect([acknowledged, acknowledged + 1n]).toContain(after.registered[1]!.rkey);
    const last = await connect(1);
    expect(await register(last, 7n, { cptpl: 2 })).toBe(0);
    expect(await clear(last, 7n)).toBe(0);
    closeAll();
    target = await target.replaceBy(config);
    expect((await report(await connect(1))).registered).toEqual([]);
    closeAll();
  });
});

describe('masking', () => {
  const active = async (host: RawHost) => {
    const list = await host.identify(2);
    return Array.from({ length: 8 }, (_, i) => list.readUInt32LE(i * 4)).filter((nsid) => nsid !== 0);
  };

  it('a host sees a namespace when it is let, and loses it without an error of other I/O', async () => {
    const [a, b] = [await connect(1), await connect(2)];
    await target.rpc('nvmf_subsystem_add_ns', {
      ...{ nqn: NQN, namespace: { bdev_name: 'm1', nsid: 2, no_auto_visible: true } },
    });
    const load = new Load(b.queues, { depth: 4, bytes_max: 64 * 1024, seed });
    load.start();
    const aer = a.admin.submit({ opcode: adminOpcode.asyncEventRequest, psdt: 1 });
    for (let i = 0; i < 10; i++) {
      expect(await active(a)).toEqual([1]);
      expect((await read(a.queues[0]!, 0, 512, { nsid: 2 })).status).toBe(NO_NAMESPACE);
      await target.rpc('nvmf_ns_add_host', { nqn: NQN, nsid: 2, host: nqnOf(1) });
      expect([await active(a), await active(b)]).toEqual([[1, 2], [1]]);
      for (const queue of a.queues)
        expect((await write(queue, 0, pattern(4096, i), { nsid: 2 })).status).toBe(0);
      expect((await read(b.queues[1]!, 0, 512, { nsid: 2 })).status).toBe(NO_NAMESPACE);
      await target.rpc('nvmf_ns_remove_host', { nqn: NQN, nsid: 2, host: nqnOf(1) });
    }
    expect((await aer).dw0).toBe(0x04_0002);
    await load.stop();
    expect(load.verified).toBeGreaterThan(0);
    await target.rpc('nvmf_subsystem_remove_ns', { nqn: NQN, nsid: 2 });
    closeAll();
  });
});

describe('namespaces that come and go', () => {
  it('leave the I/O of others alone', async () => {
    const host = await connect(1, 4);
    const load = new Load(host.queues, { depth: 4, bytes_max: 128 * 1024, seed });
    load.start();
    const other = await connect(2, 2);
    for (let i = 0; i < 20; i++) {
      await target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'm2', nsid: 9 } });
      const busy = other.queues.flatMap((queue) =>
        Array.from({ length: 8 }, (_, n) => write(queue, n * 8, pattern(4096, n), { nsid: 9 })),
      );
      await target.rpc('nvmf_subsystem_remove_ns', { nqn: NQN, nsid: 9 });
      for (const { status } of await Promise.all(busy)) expect([0, NO_NAMESPACE]).toContain(status);
    }
    await load.stop();
    expect(load.verified).toBeGreaterThan(0);
    closeAll();
  });
});

describe('ANA', () => {
  it('states differ by listener, change live, and hosts are told', async () => {
    const [a, b] = [await connect(1), await connect(1, 2, second)];
    const states = async (host: RawHost) => {
      const { status, data } = await host.admin.submitRead(
        { opcode: adminOpcode.getLogPage, psdt: 1, cdw10: lid.ana | (255 << 16) },
        1024,
      );
      expect(status).toBe(0);
      return decodeAnaLog(data).groups.map(({ anagrpid, state }) => [anagrpid, state]);
    };
    const set = (at: number, ana_state: string) =>
      target.rpc('nvmf_subsystem_listener_set_ana_state', {
        ...{ nqn: NQN, listen_address: listenAddress(at), ana_state },
      });
    expect([await states(a), await states(b)]).toEqual([[[1, 1]], [[1, 1]]]);
    // Its events begin when it has asked for them, as Linux does.
    await b.admin.submit({
      ...{ opcode: adminOpcode.setFeatures, psdt: 1, cdw10: fid.asyncEventConfiguration, cdw11: 0x900 },
    });
    const aer = b.admin.submit({ opcode: adminOpcode.asyncEventRequest, psdt: 1 });
    await set(second, 'inaccessible');
    expect((await aer).dw0).toBe(0x0c_0302);
    expect([await states(a), await states(b)]).toEqual([[[1, 1]], [[1, 3]]]);
    for (const queue of b.queues) expect((await read(queue, 0, 512)).status).toBe(0x302);
    for (const queue of a.queues) expect((await read(queue, 0, 512)).status).toBe(0);
    await set(second, 'non_optimized');
    expect(await states(b)).toEqual([[1, 2]]);
    for (const queue of b.queues) expect((await read(queue, 0, 512)).status).toBe(0);
    closeAll();
  });
});
