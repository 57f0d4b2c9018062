import { setLogWriter } from '@spdk-ts/log';
import {
  cqeCid,
  cqeSqhd,
  cqeStatus,
  crc32c,
  encodeCapsuleCmdHeader,
  encodeH2cData,
  encodeIcReq,
  encodeSqe,
  fes,
  genericStatus,
  pduCccid,
  pduDataLength,
  pduDatal,
  pduFlag,
  pduFlags,
  pduHlen,
  pduPdo,
  pduPlen,
  pduTtag,
  pduType,
  type SqeFields,
  sglId,
  statusCode,
  statusSc,
  termReqFei,
  termReqFes,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeGroup, type FakeSock, FakeSocks, fakeOptions } from '../../test-support/tcp-fakes.ts';
import { defaultTcpTimeouts } from './limits.ts';
import { type TcpQpair, TcpState } from './tcp-qpair.ts';
import { TcpTransport } from './tcp-transport.ts';

const READ = 0x02;
const WRITE = 0x01;
const FLUSH = 0x00;

let group: FakeGroup;
let socks: FakeSocks;
let transport: TcpTransport;
let qpair: TcpQpair;
let sock: FakeSock;

async function setUp(options = fakeOptions): Promise<void> {
  group = new FakeGroup();
  socks = new FakeSocks(group.regions);
  transport = new TcpTransport(group.asGroup, options, () => socks);
  await transport.listen({ trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: '4420' });
  socks.connectFrom(100);
  sock = socks.socks[0]!;
  qpair = [...transport.qpairs][0]!;
}

interface Pdu {
  type: number;
  flags: number;
  bytes: Uint8Array;
  view: DataView;
  data: Uint8Array;
}

/** What the qpair has sent, as PDUs, digests verified. */
function sent(done = true): Pdu[] {
  transport.poll();
  transport.flush();
  const bytes = sock.take(done);
  const pdus: Pdu[] = [];
  for (let at = 0; at < bytes.length; ) {
    const all = viewOf(bytes);
    const plen = pduPlen(all, at);
    const pdu = bytes.slice(at, at + plen);
    const view = viewOf(pdu);
    const flags = pduFlags(view, 0);
    const hlen = pduHlen(view, 0);
    if (flags & pduFlag.hdgst) expect(view.getUint32(hlen, true)).toBe(crc32c(pdu, 0, hlen));
    const length = pduDataLength(view, 0);
    const data = length > 0 ? pdu.slice(pduPdo(view, 0), pduPdo(view, 0) + length) : new Uint8Array(0);
    if (flags & pduFlag.ddgst) expect(view.getUint32(plen - 4, true)).toBe(crc32c(data));
    pdus.push({ type: pdu[0]!, flags, bytes: pdu, view, data });
    at += plen;
  }
  return pdus;
}

function icReq(digests = 0, hpda = 0, pfv = 0): Uint8Array {
  const bytes = new Uint8Array(128);
  encodeIcReq(viewOf(bytes), 0, { pfv, hpda, dgst: digests, maxr2t: 1 });
  return bytes;
}

function initialize(digests = 0, hpda = 0): void {
  sock.feed(icReq(digests, hpda));
  expect(sent().map((pdu) => pdu.type)).toEqual([pduType.icResp]);
}

const align = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

function withData(
  header: Uint8Array,
  hlen: number,
  pdo: number,
  data: Uint8Array,
  digests: number,
): Uint8Array {
  const out = new Uint8Array(pdo + data.length + (digests & pduFlag.ddgst ? 4 : 0));
  out.set(header.subarray(0, hlen));
  if (digests & pduFlag.hdgst) viewOf(out).setUint32(hlen, crc32c(out, 0, hlen), true);
  out.set(data, pdo);
  if (digests & pduFlag.ddgst) viewOf(out).setUint32(pdo + data.length, crc32c(data), true);
  return out;
}

