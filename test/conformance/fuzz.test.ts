/**
 * Exchanges of a host that were recorded, changed by chance, and PDUs and capsules that fast-check makes: the target
 * goes on, other hosts' data are theirs, and nothing is left of the connections. Each run prints its seed;
 * `npm run test:conformance -- --seed N --rounds N fuzz` replays it.
 */
import { readdirSync } from 'node:fs';
import { Random } from '@spdk-ts/env';
import {
  adminOpcode,
  FABRICS_OPCODE,
  fabricsType,
  fid,
  lid,
  pduHeaderLength,
  register,
} from '@spdk-ts/nvme-spec';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mendDigest, mutateExchange } from '../../packages/nvmf/test-support/mutate.ts';
import { DEFAULT_HOSTID, PduStream, pattern, RawHost, RawQueue, read, write } from '../host/index.ts';
import { eventually, listenAddress } from '../linux-guest/target.ts';
import { getFeature, getLog, identify, setFeature } from './admin.ts';
import type { TcpAddress } from './bench.ts';
import { rounds, seed } from './options.ts';
import { type OwnTarget, startOwn } from './own-target.ts';
import { icReq, pdu } from './pdus.ts';
import { TcpBench } from './tcp-bench.ts';

const WITNESS_NQN = 'nqn.2026-11.io.spdk-ts:witness';
/** How long a target may take over an exchange before the host closes. */
const PATIENCE_MS = 20;
/** Exchanges between two looks at the other host. */
const LOOK = 10;
const PROPERTY_RUNS = 60;

let own: OwnTarget<TcpAddress>;
/** A host of another subsystem, with data of its own: nothing here may disturb it. */
let witness: TcpBench;
/** The controller that recorded I/O queues belong to. */
let host: RawHost;

console.log(`seed ${seed}`);

beforeAll(async () => {
  own = await startOwn();
  const { target, address } = own;
  await target.createMalloc('Witness', 8 << 20);
  await target.rpc('nvmf_create_subsystem', { nqn: WITNESS_NQN, allow_any_host: true });
  await target.rpc('nvmf_subsystem_add_ns', { nqn: WITNESS_NQN, namespace: { bdev_name: 'Witness' } });
  await target.rpc('nvmf_subsystem_add_listener', {
    nqn: WITNESS_NQN,
    listen_address: listenAddress(address.port),
  });
  witness = await TcpBench.start({ ...address, subnqn: WITNESS_NQN }, seed);
});

afterAll(async () => {
  host?.close();
  witness?.close();
  expect(await own?.target.stop(), own?.target.output).toBe(0);
  await own?.target.dispose();
});

async function undisturbed(what: string): Promise<void> {
  expect(own.target.running, `${what}\n${own.target.output}`).toBe(true);
  expect(await witness.disturbed(), `${what}\n${own.target.output.split('\n').slice(-20).join('\n')}`).toBe(
    '',
  );
}

/** An admin queue at its work: every PDU that its host sends. */
async function recordAdmin(digests: number): Promise<Uint8Array[]> {
  const record: Uint8Array[] = [];
  const recorded = await RawHost.connect({ ...own.address, digests, record });
  const { admin } = recorded;
  await Promise.all([
    identify(admin, 1),
    identify(admin, 0, { nsid: 1 }),
    identify(admin, 2),
    getLog(admin, lid.smart, 512),
    getLog(admin, lid.errorInformation, 256),
    getFeature(admin, fid.numberOfQueues),
    setFeature(admin, fid.hostBehaviorSupport, {}, new Uint8Array(512)),
    setFeature(admin, fid.keepAliveTimer, { cdw11: 15_000 }),
    recorded.setQueueCount(4),
    admin.submit({ opcode: adminOpcode.keepAlive, psdt: 1 }),
    admin.submit({ opcode: adminOpcode.abort, psdt: 1, cdw10: 0x10_0000 }),
  ]);
  admin.stream.send(admin.capsule({ opcode: adminOpcode.asyncEventRequest, psdt: 1, cid: admin.newCid() }));
  await recorded.putProperty(register.cc, 0, 0);
  recorded.close();
  return record;
}

