/** The host library against a target that breaks the rules: it fails clearly, and never hands wrong data up. */
import { Random } from '@spdk-ts/env';
import { hostStatus, type NvmeController, NvmeError, type NvmeQpair } from '@spdk-ts/nvme';
import { FABRICS_OPCODE, nvmOpcode, pduFlag, pduHeaderLength, pduType, viewOf } from '@spdk-ts/nvme-spec';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HostBed } from '../nvme-host/host-bed.ts';
import { blockOf, SCRIPT_NQN, type Script, ScriptTarget, type Sent } from '../nvme-host/script-target.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const BYTES = 64 * 1024;
const patience = {
  connect_timeout_ms: 400,
  admin_timeout_ms: 400,
  timeout_ms: 300,
  keep_alive_timeout_ms: 0,
};

let bed: HostBed;
let target: ScriptTarget;
beforeEach(async () => {
  bed = await HostBed.start();
  target = await ScriptTarget.start();
});
afterEach(async () => {
  await bed.stop();
  await target.stop();
  expect(bed.reactor.buffers.used, 'buffers that were not given back').toBe(0);
});

const contents = (lba: number, length: number): Buffer =>
  Buffer.concat(Array.from({ length: length / 512 }, (_, i) => blockOf(lba + i)));

/** Reads and writes once. Returns what failed; throws if data are wrong. */
async function exchange(controller: NvmeController, lba: number): Promise<string> {
  const qpair = await controller.openIoQueue();
  const to = bed.place(BYTES);
  bed.memory.fill(0xee, to, to + BYTES);
  const read = await bed.read(qpair, lba, to, BYTES);
  if (read === 0) expect(Buffer.compare(bed.memory.subarray(to, to + BYTES), contents(lba, BYTES))).toBe(0);
  const from = bed.place(BYTES);
  bed.memory.set(contents(lba, BYTES), from);
  const written = await bed.write(qpair, lba, from, BYTES);
  return read === 0 && written === 0 ? '' : (qpair.error?.message ?? `status ${read || written}`);
}

/** Connects, and exchanges data: what failed, as text; empty if all went well. */
async function attempt(lba: number): Promise<string> {
  let controller: NvmeController | null = null;
  try {
    controller = await bed.connect(target.port, SCRIPT_NQN, patience);
    return await exchange(controller, lba);
  } catch (error) {
    expect(error, String((error as Error).stack)).toBeInstanceOf(NvmeError);
    return (error as Error).message;
  } finally {
    await controller?.close();
  }
}

it('a target that keeps to the rules is used', async () => {
  expect(await attempt(0)).toBe('');
  expect(target.terminated).toBe(0);
});

/** The PDUs whose headers are changed: type, queue, and the command that they belong to. */
const kinds: readonly (readonly [name: string, (pdu: Sent) => boolean, header: number])[] = [
  ['ICResp', ({ type }) => type === pduType.icResp, 16],
  [
    'CapsuleResp of Connect',
    ({ type, opcode }) => type === pduType.capsuleResp && opcode === FABRICS_OPCODE,
    24,
  ],
  ['C2HData of Identify', ({ type, opcode }) => type === pduType.c2hData && opcode === 0x06, 24],
  [
    'CapsuleResp of a read',
    ({ type, qid, opcode }) => type === pduType.capsuleResp && qid > 0 && opcode === nvmOpcode.read,
    24,
  ],
  ['C2HData of a read', ({ type, qid }) => type === pduType.c2hData && qid > 0, 24],
  ['R2T', ({ type }) => type === pduType.r2t, 24],
  [
    'CapsuleResp of a write',
    ({ type, qid, opcode }) => type === pduType.capsuleResp && qid > 0 && opcode === nvmOpcode.write,
    24,
  ],
];

describe.each(kinds)('every byte of %s', (_, matches, header) => {
  it(`is changed (seed ${SEED})`, async () => {
    const random = new Random(SEED);
    for (let at = 0; at < header; at++) {
      for (const value of [1 << random.below(8), 0xff]) {
        let done = false;
        target.script = {
          send: (pdu) => {
            if (done || !matches(pdu)) return [pdu.bytes];
            done = true;
            const bytes = pdu.bytes.slice();
            bytes[at] = bytes[at]! ^ value;
            return [bytes];
          },
        };
        await attempt(random.below(2048));
        expect(done, `byte ${at}`).toBe(true);
      }
    }
    target.script = {};
    expect(await attempt(5)).toBe('');
  });
});

/** A PDU with some fields set anew. */
function changed(bytes: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = bytes.slice();
  change(viewOf(copy));
  return copy;
}

const onIo = (
  type: number,
  opcode: number,
  answer: (bytes: Uint8Array) => readonly Uint8Array[],
): Script => ({
  send: (pdu) =>
    pdu.type === type && pdu.qid > 0 && pdu.opcode === opcode ? answer(pdu.bytes) : [pdu.bytes],
});

