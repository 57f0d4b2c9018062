import { Keyring } from '@spdk-ts/keyring';
import { groupPrime } from '@spdk-ts/nvme-auth';
import { authReceive, authSend } from '@spdk-ts/nvme-spec';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { authenticate } from '../../../test/host/dhchap.ts';
import { authenticateQueue, completed, exchangeOn, KeyFiles, secretOf } from '../test-support/auth.ts';
import { type FakeQpair, HOST } from '../test-support/fake-transport.ts';
import { ENABLE, Harness, SUBSYSTEM } from '../test-support/harness.ts';

const DNR = 0x4000;
const AUTH_REQUIRED = 0x191 | DNR;
const ATR = 0x2_0000;
const SECRET = secretOf(0x11);
const CTRL_SECRET = secretOf(0x22, 1);

let harness: Harness;
let keyring: Keyring;
let files: KeyFiles;
const addKey = (name: string, content: string): void => keyring.addFile(name, files.write(name, content));

beforeEach(async () => {
  keyring = new Keyring();
  files = new KeyFiles();
  harness = await Harness.start(1, keyring);
  addKey('host', SECRET);
  addKey('ctrlr', CTRL_SECRET);
});
afterEach(async () => {
  await harness.stop();
  files.remove();
});

const allow = (keys = { dhchap_key: 'host', dhchap_ctrlr_key: 'ctrlr' }): Promise<void> =>
  harness.done(harness.target.addHost(SUBSYSTEM, HOST, keys));

/** A queue that has connected and must authenticate itself. */
async function unproven(qid = 0, cntlid = 0xffff): Promise<{ qpair: FakeQpair; cntlid: number }> {
  const { qpair, completion } = await harness.connect(qid, { cntlid, entries: 32 });
  expect(completion.status).toBe(0);
  expect(completion.dw0 & 0xffff_0000).toBe(ATR);
  return { qpair, cntlid: completion.dw0 & 0xffff };
}

/** Offset of a property that has 4 bytes. */
const CSTS = 0x1c;
const HASHES = [1, 2, 3];
const GROUPS = [0, 1, 2, 3, 4, 5];
test.each(HASHES.flatMap((hash) => GROUPS.map((group) => [hash, group] as const)))(
  'hash %i, group %i: admin and I/O queue prove themselves, and so does the controller',
  async (hash, group) => {
    await allow();
    const options = { secret: SECRET, ctrlSecret: CTRL_SECRET, hashes: [hash], groups: [group] };
    const { qpair, cntlid } = await unproven();
    expect(await authenticateQueue(harness, qpair, options)).toEqual({ ok: true, hash, group });
    expect(await harness.setCc(qpair, ENABLE)).toBe(0);
    const io = await unproven(1, cntlid);
    const read = { opcode: 2, nsid: 1 };
    expect((await harness.command(io.qpair, read, { length: 512 })).status).toBe(AUTH_REQUIRED);
    expect(await authenticateQueue(harness, io.qpair, options)).toEqual({ ok: true, hash, group });
    expect((await harness.command(io.qpair, read, { length: 512 })).status).toBe(0);
  },
  60_000,
);

test('nothing but authentication is executed before it', async () => {
  await allow();
  const { qpair } = await unproven();
  expect((await harness.getProperty(qpair, CSTS)).status).toBe(AUTH_REQUIRED);
  expect(await harness.setCc(qpair, ENABLE)).toBe(AUTH_REQUIRED);
  expect((await harness.identify(qpair, 1)).status).toBe(AUTH_REQUIRED);
  expect((await harness.command(qpair, { opcode: 0x18 })).status).toBe(AUTH_REQUIRED);
  expect((await harness.command(qpair, { opcode: 0x7f, nsid: 8 })).status).toBe(AUTH_REQUIRED);
  const again = qpair.connect(0, { subnqn: SUBSYSTEM });
  expect((await harness.completion(qpair, again)).status).toBe(0x00c);
  expect((await authenticateQueue(harness, qpair, { secret: SECRET })).ok).toBe(true);
  expect((await harness.getProperty(qpair, CSTS)).status).toBe(0);
});

test('a host without a key, and one that any host may be, connect as before', async () => {
  await harness.done(harness.target.addHost(SUBSYSTEM, HOST, {}));
  const { completion } = await harness.connect(0);
  expect(completion.dw0).toBe(1);
});

