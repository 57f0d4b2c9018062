import { fes, genericStatus, pduCccid, pduTtag } from '@spdk-ts/nvme-spec';
import { describe, expect, it } from 'vitest';
import {
  capsule,
  capsuleSgl,
  executing,
  expectTermReq,
  FLUSH,
  group,
  h2cData,
  initialize,
  pattern,
  qpair,
  responseOf,
  sent,
  sock,
  transport,
  transportSgl,
  useQpair,
  WRITE,
} from '../../test-support/tcp-qpair-bed.ts';
import { defaultTcpTimeouts } from './limits.ts';

useQpair();

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
