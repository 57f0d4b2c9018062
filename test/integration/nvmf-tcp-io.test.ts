import { native } from '@spdk-ts/native';
import { pduFlag, status, statusSc } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pattern, type RawQueue, read, type WriteWay, write } from '../host/index.ts';
import { SERVICE_LBA, TcpTarget } from './nvmf-tcp-target.ts';

const TRANSIENT_TRANSPORT_ERROR = 0x22;
const LBA_OUT_OF_RANGE = 0x80;

let target: TcpTarget;

beforeAll(async () => {
  target = await TcpTarget.start();
});
afterAll(() => target?.stop());

async function verify(queue: RawQueue, lba: number, data: Buffer, way: WriteWay): Promise<void> {
  const written = await write(queue, lba, data, { way });
  expect(written.status, `write of ${data.length} bytes by ${way}`).toBe(0);
  const back = await read(queue, lba, data.length);
  expect(back.status).toBe(0);
  expect(back.data.length).toBe(data.length);
  expect(Buffer.compare(back.data, data), `read of ${data.length} bytes`).toBe(0);
}

const digestSets: [string, number][] = [
  ['no digests', 0],
  ['a header digest', pduFlag.hdgst],
  ['a data digest', pduFlag.ddgst],
  ['both digests', pduFlag.hdgst | pduFlag.ddgst],
];

describe.each(digestSets)('with %s', (_, digests) => {
  it('writes and reads back every size from 512 B to 128 KiB', async () => {
    const host = await target.host(1, { digests });
    const [queue] = host.queues;
    expect(queue!.digests).toBe(digests);
    let lba = 0;
    for (let length = 512; length <= 128 * 1024; length += 512) {
      const ways: WriteWay[] = length <= 4096 ? ['capsule', 'r2t'] : ['r2t'];
      for (const way of ways) {
        await verify(queue!, lba, pattern(length, lba + digests), way);
        lba = (lba + length / 512) % 60_000;
      }
    }
    host.close();
  });

  it('takes H2CData in pieces of any size', async () => {
    const host = await target.host(1, { digests });
    const [queue] = host.queues;
    for (const piece of [4, 100, 512, 1000, 4096, 65536, 131068]) {
      queue!.h2cMax = piece;
      await verify(queue!, 2048, pattern(piece < 100 ? 4096 : 131072, piece), 'r2t');
    }
    host.close();
  });

  it('keeps a deep queue in order with itself', async () => {
    const host = await target.host(1, { digests });
    const [queue] = host.queues;
    const lengths = Array.from({ length: 48 }, (_, i) => 512 * (1 + ((i * 37) % 64)));
    for (let round = 0; round < 4; round++) {
      const written = lengths.map((length, i) => write(queue!, i * 128, pattern(length, i + round * 100)));
      for (const done of await Promise.all(written)) expect(done.status).toBe(0);
      const back = await Promise.all(lengths.map((length, i) => read(queue!, i * 128, length)));
      back.forEach(({ data }, i) => {
        expect(Buffer.compare(data, pattern(lengths[i]!, i + round * 100))).toBe(0);
      });
    }
    host.close();
  });
});

describe('data from the target', () => {
  it('ends with SUCCESS where the host has no use for SQHD, and only there', async () => {
    const without = await target.host(1, { disableSqFlowControl: true });
    expect((await read(without.queues[0]!, 0, 4096)).implicit).toBe(true);
    const failed = await read(without.queues[0]!, 1_000_000, 4096);
    expect([failed.implicit, statusSc(failed.status)]).toEqual([false, LBA_OUT_OF_RANGE]);
    const withControl = await target.host(1);
    expect((await read(withControl.queues[0]!, 0, 4096)).implicit).toBe(false);
    without.close();
    withControl.close();
  });

  it('is aligned as the host asks', async () => {
    for (const hpda of [1, 7, 31]) {
      const host = await target.host(1, { hpda, digests: pduFlag.hdgst });
      const [queue] = host.queues;
      let pdo = 0;
      queue!.stream.socket.prependListener('data', (chunk: Buffer) => {
        if (chunk[0] === 7) pdo = chunk[3]!;
      });
      await verify(queue!, 0, pattern(4096, hpda), 'capsule');
      expect(pdo).toBeGreaterThan(0);
      expect(pdo % ((hpda + 1) * 4)).toBe(0);
      host.close();
    }
  });

  it('tells how far the submission queue has been read', async () => {
    const host = await target.host(1);
    const [queue] = host.queues;
    const heads: number[] = [];
    for (let i = 0; i < 130; i++) heads.push((await read(queue!, 0, 512)).sqhd);
    for (let i = 1; i < heads.length; i++) expect(heads[i]).toBe((heads[i - 1]! + 1) % 64);
    host.close();
  });
});

describe('several queues on two reactors', () => {
  it('serve one namespace together', async () => {
    const host = await target.host(6);
    const other = await target.host(4, { digests: pduFlag.hdgst | pduFlag.ddgst });
    const queues = [...host.queues, ...other.queues];
    const work = queues.map(async (queue, q) => {
      for (let i = 0; i < 60; i++) {
        const lba = q * 8192 + (i % 16) * 256;
        await verify(
          queue,
          lba,
          pattern(512 << (i % 9), q * 1000 + i),
          i % 2 ? 'r2t' : i % 9 < 4 ? 'capsule' : 'r2t',
        );
      }
    });
    await Promise.all(work);
    // What one queue wrote, the others read.
    await write(queues[0]!, 100_000, pattern(65536, 4711));
    for (const queue of queues)
      expect(Buffer.compare((await read(queue, 100_000, 65536)).data, pattern(65536, 4711))).toBe(0);
    const groups = (await target.target.rpc('nvmf_get_stats')).poll_groups;
    expect(groups.length).toBe(2);
    // Without the addon a connection stays where it was accepted.
    if (native !== null) for (const group of groups) expect(group.current_io_qpairs).toBeGreaterThan(0);
    host.close();
    other.close();
  });
});

describe('bad data digests', () => {
  it('fail the command alone, and change nothing', async () => {
    const host = await target.host(1, { digests: pduFlag.ddgst | pduFlag.hdgst });
    const [queue] = host.queues;
    const data = pattern(16384, 99);
    await verify(queue!, SERVICE_LBA, data, 'r2t');
    for (const [way, length] of [
      ['capsule', 4096],
      ['r2t', 16384],
    ] as const) {
      queue!.spoilDataDigest = true;
      const failed = await write(queue!, SERVICE_LBA, pattern(length, 100), { way });
      expect(failed.status).toBe(status(0, TRANSIENT_TRANSPORT_ERROR));
      expect(Buffer.compare((await read(queue!, SERVICE_LBA, 16384)).data, data)).toBe(0);
    }
    // One bad piece of many.
    queue!.h2cMax = 1024;
    queue!.spoilDataDigest = true;
    const failed = await write(queue!, SERVICE_LBA, pattern(16384, 100), { way: 'r2t' });
    expect(statusSc(failed.status)).toBe(TRANSIENT_TRANSPORT_ERROR);
    await verify(queue!, SERVICE_LBA, pattern(16384, 101), 'r2t');
    host.close();
  });
});