/** An I/O queue of {@link host} at its work: in-capsule and R2T writes, reads, flush, deallocation, Disconnect. */
async function recordIo(digests: number): Promise<Uint8Array[]> {
  if (host === undefined || host.admin.stream.ended) {
    host = await RawHost.connect(own.address);
    await host.setQueueCount(4);
  }
  const record: Uint8Array[] = [];
  const { port, host: to, subnqn, hostnqn } = own.address;
  const queue = await RawQueue.open({ port, host: to, digests, record });
  const attempt = { subnqn, hostnqn, hostid: DEFAULT_HOSTID, cntlid: host.admin.cntlid, qid: 1, entries: 64 };
  // What was sent before may still be on its way out.
  await eventually(
    10,
    'the queue identifier is free',
    async () => (await queue.connectWith(attempt)).status === 0,
  );
  record.splice(1, record.length - 2);
  await Promise.all([
    write(queue, 0, pattern(4096, 1)),
    write(queue, 8, pattern(16_384, 2), { way: 'r2t' }),
    read(queue, 0, 4096),
    read(queue, 8, 16_384),
    queue.submit({ opcode: 0x00, nsid: 1, psdt: 1 }),
    queue.submit({ opcode: 0x08, nsid: 1, psdt: 1, cdw10: 64, cdw12: 7 }),
    queue.submit({ opcode: 0x09, nsid: 1, psdt: 1, cdw11: 4 }, new Uint8Array(16)),
  ]);
  await queue.submit({ opcode: FABRICS_OPCODE, nsid: fabricsType.disconnect, psdt: 1 });
  queue.close();
  return record;
}

/** Sends what is left of an exchange, torn anywhere, and goes: in order, or with a reset. */
async function send(random: Random, pdus: readonly Uint8Array[]): Promise<void> {
  const stream = await PduStream.open(own.address.port, own.address.host);
  stream.deliver(() => {});
  const bytes = Buffer.concat(pdus);
  if (random.below(4) === 0) await stream.sendTorn(bytes, () => 1 + random.below(600));
  else stream.send(bytes);
  await Promise.race([
    stream.closed,
    new Promise((resolve) => setTimeout(resolve, random.below(PATIENCE_MS))),
  ]);
  if (random.below(2) === 0) stream.socket.resetAndDestroy();
  else stream.destroy();
}

it(`${rounds} recorded exchanges with changes leave the target and its other hosts as they were`, {
  timeout: 120_000,
}, async () => {
  const random = new Random(seed);
  const recorded: Uint8Array[][] = [];
  for (const digests of [0, 1, 2, 3]) recorded.push(await recordAdmin(digests), await recordIo(digests));
  const target = own.target;
  await undisturbed('the first round');
  const before = readdirSync(`/proc/${target.pid}/fd`).length;
  for (let round = 0; round < rounds; round++) {
    await send(random, mutateExchange(random, recorded[random.below(recorded.length)]!));
    if (round % LOOK === 0) await undisturbed(`round ${round}`);
    // The association may have been ended by a change that made a command of its admin queue's.
    if (host.admin.stream.ended)
      for (const digests of [0, 1, 2, 3]) recorded[2 * digests + 1] = await recordIo(digests);
  }
  await undisturbed('the last round');
  host.close();
  await eventually(30, 'only the witness is left', async () => (await target.controllers()).length <= 1);
  await eventually(
    30,
    'descriptors are given back',
    () => readdirSync(`/proc/${target.pid}/fd`).length <= before,
  );
});

/** A PDU as a host might send it, or not. */
const anyPdu = fc
  .record({
    type: fc.oneof(fc.constantFrom(0, 2, 4, 4, 4, 6, 6), fc.nat(255)),
    flags: fc.oneof(fc.constantFrom(0, 0, 4), fc.nat(255)),
    hlen: fc.oneof(fc.constantFrom(128, 24, 72, 72, 24), fc.nat(255)),
    pdo: fc.oneof(fc.constantFrom(0, 24, 72, 76), fc.nat(255)),
    extra: fc.oneof(fc.constantFrom(0, 0, 512, 4096), fc.nat(70_000)),
    body: fc.uint8Array({ maxLength: 256 }),
  })
  .map(({ type, flags, hlen, pdo, extra, body }) => {
    const bytes = pdu({ type, flags, hlen, pdo, plen: hlen + extra, bytes: hlen + Math.min(extra, 8192) });
    bytes.set(body.subarray(0, Math.max(0, bytes.length - 8)), 8);
    return bytes;
  });

