/** Hosts that take or give their bytes one at a time, or stop: nobody else may notice. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { nvmOpcode, pduHeaderLength, pduType, sglId } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Load, pattern, type RawHost, read } from '../host/index.ts';
import { SERVICE_LBA, TcpTarget } from '../integration/nvmf-tcp-target.ts';
import { soakSeed } from './duration.ts';

/** Commands that a slow peer has outstanding, and the bytes that each reads: more than the kernel buffers. */
const DEPTH = 120;
const READ_BYTES = 128 * 1024;
/** What the others must get done beside it. */
const ENOUGH = 2000;
/** The slow peers' own blocks, which the load leaves alone. */
const SLOW_LBA = SERVICE_LBA - 4096;

let target: TcpTarget;
const seed = soakSeed;

beforeAll(async () => {
  console.log(`LOAD_SEED=${seed}`);
  target = await TcpTarget.start();
});
beforeEach(() => target.expectService());
afterAll(() => target?.stop());

/** Runs until others have done enough, on every reactor. */
async function othersGoOn(): Promise<void> {
  const host: RawHost = await target.host(6);
  const load = new Load(host.queues, { depth: 8, bytes_max: 16_384, seed });
  load.start();
  await load.until(() => load.verified >= ENOUGH && load.verifiedOf.every((count) => count >= ENOUGH / 20));
  await load.stop();
  host.close();
}

/** A host with everything outstanding that a queue of 128 entries can have, which takes one byte in a millisecond. */
async function slowReader(): Promise<{ host: RawHost; taken: () => number; finish: () => Promise<void> }> {
  const host = await target.host(1, { entries: 128 });
  const [queue] = host.queues;
  const done = Array.from({ length: DEPTH }, () => read(queue!, SLOW_LBA, READ_BYTES));
  // From now on nothing is read from its socket but here; what was, is given to the queue in the end.
  const { socket } = queue!.stream;
  const [take] = socket.listeners('data') as [(chunk: Buffer) => void];
  socket.removeListener('data', take);
  socket.pause();
  const bytes: Buffer[] = [];
  const timer = setInterval(() => {
    const byte = socket.read(1) as Buffer | null;
    if (byte !== null) bytes.push(byte);
  }, 1);
  const finish = async (): Promise<void> => {
    clearInterval(timer);
    take(Buffer.concat(bytes));
    socket.on('data', take);
    socket.resume();
    for (const { status, data } of await Promise.all(done))
      expect([status, data.length]).toEqual([0, READ_BYTES]);
    host.close();
  };
  return { host, taken: () => bytes.length, finish };
}

it('a peer that reads one byte in a millisecond, and gets everything in the end', async () => {
  const peers = await Promise.all([slowReader(), slowReader(), slowReader()]);
  await othersGoOn();
  for (const { taken, finish } of peers) {
    expect(taken()).toBeGreaterThan(0);
    await finish();
  }
});

it('a peer that sends one byte in a millisecond, and whose write is right all the same', async () => {
  const host = await target.host(1);
  const [queue] = host.queues;
  const data = pattern(512, seed);
  const cid = queue!.newCid();
  const done = queue!.expect(cid);
  const sgl1 = { identifier: sglId.inCapsule, address: 0, length: data.length };
  const fields = { opcode: nvmOpcode.write, nsid: 1, psdt: 1, cid, sgl1, cdw10: SLOW_LBA };
  const capsule = queue!.capsule(fields, data);
  let sent = 0;
  const timer = setInterval(() => {
    if (sent < capsule.length) queue!.stream.send(capsule.subarray(sent, ++sent));
  }, 1);
  await othersGoOn();
  expect((await done).status).toBe(0);
  clearInterval(timer);
  expect(Buffer.compare((await read(queue!, SLOW_LBA, 512)).data, data)).toBe(0);
  host.close();
});

it('peers that stop in the middle of their data', async () => {
  const hosts = await Promise.all([1, 2, 3, 4].map(() => target.host(1)));
  for (const host of hosts) {
    const [queue] = host.queues;
    const data = pattern(65_536, seed);
    let stopped = 0;
    // Answers every R2T with the first bytes of a PDU that never ends; the connection can carry only one of these.
    queue!.stream.deliver((pdu) => {
      if (pdu.type !== pduType.r2t || stopped++ > 0) return;
      const whole = queue!.h2cData(pdu.view.getUint16(8, true), pdu.view.getUint16(10, true), 0, data, true);
      queue!.stream.send(whole.subarray(0, pduHeaderLength.h2cData + 10_000));
    });
    for (let i = 0; i < 30; i++) {
      const cid = queue!.newCid();
      queue!.expect(cid).catch(() => {});
      const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: data.length };
      const fields = { opcode: nvmOpcode.write, nsid: 1, psdt: 1, cid, sgl1, cdw10: SLOW_LBA, cdw12: 127 };
      queue!.stream.send(queue!.capsule(fields));
    }
    while (stopped === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await othersGoOn();
  expect(hosts.some((host) => host.queues[0]!.stream.ended)).toBe(false);
  for (const host of hosts) host.close();
});

it('many that connect and say nothing, or half a word', async () => {
  const sockets = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const socket = connect({ port: target.port, host: '127.0.0.1' });
      await once(socket, 'connect');
      socket.on('error', () => {});
      if (i % 2 === 0) socket.write(new Uint8Array([0, 0, 128, 0]));
      return socket;
    }),
  );
  await othersGoOn();
  for (const socket of sockets) socket.destroy();
});