function capsule(
  fields: SqeFields,
  data: Uint8Array = new Uint8Array(0),
  digests = 0,
  alignment = 0,
): Uint8Array {
  const header = new Uint8Array(72);
  const end = 72 + (digests & pduFlag.hdgst ? 4 : 0);
  const pdo = data.length > 0 ? align(end, (alignment + 1) * 4) : 0;
  const flags = data.length > 0 ? digests : digests & pduFlag.hdgst;
  encodeCapsuleCmdHeader(viewOf(header), 0, flags, pdo, data.length);
  encodeSqe(viewOf(header), 8, fields);
  if (data.length > 0) return withData(header, 72, pdo, data, flags);
  return withData(header, 72, end, data, flags);
}

function h2cData(
  cid: number,
  ttag: number,
  from: number,
  data: Uint8Array,
  last: boolean,
  digests = 0,
): Uint8Array {
  const header = new Uint8Array(24);
  const pdo = 24 + (digests & pduFlag.hdgst ? 4 : 0);
  const flags = digests | (last ? pduFlag.last : 0);
  encodeH2cData(viewOf(header), 0, flags, pdo, cid, ttag, from, data.length);
  return withData(header, 24, pdo, data, digests);
}

const transportSgl = (length: number) => ({ identifier: sglId.transportDataBlock, address: 0, length });
const capsuleSgl = (length: number, address = 0) => ({ identifier: sglId.inCapsule, address, length });
const pattern = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff);

function responseOf(pdus: Pdu[]): { cid: number; status: number; sqhd: number } {
  const response = pdus.find((pdu) => pdu.type === pduType.capsuleResp)!;
  expect(response).toBeDefined();
  const { view } = response;
  return { cid: cqeCid(view, 8), status: cqeStatus(view, 8), sqhd: cqeSqhd(view, 8) };
}

function expectTermReq(status: number, information?: number): void {
  const pdus = sent();
  const last = pdus.at(-1)!;
  expect(last.type).toBe(pduType.c2hTermReq);
  expect(termReqFes(last.view, 0)).toBe(status);
  if (information !== undefined) expect(termReqFei(last.view, 0)).toBe(information);
  expect(qpair.state).toBe(TcpState.TERMINATING);
  expect(group.closing).toEqual([qpair]);
  // Whatever follows is ignored.
  sock.feed(capsule({ opcode: FLUSH, cid: 99 }));
  expect(sent()).toEqual([]);
  expect(sock.rxEnd - sock.rxStart).toBe(0);
}

/** The request that executes now, alone. */
function executing() {
  expect(group.executed.length).toBe(1);
  return group.executed[0]!;
}

let logWriter: (line: string) => void;
beforeAll(() => {
  logWriter = setLogWriter(() => {});
});
afterAll(() => void setLogWriter(logWriter));
beforeEach(() => setUp());

describe('initialization', () => {
  it('answers with the digests asked for, its alignment and MAXH2CDATA', () => {
    sock.feed(icReq(pduFlag.hdgst | pduFlag.ddgst, 3), 5);
    const [pdu] = sent();
    expect(pdu!.type).toBe(pduType.icResp);
    expect(pdu!.bytes.length).toBe(128);
    expect([pdu!.bytes[10], pdu!.bytes[11], pdu!.view.getUint32(12, true)]).toEqual([3, 3, 131072]);
    expect(qpair.state).toBe(TcpState.RUNNING);
  });

  it.each([
    ['an unknown version', icReq(0, 0, 1), fes.invalidHeaderField, 8],
    ['an alignment beyond 31', icReq(0, 32), fes.invalidHeaderField, 10],
    ['a command first', capsule({ opcode: FLUSH }), fes.pduSequenceError, 0],
    ['data first', h2cData(0, 0, 0, pattern(512), true), fes.pduSequenceError, 0],
    ['a PDU for hosts', Uint8Array.of(1, 0, 128, 0, 128, 0, 0, 0), fes.invalidHeaderField, 0],
    ['an unknown type', Uint8Array.of(0x55, 0, 8, 0, 8, 0, 0, 0), fes.invalidHeaderField, 0],
    ['a wrong HLEN', Uint8Array.of(0, 0, 127, 0, 128, 0, 0, 0), fes.invalidHeaderField, 2],
    ['a huge PLEN', Uint8Array.of(0, 0, 128, 0, 255, 255, 255, 255), fes.invalidHeaderField, 4],
  ])('terminates on %s', (_, bytes, status, information) => {
    sock.feed(bytes);
    expectTermReq(status, information);
  });

  it('terminates on a second ICReq', () => {
    initialize();
    sock.feed(icReq());
    expectTermReq(fes.pduSequenceError);
  });
});