const tricks: readonly (readonly [name: string, script: Script, message: RegExp])[] = [
  [
    'a completion that comes twice',
    onIo(pduType.capsuleResp, nvmOpcode.read, (bytes) => [bytes, bytes]),
    /completion for CID \d+, which is not outstanding/,
  ],
  [
    'a completion of another command',
    onIo(pduType.capsuleResp, nvmOpcode.read, (bytes) => [
      changed(bytes, (v) => v.setUint16(20, 0x7abc, true)),
    ]),
    /completion for CID 31420, which is not outstanding/,
  ],
  [
    'success without data',
    onIo(pduType.c2hData, nvmOpcode.read, () => []),
    /succeeded with 0 of 65536 bytes/,
  ],
  [
    'less data than were asked for',
    onIo(pduType.c2hData, nvmOpcode.read, (bytes) => [
      changed(bytes.subarray(0, 24 + 512), (v) => {
        v.setUint32(4, 24 + 512, true);
        v.setUint32(16, 512, true);
      }),
    ]),
    /succeeded with 512 of 65536 bytes/,
  ],
  [
    'data that come twice',
    onIo(pduType.c2hData, nvmOpcode.read, (bytes) => [bytes, bytes]),
    /bytes 0…65536 for command \d+, where 65536…65536 are due/,
  ],
  [
    'data beyond the end',
    onIo(pduType.c2hData, nvmOpcode.read, (bytes) => [changed(bytes, (v) => v.setUint32(12, 512, true))]),
    /bytes 512…66048 for command/,
  ],
  [
    'data for a write',
    onIo(pduType.r2t, nvmOpcode.write, (bytes) => {
      const data = new Uint8Array(24 + 512);
      data.set(bytes);
      const view = viewOf(data);
      view.setUint32(0, pduType.c2hData | (24 << 16) | (24 << 24), true);
      view.setUint32(4, data.length, true);
      view.setUint32(12, 0, true);
      view.setUint32(16, 512, true);
      return [data];
    }),
    /data for CID \d+, which wants none/,
  ],
  [
    'data that are said to be the last and the command’s success, too early',
    onIo(pduType.c2hData, nvmOpcode.read, (bytes) => [
      changed(bytes.subarray(0, 24 + 512), (v) => {
        v.setUint8(1, pduFlag.last | pduFlag.success);
        v.setUint32(4, 24 + 512, true);
        v.setUint32(16, 512, true);
      }),
    ]),
    /succeeded with 512 of 65536 bytes/,
  ],
  [
    'a request for the same data for ever',
    onIo(pduType.r2t, nvmOpcode.write, (bytes) => Array.from({ length: 64 }, () => bytes)),
    /R2T for bytes 0…65536 of command \d+, of which 65536…65536 are left/,
  ],
  [
    'a request for data beyond the end',
    onIo(pduType.r2t, nvmOpcode.write, (bytes) => [changed(bytes, (v) => v.setUint32(16, 2 ** 31, true))]),
    /R2T for bytes 0…2147483648/,
  ],
  [
    'a request for no data',
    onIo(pduType.r2t, nvmOpcode.write, (bytes) => [changed(bytes, (v) => v.setUint32(16, 0, true))]),
    /R2T for 0 bytes/,
  ],
  [
    'a write that succeeds before it was asked for its data',
    onIo(pduType.r2t, nvmOpcode.write, (bytes) => {
      const answer = new Uint8Array(pduHeaderLength.capsuleResp);
      const view = viewOf(answer);
      view.setUint32(0, pduType.capsuleResp | (24 << 16), true);
      view.setUint32(4, 24, true);
      view.setUint16(20, viewOf(bytes).getUint16(8, true), true);
      return [answer];
    }),
    /succeeded without 65536 of its 65536 bytes/,
  ],
  [
    'a second ICResp',
    onIo(pduType.capsuleResp, nvmOpcode.read, () => {
      const answer = new Uint8Array(128);
      viewOf(answer).setUint32(0, pduType.icResp | (128 << 16), true);
      viewOf(answer).setUint32(4, 128, true);
      return [answer];
    }),
    /PDU of type 1 out of sequence/,
  ],
  [
    'a termination request',
    onIo(pduType.capsuleResp, nvmOpcode.read, () => {
      const answer = new Uint8Array(24);
      const view = viewOf(answer);
      view.setUint32(0, pduType.c2hTermReq | (24 << 16), true);
      view.setUint32(4, 24, true);
      view.setUint16(8, 2, true);
      return [answer];
    }),
    /the controller ends the connection: PDU Sequence Error/,
  ],
];