test.each([
  ['a wrong secret', { secret: secretOf(0x12) }, 0x01],
  ['a wrong NQN', { secret: secretOf(0x11), hostnqn: 'nqn.other' }, 0x01],
  ['no hash function in common', { hashes: [9] }, 0x04],
  ['no group in common', { groups: [6, 200] }, 0x05],
  ['no descriptor of DH-HMAC-CHAP', { spoil: at(8, 2) }, 0x02],
  ['secure channel concatenation', { spoil: at(6, 1) }, 0x03],
  ['more descriptors than there are', { spoil: at(7, 2) }, 0x06],
  ['a list that is too long', { spoil: at(10, 31) }, 0x06],
  ['another transaction', { spoil: at(4, 0, 'reply') }, 0x06],
  ['another hash length', { spoil: at(6, 48, 'reply') }, 0x06],
  ['CVALID 2', { spoil: at(8, 2, 'reply') }, 0x06],
  ['a DH value with the null group', { spoil: at(10, 4, 'reply') }, 0x06],
  ['a challenge of sequence number 0', { spoil: noSeqnum }, 0x06],
  ['a cut reply', { spoil: cut('reply') }, 0x06],
  ['a message of another type', { spoil: at(0, 7, 'reply') }, 0x07],
  ['a controller without a key', { ctrlSecret: secretOf(0x22), noCtrlr: true }, 0x01],
])('%s fails, and the connection ends a little later', async (_, given, explanation) => {
  const { noCtrlr, ...options } = given as Record<string, unknown> & { noCtrlr?: boolean };
  await allow(noCtrlr === true ? ({ dhchap_key: 'host' } as never) : undefined);
  const { qpair } = await unproven();
  const all = { secret: SECRET, groups: [0], ...options };
  expect(await authenticateQueue(harness, qpair, all)).toEqual({ ok: false, explanation, by: 'target' });
  expect(qpair.disconnecting).toBe(false);
  expect((await harness.getProperty(qpair, CSTS)).status).toBe(AUTH_REQUIRED);
  await harness.pass(150);
  expect(qpair.removed).toBe(true);
  expect(harness.log.join('\n')).toContain(HOST);
  expect(harness.target.subsystem(SUBSYSTEM).controllers.size).toBe(0);
});

function at(offset: number, value: number, which = 'negotiate') {
  return (name: string, message: Buffer): Buffer => {
    if (name === which) message[offset] = value;
    return message;
  };
}
function cut(which: string) {
  return (name: string, message: Buffer): Buffer => (name === which ? message.subarray(0, -1) : message);
}
function noSeqnum(name: string, message: Buffer): Buffer {
  if (name !== 'reply') return message;
  message[8] = 1;
  message.writeUInt32LE(0, 12);
  return message;
}

test('DH values that are not in the group are refused', async () => {
  await allow();
  for (const value of [0, 1]) {
    const { qpair } = await unproven();
    const spoil = (name: string, message: Buffer): Buffer => {
      if (name === 'reply') message.fill(0, message.length - 256).writeUInt8(value, message.length - 1);
      return message;
    };
    const options = { secret: SECRET, groups: [1], spoil };
    expect(await authenticateQueue(harness, qpair, options)).toEqual({
      ok: false,
      explanation: 6,
      by: 'target',
    });
  }
});

test('what the target sent is not taken back: its challenge, its DH value', async () => {
  await allow();
  for (const [group, from, length] of [
    [0, 16, 32],
    [1, 16 + 32, 256],
  ] as const) {
    const { qpair } = await unproven();
    let challenge = Buffer.alloc(0);
    const record = (message: Buffer): void => {
      if (message[0] === 1 && message[1] === 1) challenge = message;
    };
    const spoil = (name: string, message: Buffer): Buffer => {
      if (name === 'reply') challenge.copy(message, group === 0 ? 48 : 80, from, from + length);
      return message;
    };
    const options = { secret: SECRET, ctrlSecret: CTRL_SECRET, hashes: [1], groups: [group], record, spoil };
    expect((await authenticateQueue(harness, qpair, options)).ok).toBe(false);
  }
});

test('the host refuses a controller with another key, and its connection ends', async () => {
  await allow();
  const { qpair } = await unproven();
  const options = { secret: SECRET, ctrlSecret: secretOf(0x23), groups: [0] };
  expect(await authenticateQueue(harness, qpair, options)).toEqual({ ok: false, explanation: 1, by: 'host' });
  expect((await harness.getProperty(qpair, CSTS)).status).toBe(AUTH_REQUIRED);
  await harness.pass(150);
  expect(qpair.removed).toBe(true);
});