describe('commands', () => {
  it('executes one without data, torn into single bytes', () => {
    initialize();
    sock.feed(capsule({ opcode: FLUSH, cid: 7, nsid: 1 }), 1);
    const request = executing();
    expect([request.cid, request.nsid, request.length]).toEqual([7, 1, 0]);
    expect(qpair.findRequest(7)).toBe(request);
    qpair.sqSize = 8;
    qpair.sqhd = 3;
    request.dw0 = 0xdead;
    group.complete(request, 0x4002);
    const pdus = sent();
    expect(responseOf(pdus)).toEqual({ cid: 7, status: 0x4002, sqhd: 3 });
    expect(pdus[0]!.view.getUint32(8, true)).toBe(0xdead);
    expect(qpair.findRequest(7)).toBeNull();
    expect(qpair.requests.used).toBe(0);
  });

  it('counts a command until its answer has left', () => {
    initialize();
    sock.feed(capsule({ opcode: FLUSH, cid: 1 }));
    group.complete(executing());
    expect(sent(false).length).toBe(1);
    expect(qpair.requests.queued).toBe(1);
    sock.take();
    expect(qpair.requests.queued).toBe(0);
  });

  it('sends the answers of an iteration as one piece', () => {
    initialize();
    for (let cid = 0; cid < 5; cid++) sock.feed(capsule({ opcode: FLUSH, cid }));
    for (const request of [...group.executed]) group.complete(request);
    transport.poll();
    transport.flush();
    expect(sock.pieces.length).toBe(1);
    expect(sent().length).toBe(5);
  });

  it('takes in-capsule data, whatever the pieces it comes in', () => {
    for (const step of [1, 7, 64, 4096, 10_000]) {
      const data = pattern(4096, step);
      if (qpair.state === TcpState.INITIALIZING) initialize();
      sock.feed(capsule({ opcode: WRITE, cid: step, sgl1: capsuleSgl(4096) }, data), step);
      const request = executing();
      const bytes = group.regions.bytes(request.region).slice(request.offset, request.offset + 4096);
      expect(Buffer.compare(bytes, data)).toBe(0);
      group.complete(request);
      expect(responseOf(sent()).status).toBe(0);
    }
    expect(group.buffers.smallFree).toBe(4);
  });

  it('honours the alignment it asked for', () => {
    initialize(0, 31);
    const data = pattern(512);
    sock.feed(capsule({ opcode: WRITE, cid: 1, sgl1: capsuleSgl(512) }, data, 0, 31), 13);
    const request = executing();
    expect(Buffer.compare(group.regions.bytes(0).slice(request.offset, request.offset + 512), data)).toBe(0);
  });

  it.each([
    ['a misaligned PDO', 76, fes.invalidHeaderField, 3],
    ['a PDO in the header', 68, fes.invalidHeaderField, 3],
  ])('terminates on %s', (_, pdo, status, information) => {
    initialize(0, pdo === 76 ? 3 : 0);
    const bytes = capsule({ opcode: WRITE, sgl1: capsuleSgl(512) }, pattern(512));
    bytes[3] = pdo;
    sock.feed(bytes);
    expectTermReq(status, information);
  });

  it('terminates on more in-capsule data than any command may bring', () => {
    initialize();
    sock.feed(capsule({ opcode: WRITE, sgl1: capsuleSgl(8196) }, pattern(8196)));
    expectTermReq(fes.dataTransferLimitExceeded);
  });

  it.each<[string, SqeFields, Uint8Array, number]>([
    ['a bidirectional opcode', { opcode: 0x83, sgl1: transportSgl(512) }, new Uint8Array(0), 0x01],
    [
      'an address SGL',
      { opcode: READ, sgl1: { identifier: 0, address: 4096, length: 512 } },
      new Uint8Array(0),
      0x11,
    ],
    ['an in-capsule SGL for a read', { opcode: READ, sgl1: capsuleSgl(512) }, new Uint8Array(0), 0x11],
    [
      'a keyed SGL',
      { opcode: WRITE, sgl1: { identifier: 0x40, address: 0, length: 512 } },
      new Uint8Array(0),
      0x11,
    ],
    ['more than MDTS', { opcode: READ, sgl1: transportSgl(131076) }, new Uint8Array(0), 0x02],
    ['more than the capsule holds', { opcode: WRITE, sgl1: capsuleSgl(1024) }, pattern(512), 0x0f],
    ['less than the capsule holds', { opcode: WRITE, sgl1: capsuleSgl(256) }, pattern(512), 0x0f],
    ['no data in the capsule', { opcode: WRITE, sgl1: capsuleSgl(256) }, new Uint8Array(0), 0x0f],
    ['an offset in the capsule', { opcode: WRITE, sgl1: capsuleSgl(512, 16) }, pattern(528), 0x16],
  ])('fails a command with %s, and goes on', (_, fields, data, sc) => {
    initialize();
    sock.feed(capsule({ ...fields, cid: 5 }, data), 100);
    const { cid, status } = responseOf(sent());
    expect([cid, statusSc(status), status & 0x4000]).toEqual([5, sc, 0x4000]);
    sock.feed(capsule({ opcode: FLUSH, cid: 6 }));
    expect(executing().cid).toBe(6);
  });

  it('limits in-capsule data of I/O queues to the option', () => {
    initialize();
    qpair.qid = 1;
    sock.feed(capsule({ opcode: WRITE, cid: 5, sgl1: capsuleSgl(8192) }, pattern(8192)));
    expect(statusSc(responseOf(sent()).status)).toBe(genericStatus.dataSglLengthInvalid);
  });

  it('drops data that a command does not use', () => {
    initialize();
    sock.feed(capsule({ opcode: FLUSH, cid: 5 }, pattern(100)), 9);
    sock.feed(capsule({ opcode: FLUSH, cid: 6 }));
    expect(group.executed.map((request) => request.cid)).toEqual([5, 6]);
  });

  it('disconnects a host that sends more than the queue holds', () => {
    initialize();
    for (let cid = 0; cid < 9; cid++) sock.feed(capsule({ opcode: FLUSH, cid }));
    expect(group.executed.length).toBe(8);
    expect(sock.closed).toBe(true);
    expect(group.removed).toEqual([]);
    sock.end();
    for (const request of [...group.executed]) group.complete(request);
    expect(group.removed).toEqual([qpair]);
    expect(transport.qpairs.size).toBe(0);
  });

  it('waits with a command while an answer may have been seen before it is known to have left', () => {
    initialize();
    for (let cid = 0; cid < 8; cid++) sock.feed(capsule({ opcode: FLUSH, cid }));
    group.complete(group.executed[0]!);
    transport.poll();
    transport.flush();
    sock.feed(capsule({ opcode: FLUSH, cid: 100 }));
    expect(sock.closed).toBe(false);
    expect(group.executed.length).toBe(7);
    sock.take();
    expect(group.executed.at(-1)!.cid).toBe(100);
  });
});