describe('a target that sends', () => {
  it.each(tricks)('%s is told so, and left', async (_, script, message) => {
    target.script = script;
    expect(await attempt(17)).toMatch(message);
    target.script = {};
    expect(await attempt(17)).toBe('');
  });
});

it('a write that fails while its data are on their way ends with that status, and its memory is free then', async () => {
  const failing = onIo(pduType.r2t, nvmOpcode.write, (bytes) => {
    const answer = new Uint8Array(pduHeaderLength.capsuleResp);
    const view = viewOf(answer);
    view.setUint32(0, pduType.capsuleResp | (24 << 16), true);
    view.setUint32(4, 24, true);
    view.setUint16(20, viewOf(bytes).getUint16(8, true), true);
    view.setUint16(22, 0x20 << 1, true);
    return [bytes, answer];
  });
  // What the target says of those writes once it has their data comes too late, and is left out.
  target.script = {
    send: (pdu) =>
      pdu.type === pduType.capsuleResp && pdu.opcode === nvmOpcode.write ? [] : failing.send!(pdu),
  };
  const controller = await bed.connect(target.port, SCRIPT_NQN, patience);
  const qpair = await controller.openIoQueue();
  const from = bed.place(BYTES);
  const all = Array.from({ length: 32 }, () => bed.write(qpair, 0, from, BYTES));
  expect(new Set(await Promise.all(all))).toEqual(new Set([0x20]));
  expect(await bed.read(qpair, 1000, from, BYTES)).toBe(0);
  expect(Buffer.compare(bed.memory.subarray(from, from + BYTES), contents(1000, BYTES))).toBe(0);
  await controller.close();
});

it('an answer that never comes is aborted, then the controller is reset, and all is well again', async () => {
  const controller = await bed.connect(target.port, SCRIPT_NQN, {
    ...patience,
    ctrlr_loss_timeout_ms: 10_000,
    reconnect_delay_ms: 20,
  });
  const qpair = await controller.openIoQueue();
  const to = bed.place(BYTES);
  target.script = { swallow: (qid, opcode) => qid > 0 && opcode === nvmOpcode.read };
  const events = controller.events[Symbol.asyncIterator]();
  expect(await bed.read(qpair, 0, to, BYTES)).toBe(hostStatus.ABORTED);
  expect(target.commands).toContain('0:8');
  target.script = {};
  const lost = (await events.next()).value;
  expect(lost).toMatchObject({ type: 'disconnected', error: { code: 'ETIMEOUT' } });
  expect((await events.next()).value).toEqual({ type: 'connected' });
  expect(await bed.read(qpair, 9, to, BYTES)).toBe(0);
  expect(Buffer.compare(bed.memory.subarray(to, to + BYTES), contents(9, BYTES))).toBe(0);
  await controller.close();
});

it('a target that stops in the middle of data fails the command, and no sooner', async () => {
  target.script = onIo(pduType.c2hData, nvmOpcode.read, (bytes) => [bytes.subarray(0, 30_000)]);
  expect(await attempt(3)).toMatch(/takes longer than 300 ms, and is not aborted|closed/);
  target.script = {};
  expect(await attempt(3)).toBe('');
});

it('a lost connection ends everything that is outstanding, and later commands are refused', async () => {
  const controller = await bed.connect(target.port, SCRIPT_NQN, { ...patience, timeout_ms: 0 });
  const qpair: NvmeQpair = await controller.openIoQueue();
  target.script = { swallow: (qid) => qid > 0 };
  const to = bed.place(BYTES);
  // More than the queue takes: the rest waits in the host.
  const all = Array.from({ length: 300 }, (_, i) => bed.read(qpair, i, to, 512));
  while (target.commands.filter((name) => name === '1:2').length < qpair.depth)
    await new Promise(setImmediate);
  target.drop();
  const ended = await Promise.all(all);
  expect(new Set(ended)).toEqual(new Set([hostStatus.ABORTED, hostStatus.NO_PATH]));
  expect(ended.filter((status) => status === hostStatus.ABORTED).length).toBe(qpair.depth);
  await expect(bed.read(qpair, 0, to, 512)).rejects.toThrow(/closed|ECONN/);
  await controller.close();
});

it('a target that accepts and says nothing is given up in time', async () => {
  target.script = { send: () => [] };
  await expect(bed.connect(target.port, SCRIPT_NQN, patience)).rejects.toMatchObject({
    code: 'ETIMEOUT',
    message: expect.stringContaining('answers no ICReq in time'),
  });
});

it('nobody at the address', async () => {
  const { port } = target;
  await target.stop();
  await expect(bed.connect(port, SCRIPT_NQN, patience)).rejects.toMatchObject({
    code: 'ECONNECT',
    message: expect.stringContaining('ECONNREFUSED'),
  });
  target = await ScriptTarget.start();
});