/** A capsule whose command is anything, on a queue that is connected. */
const anyCommand = fc.record({
  opcode: fc.oneof(
    fc.constantFrom(0, 1, 2, 5, 6, 8, 9, 10, 12, 0x18, 0x7f, 0x79, 0x7a, 0x7d, 0x0d, 0x11, 0x15),
    fc.nat(255),
  ),
  fuse: fc.constantFrom(0, 0, 0, 1, 2, 3),
  psdt: fc.constantFrom(1, 1, 1, 0, 2, 3),
  nsid: fc.oneof(fc.constantFrom(0, 1, 1, 1, 2, 3, 0xffff_ffff), fc.nat(0xffff_ffff)),
  identifier: fc.oneof(fc.constantFrom(0x01, 0x01, 0x5a, 0x5a), fc.nat(255)),
  address: fc.constantFrom(0, 0, 0, 1, 4096, 2 ** 40),
  length: fc.oneof(fc.constantFrom(0, 512, 4096, 8192), fc.nat(0xffff_ffff)),
  cdw10: fc.oneof(fc.nat(255), fc.nat(0xffff_ffff)),
  cdw11: fc.oneof(fc.constant(0), fc.nat(0xffff_ffff)),
  cdw12: fc.oneof(fc.nat(31), fc.nat(0xffff_ffff)),
  cdw13: fc.oneof(fc.constant(0), fc.nat(0xffff_ffff)),
  data: fc.uint8Array({ maxLength: 1024 }),
});

const options = { numRuns: PROPERTY_RUNS, seed, endOnFailure: true, interruptAfterTimeLimit: 60_000 };

it('any PDUs behind a handshake are answered, or end their connection', { timeout: 120_000 }, async () => {
  const digests = fc.constantFrom(0, 1, 2, 3);
  await fc.assert(
    fc.asyncProperty(
      digests,
      fc.array(anyPdu, { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      async (dgst, pdus, mended) => {
        const stream = await PduStream.open(own.address.port, own.address.host);
        stream.deliver(() => {});
        stream.send(icReq({ dgst }), ...(mended ? pdus.map(mendDigest) : pdus));
        await Promise.race([stream.closed, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
        stream.destroy();
        await undisturbed('any PDUs');
      },
    ),
    options,
  );
});

it('any commands are answered, or end their connection', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(anyCommand, { minLength: 1, maxLength: 12 }),
      async (io, commands) => {
        const connected = await RawHost.connect(own.address);
        await connected.setQueueCount(1);
        const queue = io ? (await connected.openQueues(1))[0]! : connected.admin;
        queue.lenient = true;
        for (const { identifier, address, length, data, ...fields } of commands) {
          const sgl1 = { identifier, address, length };
          const body = identifier === 0x01 ? data : new Uint8Array(0);
          queue.stream.send(queue.capsule({ ...fields, cid: queue.newCid(), sgl1 }, body));
        }
        await Promise.race([queue.stream.closed, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
        connected.close();
        await undisturbed('any commands');
      },
    ),
    options,
  );
});

it('an ICReq in any form is answered, or ends its connection', { timeout: 60_000 }, async () => {
  const fields = fc.record({
    pfv: fc.nat(0xffff),
    hpda: fc.nat(255),
    dgst: fc.nat(255),
    maxr2t: fc.nat(0xffff_ffff),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.option(fields),
      fc.uint8Array({ maxLength: pduHeaderLength.icReq }),
      async (made, noise) => {
        const stream = await PduStream.open(own.address.port, own.address.host);
        stream.deliver(() => {});
        stream.send(made === null ? noise : icReq({ ...made, maxr2t: Math.max(1, made.maxr2t) }), noise);
        await Promise.race([stream.closed, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS / 4))]);
        stream.destroy();
        await undisturbed('an ICReq');
      },
    ),
    options,
  );
});