describe('data from the host by R2T', () => {
  const data = pattern(131072);

  function begin(length: number, digests = 0, cid = 9): number {
    sock.feed(capsule({ opcode: WRITE, cid, sgl1: transportSgl(length) }, undefined, digests));
    const [r2t] = sent();
    expect(r2t!.type).toBe(pduType.r2t);
    expect([pduCccid(r2t!.view, 0), pduDatal(r2t!.view, 0)]).toEqual([cid, length]);
    return pduTtag(r2t!.view, 0);
  }

  it.each([1, 3, 512, 4096, 131072])('takes it in one PDU, in chunks of %i bytes', (step) => {
    initialize();
    const ttag = begin(8192);
    sock.feed(h2cData(9, ttag, 0, data.subarray(0, 8192), true), step);
    const request = executing();
    const bytes = group.regions.bytes(request.region).slice(request.offset, request.offset + 8192);
    expect(Buffer.compare(bytes, data.subarray(0, 8192))).toBe(0);
  });

  it('takes it split over PDUs, mixed with other commands, with digests', () => {
    const digests = pduFlag.hdgst | pduFlag.ddgst;
    initialize(digests);
    const ttag = begin(131072, digests);
    for (let at = 0; at < 131072; at += 32768) {
      const part = data.subarray(at, at + 32768);
      sock.feed(h2cData(9, ttag, at, part, at + 32768 === 131072, digests), 1460);
      sock.feed(capsule({ opcode: FLUSH, cid: at / 32768 }, undefined, digests), 17);
    }
    expect(group.executed.map((request) => request.cid)).toEqual([0, 1, 2, 9, 3]);
    const request = group.executed[3]!;
    const bytes = group.regions.bytes(request.region).slice(request.offset, request.offset + 131072);
    expect(Buffer.compare(bytes, data)).toBe(0);
    group.complete(request);
    expect(responseOf(sent()).status).toBe(0);
  });

  it('fails only the command when a data digest is wrong, once all of its data is there', () => {
    initialize(pduFlag.ddgst);
    const ttag = begin(8192, pduFlag.ddgst);
    const first = h2cData(9, ttag, 0, data.subarray(0, 4096), false, pduFlag.ddgst);
    first[first.length - 1]! ^= 1;
    sock.feed(first);
    expect(sent()).toEqual([]);
    sock.feed(h2cData(9, ttag, 4096, data.subarray(4096, 8192), true, pduFlag.ddgst));
    expect(responseOf(sent()).status).toBe(genericStatus.transientTransportError);
    expect(group.executed).toEqual([]);
    const capsuleData = capsule(
      { opcode: WRITE, cid: 10, sgl1: capsuleSgl(512) },
      pattern(512),
      pduFlag.ddgst,
    );
    capsuleData[100]! ^= 0x80;
    sock.feed(capsuleData);
    expect(responseOf(sent()).status).toBe(genericStatus.transientTransportError);
  });

  it('terminates on a wrong header digest', () => {
    initialize(pduFlag.hdgst);
    const bytes = capsule({ opcode: FLUSH }, undefined, pduFlag.hdgst);
    bytes[20]! ^= 1;
    sock.feed(bytes);
    expectTermReq(fes.headerDigestError, viewOf(bytes).getUint32(72, true));
  });

  it('terminates when the digest flag is not what was agreed', () => {
    initialize(pduFlag.hdgst);
    sock.feed(capsule({ opcode: FLUSH }));
    expectTermReq(fes.invalidHeaderField, 1);
  });

  it.each<[string, (ttag: number) => Uint8Array, number, number]>([
    ['an unknown TTAG', () => h2cData(9, 500, 0, pattern(4096), true), fes.invalidHeaderField, 10],
    ['a TTAG not in transfer', (t) => h2cData(9, t + 1, 0, pattern(4096), true), fes.invalidHeaderField, 10],
    ['a wrong CCCID', (t) => h2cData(8, t, 0, pattern(4096), true), fes.invalidHeaderField, 8],
    ['data beyond the end', (t) => h2cData(9, t, 4096, pattern(4100), true), fes.dataTransferOutOfRange, 0],
    ['data out of order', (t) => h2cData(9, t, 4096, pattern(4096), true), fes.pduSequenceError, 0],
    ['LAST too early', (t) => h2cData(9, t, 0, pattern(4096), true), fes.pduSequenceError, 0],
    ['no LAST at the end', (t) => h2cData(9, t, 0, pattern(8192), false), fes.pduSequenceError, 0],
    ['no data at all', (t) => h2cData(9, t, 0, new Uint8Array(0), false), fes.invalidHeaderField, 16],
    [
      'more than MAXH2CDATA',
      (t) => h2cData(9, t, 0, new Uint8Array(131076), false),
      fes.dataTransferLimitExceeded,
      4,
    ],
  ])('terminates on %s', (_, make, status, information) => {
    initialize();
    const ttag = begin(8192);
    sock.feed(make(ttag));
    expectTermReq(status, information);
  });

  it('frees what is held when the connection ends in the middle of data', () => {
    initialize();
    const ttag = begin(8192);
    sock.feed(h2cData(9, ttag, 0, data.subarray(0, 8192), true).subarray(0, 5000));
    expect(group.buffers.smallFree).toBe(3);
    sock.end();
    expect(group.buffers.smallFree).toBe(4);
    expect(group.removed).toEqual([qpair]);
  });

  it('aborts: at once before the R2T, with the end of the data after it', () => {
    initialize();
    const ttag = begin(8192);
    const held = qpair.findRequest(9)!;
    expect(qpair.abortHeld(held)).toBe(true);
    expect(sent()).toEqual([]);
    sock.feed(h2cData(9, ttag, 0, pattern(8192), true));
    expect(responseOf(sent())).toMatchObject({ cid: 9, status: genericStatus.abortRequested });

    for (let cid = 0; cid < 5; cid++) sock.feed(capsule({ opcode: WRITE, cid, sgl1: transportSgl(16384) }));
    expect(sent().length).toBe(4);
    expect(qpair.abortHeld(qpair.findRequest(4)!)).toBe(true);
    expect(responseOf(sent())).toMatchObject({ cid: 4, status: genericStatus.abortRequested });
    expect(group.memory.length).toBe(0);
    sock.feed(capsule({ opcode: FLUSH, cid: 50 }));
    expect(qpair.abortHeld(executing())).toBe(false);
  });
});

