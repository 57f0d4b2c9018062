import {
  encodePduHeader,
  fes,
  nvmOpcode,
  pduFlag,
  pduTtag,
  pduType,
  sglId,
  statusSc,
  termReqFei,
  termReqFes,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Pdu, PduStream, pattern, RawQueue, read, write } from '../host/index.ts';
import { eventually } from '../linux-guest/target.ts';
import { NQN, TcpTarget } from './nvmf-tcp-target.ts';

/** ICREQ_TIMEOUT of the target and then some, ms. */
const ICREQ_TIMEOUT_MS = 12_000;

let target: TcpTarget;

beforeAll(async () => {
  target = await TcpTarget.start();
  await target.expectService();
});
afterEach(async () => {
  await target.expectService();
});
afterAll(() => target?.stop());

function header(
  type: number,
  flags: number,
  hlen: number,
  pdo: number,
  plen: number,
  bytes = hlen,
): Uint8Array {
  const out = new Uint8Array(Math.max(8, bytes));
  encodePduHeader(viewOf(out), 0, type, flags, hlen, pdo, plen);
  return out;
}

/** Ends with a termination request, and the target closes once we have. */
async function expectTermination(stream: PduStream, wanted: number, information?: number): Promise<Pdu> {
  let last: Pdu | null = null;
  for (let pdu = await stream.next(); pdu !== null; pdu = await stream.next()) {
    last = pdu;
    if (pdu.type === pduType.c2hTermReq) break;
  }
  expect(last?.type).toBe(pduType.c2hTermReq);
  expect(termReqFes(last!.view, 0)).toBe(wanted);
  if (information !== undefined) expect(termReqFei(last!.view, 0)).toBe(information);
  stream.socket.end();
  await stream.closed;
  return last!;
}

/** A queue past ICResp, whose PDUs the test takes itself. */
async function expectQueueTermination(queue: RawQueue, wanted: number, information?: number): Promise<void> {
  await eventually(5, 'termination request', () => queue.terminated !== null);
  expect(termReqFes(queue.terminated!.view, 0)).toBe(wanted);
  if (information !== undefined) expect(termReqFei(queue.terminated!.view, 0)).toBe(information);
  queue.stream.socket.end();
  await queue.stream.closed;
}