test('messages out of order', async () => {
  await allow();
  const success2 = Buffer.from('01040000114700000000000000000000', 'hex');
  for (const steps of [
    (x: ReturnType<typeof exchangeOn>) => x.send(success2),
    (x: ReturnType<typeof exchangeOn>) => x.send(Buffer.from('0102000011470000', 'hex')),
    (x: ReturnType<typeof exchangeOn>) => x.send(Buffer.from('00f0000011470101', 'hex')),
  ]) {
    const { qpair } = await unproven();
    const exchange = exchangeOn(harness, qpair);
    expect((await steps(exchange)).status).toBe(0);
    const { data } = await exchange.receive(8);
    expect([...data.subarray(0, 2), data[6], data[7]]).toEqual([0, 0xf1, 1, 7]);
  }
  const { qpair } = await unproven();
  const { data } = await exchangeOn(harness, qpair).receive(8);
  expect([data[1], data[7]]).toEqual([0xf1, 7]);
});

test('the commands themselves are checked', async () => {
  await allow();
  const { qpair } = await unproven();
  const message = new Uint8Array(8);
  const send = (fields: object, options: object) =>
    completed(harness, qpair, qpair.send({ ...authSend(8), ...fields }, { data: message, ...options }));
  const INVALID_FIELD = 0x002 | DNR;
  expect((await send({ cdw10: 0 }, {})).status).toBe(INVALID_FIELD);
  expect((await send({ cdw10: (0xe9010200 | 0) >>> 0 }, {})).status).toBe(INVALID_FIELD);
  expect((await send({ cdw11: 16 }, {})).status).toBe(INVALID_FIELD);
  const fresh = harness.connection();
  const early = fresh.send(authReceive(8), { length: 8 });
  expect((await harness.completion(fresh, early)).status).toBe(0x00c);
});

test('who does not authenticate itself in time is disconnected', async () => {
  await allow();
  const { qpair } = await unproven();
  await harness.pass(119_000, 5000);
  expect(qpair.removed).toBe(false);
  await harness.pass(5_000);
  expect(qpair.removed).toBe(true);
});

test('an authentication may take longer than the keep alive timeout, if none of its messages does', async () => {
  await allow();
  const { qpair, completion } = await harness.connect(0, { kato: 10_000 });
  expect(completion.status).toBe(0);
  const exchange = exchangeOn(harness, qpair);
  const slow: typeof exchange = {
    send: async (message) => {
      await harness.pass(8000, 500);
      return await exchange.send(message);
    },
    receive: async (length) => {
      await harness.pass(8000, 500);
      return await exchange.receive(length);
    },
  };
  const options = { secret: SECRET, groups: [0], hostnqn: HOST, subnqn: SUBSYSTEM };
  expect(await authenticate(slow, options, groupPrime)).toMatchObject({ ok: true });
  await harness.pass(9000, 500);
  expect(qpair.removed).toBe(false);
  await harness.pass(2000, 100);
  expect(qpair.removed).toBe(true);
});

test('a live queue authenticates itself again, with keys that have changed', async () => {
  await allow();
  const { qpair } = await unproven();
  const old = { secret: SECRET, groups: [0] };
  expect((await authenticateQueue(harness, qpair, old)).ok).toBe(true);
  expect(await harness.setCc(qpair, ENABLE)).toBe(0);
  addKey('host2', secretOf(0x33));
  await harness.done(harness.target.setKeys(SUBSYSTEM, HOST, { dhchap_key: 'host2' }));
  // It goes on until it authenticates itself again, also in the middle of that.
  expect((await harness.identify(qpair, 1)).status).toBe(0);
  expect((await authenticateQueue(harness, qpair, { secret: secretOf(0x33), groups: [0] })).ok).toBe(true);
  expect((await harness.identify(qpair, 1)).status).toBe(0);
  expect(await authenticateQueue(harness, qpair, old)).toMatchObject({ ok: false, explanation: 1 });
  await harness.pass(150);
  expect(qpair.removed).toBe(true);
});