describe('memory that is short', () => {
  it('asks for data when a buffer comes free', () => {
    initialize();
    for (let cid = 0; cid < 5; cid++) sock.feed(capsule({ opcode: WRITE, cid, sgl1: transportSgl(16384) }));
    const r2ts = sent();
    expect(r2ts.length).toBe(4);
    sock.feed(h2cData(0, pduTtag(r2ts[0]!.view, 0), 0, pattern(16384), true));
    group.complete(executing());
    sent();
    group.memory.poll();
    expect(sent().map((pdu) => pduCccid(pdu.view, 0))).toEqual([4]);
  });

  it('leaves small buffers to those whose data is already in the stream', () => {
    initialize();
    for (let cid = 0; cid < 8; cid++) sock.feed(capsule({ opcode: WRITE, cid, sgl1: transportSgl(8192) }));
    expect(sent().length).toBe(7);
    expect([group.buffers.smallFree, group.buffers.largeFree]).toEqual([1, 0]);
  });

  it('keeps in-capsule data in the socket until there is a buffer', () => {
    initialize();
    const taken = [0, 1, 2, 3].map(() => group.buffers.get(512));
    sock.feed(capsule({ opcode: WRITE, cid: 1, sgl1: capsuleSgl(512) }, pattern(512)));
    sock.feed(capsule({ opcode: FLUSH, cid: 2 }));
    expect(group.executed).toEqual([]);
    group.buffers.put(taken[0]!);
    group.memory.poll();
    expect(group.executed.map((request) => request.cid)).toEqual([1, 2]);
  });

  it('does not wait for it for ever: the data is dropped, and its command is to be retried', () => {
    initialize();
    qpair.qid = 1;
    const taken = [0, 1, 2, 3].map(() => group.buffers.get(512));
    sock.feed(capsule({ opcode: WRITE, cid: 1, sgl1: capsuleSgl(512) }, pattern(512)));
    sock.feed(capsule({ opcode: FLUSH, cid: 2 }));
    (group.reactor as { now: number }).now = defaultTcpTimeouts.memory + 1;
    group.pollers.get('nvmf_tcp_deadlines')!();
    expect(group.executed.map((request) => request.cid)).toEqual([2]);
    group.buffers.put(taken[0]!);
    group.memory.poll();
    expect(responseOf(sent())).toMatchObject({ cid: 1, status: genericStatus.commandInterrupted });
    expect(group.buffers.smallFree).toBe(1);
  });
});