describe('before ICResp', () => {
  it.each<[string, Uint8Array, number, number]>([
    ['an unknown PDU type', header(0x42, 0, 8, 0, 8), fes.invalidHeaderField, 0],
    ['a PDU type for hosts', header(pduType.r2t, 0, 24, 0, 24), fes.invalidHeaderField, 0],
    ['a command', header(pduType.capsuleCmd, 0, 72, 0, 72), fes.pduSequenceError, 0],
    ['data', header(pduType.h2cData, 0, 24, 24, 536), fes.pduSequenceError, 0],
    ['an ICReq of a wrong header length', header(pduType.icReq, 0, 120, 0, 128), fes.invalidHeaderField, 2],
    ['an ICReq of a wrong length', header(pduType.icReq, 0, 128, 0, 1 << 30), fes.invalidHeaderField, 4],
    ['an ICReq of length 0', header(pduType.icReq, 0, 128, 0, 0), fes.invalidHeaderField, 4],
  ])('%s ends in a termination request', async (_, bytes, wanted, information) => {
    const stream = await PduStream.open(target.port);
    stream.send(bytes);
    const pdu = await expectTermination(stream, wanted, information);
    // It quotes the header at fault.
    expect(Buffer.compare(pdu.data, Buffer.from(bytes.subarray(0, pdu.data.length)))).toBe(0);
    expect(pdu.data.length).toBeGreaterThanOrEqual(8);
  });

  it('an unknown version ends in a termination request', async () => {
    const stream = await PduStream.open(target.port);
    const bytes = header(pduType.icReq, 0, 128, 0, 128);
    bytes[8] = 1;
    stream.send(bytes);
    await expectTermination(stream, fes.invalidHeaderField, 8);
  });

  it('an HTTP request is answered and closed', async () => {
    const stream = await PduStream.open(target.port);
    stream.send(Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
    await expectTermination(stream, fes.invalidHeaderField);
  });

  it('closes a connection that sends nothing, and one that sends half an ICReq', {
    timeout: 30_000,
  }, async () => {
    const silent = await PduStream.open(target.port);
    const half = await PduStream.open(target.port);
    half.send(header(pduType.icReq, 0, 128, 0, 128).subarray(0, 60));
    await target.expectService();
    expect(await silent.untilClosed(ICREQ_TIMEOUT_MS)).toEqual([]);
    expect(await half.untilClosed(ICREQ_TIMEOUT_MS)).toEqual([]);
    silent.destroy();
    half.destroy();
  });
});

describe('after ICResp', () => {
  it.each<[string, Uint8Array, number, number]>([
    ['a second ICReq', header(pduType.icReq, 0, 128, 0, 128), fes.pduSequenceError, 0],
    ['an unknown PDU type', header(0x0a, 0, 24, 0, 24), fes.invalidHeaderField, 0],
    [
      'a capsule of a wrong header length',
      header(pduType.capsuleCmd, 0, 64, 0, 72, 72),
      fes.invalidHeaderField,
      2,
    ],
    [
      'a capsule shorter than its header',
      header(pduType.capsuleCmd, 0, 72, 0, 71),
      fes.invalidHeaderField,
      4,
    ],
    [
      'a capsule of 4 GiB',
      header(pduType.capsuleCmd, 0, 72, 72, 0xffff_ffff),
      fes.dataTransferLimitExceeded,
      4,
    ],
    [
      'a capsule whose data begins in its header',
      header(pduType.capsuleCmd, 0, 72, 8, 584),
      fes.invalidHeaderField,
      3,
    ],
    [
      'a digest flag without digests',
      header(pduType.capsuleCmd, 1, 72, 0, 76, 76),
      fes.invalidHeaderField,
      1,
    ],
    [
      'H2CData for no request',
      header(pduType.h2cData, 4, 24, 24, 24 + 512, 24 + 512),
      fes.invalidHeaderField,
      16,
    ],
    [
      'H2CData beyond MAXH2CDATA',
      header(pduType.h2cData, 4, 24, 24, 24 + 131076),
      fes.dataTransferLimitExceeded,
      4,
    ],
  ])('%s ends in a termination request', async (_, bytes, wanted, information) => {
    const queue = await RawQueue.open({ port: target.port });
    queue.stream.send(bytes);
    await expectQueueTermination(queue, wanted, information);
  });

  it('a wrong header digest ends in a termination request', async () => {
    const queue = await RawQueue.open({ port: target.port, digests: pduFlag.hdgst });
    const bytes = queue.capsule({ opcode: 0x18, cid: 1 });
    bytes[12]! ^= 0x10;
    queue.stream.send(bytes);
    await expectQueueTermination(queue, fes.headerDigestError, viewOf(bytes).getUint32(72, true));
  });

  it('a command other than Connect first is refused', async () => {
    const queue = await RawQueue.open({ port: target.port });
    const done = await queue.submit({ opcode: 0x18, psdt: 1 });
    expect(done.status).not.toBe(0);
    queue.close();
  });

  it('a termination request of the host ends the connection', async () => {
    const host = await target.host(1);
    const [queue] = host.queues;
    const bytes = header(pduType.h2cTermReq, 0, 24, 0, 24);
    bytes[8] = fes.pduSequenceError;
    queue!.stream.send(bytes);
    await queue!.stream.closed;
    host.close();
  });
});

describe('commands', () => {
  it('with unknown opcodes, wrong namespaces and wrong ranges fail alone', async () => {
    const host = await target.host(1);
    const [queue] = host.queues;
    for (let opcode = 0x84; opcode <= 0xff; opcode++) {
      const done = await queue!.submit({ opcode: opcode & 0xfc, nsid: 1, psdt: 1 });
      expect(statusSc(done.status), `opcode ${opcode}`).toBe(0x01);
    }
    expect(statusSc((await read(queue!, 0, 512, { nsid: 77 })).status)).toBe(0x0b);
    expect(statusSc((await read(queue!, 131_072, 512)).status)).toBe(0x80);
    expect(statusSc((await write(queue!, 131_071, pattern(1024, 1))).status)).toBe(0x80);
    expect((await read(queue!, 0, 512)).status).toBe(0);
    host.close();
  });

  it('whose length is not that of their blocks fail alone', async () => {
    const host = await target.host(1);
    const [queue] = host.queues;
    const rw = { nsid: 1, psdt: 1, cdw10: 0, cdw12: 7 };
    expect((await queue!.submitRead({ ...rw, opcode: nvmOpcode.read }, 512)).status).not.toBe(0);
    expect((await queue!.submit({ ...rw, opcode: nvmOpcode.write }, pattern(512, 1))).status).not.toBe(0);
    expect((await queue!.submitR2t({ ...rw, opcode: nvmOpcode.write }, pattern(8192, 1))).status).not.toBe(0);
    const huge = await queue!.submitRead({ ...rw, opcode: nvmOpcode.read, cdw12: 0xffff }, 32 << 20);
    expect(huge.status).not.toBe(0);
    expect((await read(queue!, 0, 512)).status).toBe(0);
    host.close();
  });

  it('with the wrong kind of SGL fail alone', async () => {
    const host = await target.host(1);
    const [queue] = host.queues;
    for (const identifier of [0x00, 0x10, 0x20, 0x30, 0x40, 0x5b, 0xf0]) {
      const sgl1 = { identifier, address: 4096, length: 512 };
      const done = await queue!.submit({ opcode: nvmOpcode.read, nsid: 1, psdt: 1, sgl1 });
      expect(statusSc(done.status), `SGL ${identifier}`).toBe(0x11);
    }
    host.close();
  });

  it('beyond the depth of the queue end the connection', async () => {
    const host = await target.host(1);
    const [queue] = host.queues;
    const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: 4096 };
    // Writes whose R2T is never answered stay outstanding.
    for (let i = 0; i < 130; i++) {
      const cid = queue!.newCid();
      queue!.expect(cid).catch(() => {});
      queue!.stream.send(queue!.capsule({ opcode: nvmOpcode.write, nsid: 1, psdt: 1, cid, sgl1, cdw12: 7 }));
    }
    await queue!.stream.closed;
    host.close();
  });
});