test('a live queue that begins and does not go on stays', async () => {
  await allow();
  const { qpair } = await unproven();
  expect((await authenticateQueue(harness, qpair, { secret: SECRET, groups: [0] })).ok).toBe(true);
  const negotiate = Buffer.alloc(72);
  negotiate.set([1, 1, 0, 1, 1], 7);
  negotiate[12] = 1;
  expect((await exchangeOn(harness, qpair).send(negotiate)).status).toBe(0);
  await harness.pass(130_000, 5000);
  expect(qpair.removed).toBe(false);
  expect((await authenticateQueue(harness, qpair, { secret: SECRET, groups: [0] })).ok).toBe(true);
});

test('a removed key lets nobody in', async () => {
  await allow();
  keyring.remove('host');
  const { qpair } = await unproven();
  expect(await authenticateQueue(harness, qpair, { secret: SECRET, groups: [0] })).toMatchObject({
    explanation: 1,
  });
});

test('keys that cannot be used are refused, and not told', async () => {
  addKey('bad', 'DHHC-1:00:c2VjcmV0c2VjcmV0:');
  const add = (keys: object) =>
    harness.done(harness.target.addHost(SUBSYSTEM, HOST, keys)).catch((e) => e.message);
  expect(await add({ dhchap_key: 'none' })).toMatch(/dhchap_key: there is no key "none"/);
  expect(await add({ dhchap_ctrlr_key: 'ctrlr' })).toMatch(/needs dhchap_key/);
  const message = await add({ dhchap_key: 'bad' });
  expect(message).toMatch(/key "bad" cannot be used: it holds a key of 8 bytes/);
  expect(message).not.toContain('c2VjcmV0');
  expect(keyring.list().map(({ refcnt }) => refcnt)).toEqual([1, 1, 1]);
  await allow();
  expect(keyring.list().map(({ refcnt }) => refcnt)).toEqual([2, 2, 1]);
  await harness.done(harness.target.removeHost(SUBSYSTEM, HOST));
  expect(keyring.list().map(({ refcnt }) => refcnt)).toEqual([1, 1, 1]);
});

/** An exchange that succeeded, what the host sent of it. */
async function recorded(): Promise<Buffer[]> {
  const { qpair } = await unproven();
  const sent: Buffer[] = [];
  const spoil = (_: string, message: Buffer): Buffer => {
    sent.push(Buffer.from(message));
    return message;
  };
  const options = { secret: SECRET, ctrlSecret: CTRL_SECRET, groups: [0], spoil };
  expect((await authenticateQueue(harness, qpair, options)).ok).toBe(true);
  return sent;
}

test('whatever arrives, nobody is let in by it and nobody else notices', async () => {
  await allow();
  const messages = await recorded();
  const other = await unproven();
  expect((await authenticateQueue(harness, other.qpair, { secret: SECRET, groups: [0] })).ok).toBe(true);
  const mutation = fc.record({
    message: fc.nat({ max: messages.length - 1 }),
    changes: fc.array(fc.tuple(fc.nat({ max: 200 }), fc.nat({ max: 255 })), { maxLength: 6 }),
    length: fc.option(fc.nat({ max: 300 })),
  });
  const step = fc.oneof(
    fc.record({ send: mutation }),
    fc.record({ bytes: fc.uint8Array({ minLength: 0, maxLength: 200 }) }),
    fc.record({ receive: fc.constantFrom(0, 1, 7, 8, 16, 48, 2048) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      const { qpair } = await unproven();
      for (const given of steps) {
        if (qpair.disconnecting) break;
        let cid: number;
        if ('receive' in given) cid = qpair.send(authReceive(given.receive), { length: given.receive });
        else {
          const data = 'bytes' in given ? given.bytes : mutate(messages, given.send);
          cid = qpair.send(authSend(data.length), { data: new Uint8Array(data) });
        }
        await completed(harness, qpair, cid);
        expect((await harness.getProperty(qpair, CSTS)).status).toBe(AUTH_REQUIRED);
      }
      qpair.disconnect('test');
      await harness.turns(4);
      expect((await harness.getProperty(other.qpair, CSTS)).status).toBe(0);
    }),
    { numRuns: 200, verbose: 1 },
  );
}, 120_000);

function mutate(
  messages: readonly Buffer[],
  given: { message: number; changes: [number, number][]; length: number | null },
): Uint8Array {
  const original = messages[given.message]!;
  const out = Buffer.alloc(given.length ?? original.length);
  original.copy(out);
  for (const [offset, value] of given.changes) if (offset < out.length) out[offset] = value;
  return out;
}