describe('data to the host', () => {
  function read(length: number, digests = 0): void {
    sock.feed(capsule({ opcode: READ, cid: 3, nsid: 1, sgl1: transportSgl(length) }, undefined, digests));
  }
  const place = 16384;

  function finish(length: number, status = 0): void {
    const request = executing();
    if (request.region < 0) {
      request.region = 0;
      request.offset = place;
    }
    group.regions.bytes(request.region).set(pattern(length), request.offset);
    group.complete(request, status);
  }

  it('goes in one PDU with LAST, then a response', () => {
    initialize();
    read(4096);
    finish(4096);
    const [data, response] = sent();
    expect([data!.type, data!.flags]).toEqual([pduType.c2hData, pduFlag.last]);
    expect(Buffer.compare(data!.data, pattern(4096))).toBe(0);
    expect(response!.type).toBe(pduType.capsuleResp);
  });

  it('saves the response where the host has no use for it', () => {
    initialize();
    qpair.sqFlowControlDisabled = true;
    read(512);
    finish(512);
    const pdus = sent();
    expect(pdus.map((pdu) => pdu.flags)).toEqual([pduFlag.last | pduFlag.success]);
    read(512);
    group.executed[0]!.dw0 = 1;
    finish(512);
    expect(sent().map((pdu) => pdu.type)).toEqual([pduType.c2hData, pduType.capsuleResp]);
  });

  it('sends the response if the option says so', async () => {
    await setUp({ ...fakeOptions, c2h_success: false });
    initialize();
    qpair.sqFlowControlDisabled = true;
    read(512);
    finish(512);
    expect(sent().map((pdu) => pdu.type)).toEqual([pduType.c2hData, pduType.capsuleResp]);
  });

  it('sends no data with an error', () => {
    initialize();
    read(512);
    finish(512, 0x281);
    const pdus = sent();
    expect(pdus.length).toBe(1);
    expect(statusCode(responseOf(pdus).status)).toBe(0x281);
  });

  it('digests and aligns, and takes its own memory where a digest must hold', () => {
    const digests = pduFlag.hdgst | pduFlag.ddgst;
    initialize(digests, 31);
    qpair.qid = 1;
    for (let round = 0; round < 100; round++) {
      read(1000, digests);
      expect(executing().ownBuffer).toBeGreaterThanOrEqual(0);
      finish(1000);
      const [data, response] = sent();
      expect(pduPdo(data!.view, 0)).toBe(128);
      expect(Buffer.compare(data!.data, pattern(1000))).toBe(0);
      expect(response!.type).toBe(pduType.capsuleResp);
    }
    expect(group.buffers.smallFree).toBe(4);
  });

  it('reuses its ring of headers for ever, in any order of completion', () => {
    initialize(pduFlag.hdgst);
    let cid = 0;
    const open: number[] = [];
    let answers = 0;
    for (let round = 0; round < 500; round++) {
      while (group.executed.length < 1 + ((round * 7) % 8) && qpair.requests.queued < 8) {
        sock.feed(capsule({ opcode: READ, cid, sgl1: transportSgl(8) }, undefined, pduFlag.hdgst));
        open.push(cid++ & 0xffff);
      }
      const request = group.executed[round % group.executed.length]!;
      request.region = 0;
      request.offset = place;
      group.complete(request);
      const pdus = sent(round % 3 === 0);
      if (round % 3 === 0) answers += pdus.length;
    }
    answers += sent().length;
    expect(answers).toBe(1000);
  });
});