describe('H2CData', () => {
  async function withR2t(
    test: (queue: RawQueue, cid: number, ttag: number) => Promise<void>,
    nsid = 1,
  ): Promise<void> {
    const host = await target.host(1);
    const [queue] = host.queues;
    const cid = queue!.newCid();
    queue!.expect(cid).catch(() => {});
    const seen = new Promise<number>((resolve) => {
      queue!.stream.socket.prependListener('data', (chunk: Buffer) => {
        if (chunk[0] === pduType.r2t) resolve(pduTtag(viewOf(chunk), 0));
      });
    });
    const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: 8192 };
    queue!.stream.send(queue!.capsule({ opcode: nvmOpcode.write, nsid, psdt: 1, cid, sgl1, cdw12: 15 }));
    await test(queue!, cid, await seen);
    host.close();
  }
  const data = pattern(8192, 5);

  it.each<[string, (q: RawQueue, cid: number, ttag: number) => Uint8Array, number]>([
    ['a wrong TTAG', (q, cid, ttag) => q.h2cData(cid, ttag ^ 0x1234, 0, data, true), fes.invalidHeaderField],
    ['a wrong CCCID', (q, cid, ttag) => q.h2cData(cid ^ 1, ttag, 0, data, true), fes.invalidHeaderField],
    ['a gap', (q, cid, ttag) => q.h2cData(cid, ttag, 4096, data.subarray(4096), true), fes.pduSequenceError],
    [
      'LAST too early',
      (q, cid, ttag) => q.h2cData(cid, ttag, 0, data.subarray(4096), true),
      fes.pduSequenceError,
    ],
    ['too much', (q, cid, ttag) => q.h2cData(cid, ttag, 4096, data, true), fes.dataTransferOutOfRange],
  ])('with %s ends in a termination request', async (_, make, wanted) => {
    await withR2t(async (queue, cid, ttag) => {
      queue.stream.send(make(queue, cid, ttag));
      await expectQueueTermination(queue, wanted);
    });
  });

  it('of a second transfer of the same data ends in a termination request', async () => {
    await withR2t(async (queue, cid, ttag) => {
      queue.stream.send(queue.h2cData(cid, ttag, 0, data, true), queue.h2cData(cid, ttag, 0, data, true));
      await expectQueueTermination(queue, fes.invalidHeaderField, 10);
    });
  });

  it('cut in half does not hold its bdev, nor the subsystem that is to let it go', async () => {
    const { target: process } = target;
    await process.createMalloc('Malloc1', 1024 * 1024);
    await process.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'Malloc1', nsid: 2 } });
    await withR2t(async (queue, cid, ttag) => {
      const pdu = queue.h2cData(cid, ttag, 0, data, true);
      queue.stream.send(pdu.subarray(0, pdu.length / 2));
      // Other hosts go on meanwhile; this one has two seconds, then it is cut off.
      await target.expectService();
      await process.rpc('nvmf_subsystem_remove_ns', { nqn: NQN, nsid: 2 });
      await process.rpc('bdev_malloc_delete', { name: 'Malloc1' });
      await queue.stream.closed;
    }, 2);
  });
});

