// Compare and Write through NVMe/TCP: hosts that count together lose no count.
import { nvmOpcode } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pattern, type RawQueue, read, write } from '../host/index.ts';
import { TcpTarget } from './nvmf-tcp-target.ts';

const FIRST = 1;
const SECOND = 2;
const MISCOMPARE = 0x285;
const FAILED = 0x009;

let target: TcpTarget;
beforeAll(async () => {
  target = await TcpTarget.start();
});
afterAll(() => target?.stop());

/** Statuses of the two halves. `r2t`: the data of both are asked for, so those of the second may come first. */
async function compareAndWrite(
  queue: RawQueue,
  lba: number,
  before: Uint8Array,
  after: Uint8Array,
  r2t = false,
) {
  const fields = { nsid: 1, cdw10: lba, cdw12: before.length / 512 - 1, psdt: 1 };
  const send = (opcode: number, fuse: number, data: Uint8Array) =>
    r2t
      ? queue.submitR2t({ ...fields, opcode, fuse }, data)
      : queue.submit({ ...fields, opcode, fuse }, data);
  const halves = [send(nvmOpcode.compare, FIRST, before), send(nvmOpcode.write, SECOND, after)];
  return (await Promise.all(halves)).map(({ status }) => status);
}

it.each([false, true])(
  'writes if the blocks are as expected, and only then (data asked for: %s)',
  async (r2t) => {
    const host = await target.host();
    const [queue] = host.queues as [RawQueue];
    const [old, fresh] = [pattern(512, 1), pattern(512, 2)];
    expect((await write(queue, 64, old)).status).toBe(0);
    expect(await compareAndWrite(queue, 64, fresh, old, r2t)).toEqual([MISCOMPARE, FAILED]);
    expect(Buffer.compare((await read(queue, 64, 512)).data, old)).toBe(0);
    expect(await compareAndWrite(queue, 64, old, fresh, r2t)).toEqual([0, 0]);
    expect(Buffer.compare((await read(queue, 64, 512)).data, fresh)).toBe(0);
    host.close();
  },
);

it('is one step for hosts on different reactors', async () => {
  const host = await target.host(2);
  const block = (count: number) => {
    const bytes = new Uint8Array(512);
    new DataView(bytes.buffer).setUint32(0, count, true);
    return bytes;
  };
  const queues = host.queues as RawQueue[];
  expect((await write(queues[0]!, 80, block(0))).status).toBe(0);
  const EACH = 100;
  const count = async (queue: RawQueue): Promise<void> => {
    for (let done = 0; done < EACH; ) {
      const { data } = await read(queue, 80, 512);
      const seen = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
      const [compared, written] = await compareAndWrite(queue, 80, block(seen), block(seen + 1));
      if (compared === 0 && written === 0) done++;
      else expect([compared, written]).toEqual([MISCOMPARE, FAILED]);
    }
  };
  await Promise.all(queues.map(count));
  const { data } = await read(queues[0]!, 80, 512);
  expect(data.readUInt32LE(0)).toBe(EACH * queues.length);
  host.close();
});
