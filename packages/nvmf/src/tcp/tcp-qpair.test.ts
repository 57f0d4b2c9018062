import {
  fes,
  genericStatus,
  pduCccid,
  pduDatal,
  pduFlag,
  pduPdo,
  pduTtag,
  pduType,
  type SqeFields,
  statusCode,
  statusSc,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { describe, expect, it } from 'vitest';
import { fakeOptions } from '../../test-support/tcp-fakes.ts';
import {
  capsule,
  capsuleSgl,
  executing,
  expectTermReq,
  FLUSH,
  group,
  h2cData,
  icReq,
  initialize,
  pattern,
  qpair,
  READ,
  responseOf,
  sent,
  setUp,
  sock,
  transport,
  transportSgl,
  useQpair,
  WRITE,
} from '../../test-support/tcp-qpair-bed.ts';
import { TcpState } from './tcp-qpair.ts';

useQpair();

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