describe('slow and dead hosts', () => {
  it('a host that reads nothing does not disturb the others', async () => {
    const host = await target.host(1);
    const [queue] = host.queues;
    queue!.stream.socket.pause();
    for (let i = 0; i < 60; i++) read(queue!, i * 256, 131072).catch(() => {});
    for (let i = 0; i < 5; i++) await target.expectService();
    // It takes up reading again: everything is there.
    const last = read(queue!, 0, 512);
    queue!.stream.socket.resume();
    expect((await last).status).toBe(0);
    host.close();
  });

  it('a host that sends byte by byte is served', async () => {
    const host = await target.host(1, { digests: pduFlag.hdgst | pduFlag.ddgst });
    const [queue] = host.queues;
    const cid = queue!.newCid();
    const data = pattern(512, 77);
    const sgl1 = { identifier: sglId.inCapsule, address: 0, length: 512 };
    const done = queue!.expect(cid);
    await queue!.stream.sendTorn(
      queue!.capsule({ opcode: nvmOpcode.write, nsid: 1, psdt: 1, cid, sgl1 }, data),
      () => 1,
    );
    expect((await done).status).toBe(0);
    expect(Buffer.compare((await read(queue!, 0, 512)).data, data)).toBe(0);
    host.close();
  });

  it('200 connections opened and dropped leave nothing behind', { timeout: 120_000 }, async () => {
    const settled = async (): Promise<number> => {
      let last = -1;
      return await eventually(20, 'a steady number of descriptors', async () => {
        const now = target.descriptors;
        const steady = now === last;
        last = now;
        await new Promise((resolve) => setTimeout(resolve, 300));
        return steady ? now : undefined;
      });
    };
    const round = async (): Promise<void> => {
      const streams = await Promise.all(Array.from({ length: 100 }, () => PduStream.open(target.port)));
      streams.forEach((stream, i) => {
        if (i % 4 === 1) stream.send(header(pduType.icReq, 0, 128, 0, 128).subarray(0, i));
        if (i % 4 === 2) stream.send(header(pduType.icReq, 0, 128, 0, 128));
        if (i % 4 === 3) stream.send(pattern(500, i));
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
      streams.forEach((stream, i) => {
        if (i % 2) stream.socket.resetAndDestroy();
        else stream.destroy();
      });
      const hosts = await Promise.all(Array.from({ length: 50 }, () => target.host(1)));
      for (const host of hosts) host.close();
    };
    await target.expectService();
    const descriptors = await settled();
    // The heap finds its size over some rounds and breathes between collections: a leak would lift even its lows
    // above the first highs.
    const rounds = async (count: number): Promise<number[]> => {
      const resident: number[] = [];
      for (let i = 0; i < count; i++) {
        await round();
        resident.push(target.resident / 1024 / 1024);
      }
      return resident;
    };
    const first = await rounds(8);
    expect(await settled()).toBeLessThanOrEqual(descriptors);
    const later = await rounds(8);
    expect(await settled()).toBeLessThanOrEqual(descriptors);
    expect(Math.min(...later), `${first} then ${later}`).toBeLessThan(Math.max(...first) + 24);
    expect(await target.target.controllers()).toEqual([]);
  });
});

describe('random bytes', () => {
  const seed = Number(process.env['NVMF_TCP_SEED'] ?? Date.now() % 1_000_000);

  it(`are survived (NVMF_TCP_SEED=${seed})`, { timeout: 120_000 }, async () => {
    console.log(`NVMF_TCP_SEED=${seed}`);
    let state = seed >>> 0 || 1;
    const random = (bound: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * bound);
    };
    for (let i = 0; i < 200; i++) {
      const stream = await PduStream.open(target.port);
      stream.send(pattern(1 + random(5000), random(2 ** 31)));
      await new Promise((resolve) => setTimeout(resolve, random(5)));
      stream.destroy();
    }
    for (let i = 0; i < 300; i++) {
      // Past ICResp, with headers that can be believed up to a random byte.
      const queue = await RawQueue.open({ port: target.port, digests: random(4) });
      queue.lenient = true;
      for (let n = random(20); n >= 0; n--) {
        const data = pattern(random(4) ? 0 : 4 * random(2048), random(2 ** 31));
        const fields = {
          ...{ opcode: random(256), cid: random(65536), nsid: random(4), fuse: random(4), psdt: random(4) },
          ...{
            cdw10: random(2 ** 32),
            cdw11: random(2 ** 32),
            cdw12: random(2 ** 32),
            cdw13: random(2 ** 32),
          },
          sgl1: { identifier: random(2) ? sglId.inCapsule : random(256), address: 0, length: data.length },
        };
        const bytes = random(3)
          ? queue.capsule(fields, data)
          : queue.h2cData(random(65536), random(130), 0, data, true);
        if (random(4) === 0) bytes[random(bytes.length)]! ^= 1 << random(8);
        queue.stream.send(bytes.subarray(0, random(10) ? bytes.length : random(bytes.length)));
      }
      await new Promise((resolve) => setTimeout(resolve, random(5)));
      queue.close();
    }
    for (let i = 0; i < 150; i++) {
      // Connected, any command: to the admin queue or an I/O queue.
      const host = await target.host(1, { digests: random(4) });
      const queue = random(2) ? host.admin : host.queues[0]!;
      queue.lenient = true;
      for (let n = 0; n < 30 && !queue.stream.ended; n++) {
        const data = pattern(random(3) ? 0 : 4 * random(1024), random(2 ** 31));
        const bytes = queue.capsule(
          {
            ...{
              opcode: random(2) ? random(256) : random(26),
              cid: 0x8000 | random(0x7fff),
              nsid: random(3),
              psdt: 1,
            },
            ...{ cdw2: random(2 ** 32), cdw3: random(2 ** 32), cdw10: random(2 ** 32), cdw11: random(1000) },
            ...{
              cdw12: random(2 ** 32),
              cdw13: random(2 ** 32),
              cdw14: random(2 ** 32),
              cdw15: random(2 ** 32),
            },
            sgl1: {
              identifier: data.length > 0 ? sglId.inCapsule : sglId.transportDataBlock,
              address: 0,
              length: data.length || random(200_000),
            },
          },
          data,
        );
        queue.stream.send(bytes);
      }
      await new Promise((resolve) => setTimeout(resolve, random(10)));
      host.close();
    }
  });
});
