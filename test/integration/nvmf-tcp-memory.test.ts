import { nvmOpcode, pduFlag, pduTtag, pduType, sglId, viewOf } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pattern, type RawQueue, read, write } from '../host/index.ts';
import { TcpTarget } from './nvmf-tcp-target.ts';

/** Buffers of all reactors together: far fewer than what the hosts below ask for at once. */
const config = {
  subsystems: [
    {
      subsystem: 'iobuf',
      config: [{ method: 'iobuf_set_options', params: { small_pool_count: 16, large_pool_count: 8 } }],
    },
  ],
};

let target: TcpTarget;

beforeAll(async () => {
  target = await TcpTarget.start({}, config);
});
afterAll(() => target?.stop());

it('serves many deep queues with few buffers', async () => {
  const hosts = await Promise.all([
    target.host(3),
    target.host(3, { digests: pduFlag.ddgst }),
    target.host(2, { digests: pduFlag.hdgst | pduFlag.ddgst }),
  ]);
  const queues = hosts.flatMap((host) => host.queues);
  const one = async (queue: RawQueue, q: number): Promise<void> => {
    for (let round = 0; round < 3; round++) {
      const lengths = Array.from(
        { length: 40 },
        (_, i) => 512 * (1 + ((i * 7 + q) % 8) * (i % 5 === 0 ? 32 : 1)),
      );
      const at = (i: number): number => q * 12_000 + i * 256;
      const seed = (i: number): number => q * 10_000 + round * 100 + i;
      for (const done of await Promise.all(lengths.map((n, i) => write(queue, at(i), pattern(n, seed(i))))))
        expect(done.status).toBe(0);
      const back = await Promise.all(lengths.map((n, i) => read(queue, at(i), n)));
      back.forEach(({ status, data }, i) => {
        expect(status).toBe(0);
        expect(Buffer.compare(data, pattern(lengths[i]!, seed(i)))).toBe(0);
      });
    }
  };
  await Promise.all(queues.map(one));
  for (const host of hosts) host.close();
});

it('gets every buffer back from hosts that stop half way', async () => {
  for (let i = 0; i < 40; i++) {
    const host = await target.host(1);
    const [queue] = host.queues;
    const cid = queue!.newCid();
    queue!.expect(cid).catch(() => {});
    const asked = new Promise<number>((resolve) => {
      queue!.stream.socket.prependListener('data', (chunk: Buffer) => {
        if (chunk[0] === pduType.r2t) resolve(pduTtag(viewOf(chunk), 0));
      });
    });
    const length = i % 2 ? 8192 : 65536;
    const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length };
    const fields = { opcode: nvmOpcode.write, nsid: 1, psdt: 1, cid, sgl1, cdw12: length / 512 - 1 };
    queue!.stream.send(queue!.capsule(fields));
    const ttag = await asked;
    queue!.stream.send(queue!.h2cData(cid, ttag, 0, pattern(length, i), true).subarray(0, 3000 + i));
    await new Promise((resolve) => setTimeout(resolve, 5));
    host.close();
  }
  await target.expectService();
});

it('is not held up by a host that keeps all buffers it can get', async () => {
  const greedy = await target.host(1);
  const [queue] = greedy.queues;
  // R2Ts that are never answered hold a buffer each, as many as the reactor has.
  for (let i = 0; i < 30; i++) {
    const cid = queue!.newCid();
    queue!.expect(cid).catch(() => {});
    const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: 8192 };
    queue!.stream.send(queue!.capsule({ opcode: nvmOpcode.write, nsid: 1, psdt: 1, cid, sgl1, cdw12: 15 }));
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  greedy.close();
  await target.expectService();
});