describe('the end', () => {
  it('flushes and closes when the controller says so', () => {
    initialize();
    sock.feed(capsule({ opcode: FLUSH, cid: 1 }));
    group.complete(executing());
    qpair.disconnect('test');
    expect(sock.closedWithFlush).toBe(true);
    expect(sock.pieces.length).toBe(1);
    expect(group.closing).toEqual([qpair]);
    qpair.disconnect('again');
    sock.end();
    expect(group.closing.length).toBe(1);
    expect(group.removed).toEqual([qpair]);
  });

  it('ends on a termination request of the host', () => {
    initialize();
    const bytes = new Uint8Array(24 + 8);
    bytes.set([2, 0, 24, 0, 32, 0, 0, 0, 1, 0]);
    sock.feed(bytes, 7);
    expect(sock.closed).toBe(true);
  });

  const later = (ticks: number): void => {
    (group.reactor as { now: number }).now += ticks;
    group.pollers.get('nvmf_tcp_deadlines')!();
  };

  it('drops who sends no ICReq, no Connect, or does not close', () => {
    later(defaultTcpTimeouts.icreq);
    expect(sock.closed).toBe(false);
    later(1);
    expect(sock.closed).toBe(true);
  });

  it('drops who sends no Connect', () => {
    initialize();
    later(defaultTcpTimeouts.connect + 1);
    expect(sock.closed).toBe(true);
  });

  it('drops who does not close after a termination request', () => {
    sock.feed(capsule({ opcode: FLUSH }));
    expectTermReq(fes.pduSequenceError);
    later(defaultTcpTimeouts.terminate);
    expect(sock.closed).toBe(false);
    later(1);
    expect(sock.closedWithFlush).toBe(false);
  });

  it('drops who takes nothing of what it asked for', () => {
    initialize();
    qpair.qid = 1;
    later(1);
    sock.feed(capsule({ opcode: FLUSH, cid: 1 }));
    group.complete(executing());
    transport.poll();
    transport.flush();
    later(1);
    later(defaultTcpTimeouts.send - 1);
    expect(sock.closed).toBe(false);
    later(1);
    expect(sock.closed).toBe(true);
  });

  it('drops who stops in the middle of a PDU, but not who is slow', () => {
    initialize();
    qpair.qid = 1;
    const bytes = capsule({ opcode: WRITE, cid: 1, sgl1: capsuleSgl(512) }, pattern(512));
    for (let at = 0; at < 500; at += 50) {
      sock.feed(bytes.subarray(at, at + 50));
      later(defaultTcpTimeouts.receive / 2);
    }
    expect(sock.closed).toBe(false);
    later(defaultTcpTimeouts.receive + 1);
    expect(sock.closed).toBe(true);
    sock.end();
    expect(group.buffers.smallFree).toBe(4);
  });

  it('drops who goes on with one PDU for ever, byte by byte', () => {
    initialize();
    qpair.qid = 1;
    const bytes = capsule({ opcode: WRITE, cid: 1, sgl1: capsuleSgl(512) }, pattern(512));
    const step = defaultTcpTimeouts.receive / 2;
    let at = 0;
    for (let time = step; time <= defaultTcpTimeouts.transfer; time += step) {
      sock.feed(bytes.subarray(at, ++at));
      later(step);
      expect(sock.closed).toBe(false);
    }
    sock.feed(bytes.subarray(at, ++at));
    later(step);
    sock.feed(bytes.subarray(at, ++at));
    later(step);
    expect(sock.closed).toBe(true);
    expect(group.counts.dropped_connections).toBe(1);
  });

  it('does not blame a host for what is not received from it', () => {
    initialize();
    qpair.qid = 1;
    const bytes = capsule({ opcode: WRITE, cid: 1, sgl1: capsuleSgl(512) }, pattern(512));
    sock.feed(bytes.subarray(0, 50));
    later(1);
    sock.rxStalled = true;
    later(2 * defaultTcpTimeouts.receive);
    expect(sock.closed).toBe(false);
    sock.rxStalled = false;
    later(defaultTcpTimeouts.receive + 1);
    expect(sock.closed).toBe(true);
  });

  it('drops who sends no data that it was asked for, whatever else it sends', () => {
    initialize();
    qpair.qid = 1;
    sock.feed(capsule({ opcode: WRITE, cid: 1, sgl1: transportSgl(8192) }));
    const ttag = pduTtag(sent()[0]!.view, 0);
    for (let i = 0; i < 2; i++) {
      later(defaultTcpTimeouts.receive - 1);
      sock.feed(h2cData(1, ttag, i * 512, pattern(512), false));
    }
    later(defaultTcpTimeouts.receive - 1);
    sock.feed(capsule({ opcode: FLUSH, cid: 2 }));
    expect(sock.closed).toBe(false);
    later(2);
    expect(sock.closed).toBe(true);
  });

  it('lets an idle connection be', () => {
    initialize();
    qpair.qid = 0;
    for (let i = 0; i < 100; i++) later(defaultTcpTimeouts.receive);
    expect(sock.closed).toBe(false);
  });
});
