// Key value namespaces through NVMe/TCP, over both kinds of key-value bdevs.
import {
  cns,
  csi,
  decodeKvList,
  identifyNamespaceKv,
  kvKeyDwords,
  kvOpcode,
  kvStoreOption,
  nvmOpcode,
} from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pattern, type RawHost, type RawQueue } from '../host/index.ts';
import { CommandSetTarget, DNR } from './command-set-target.ts';

let sets: CommandSetTarget;
let queue: RawQueue;
let host: RawHost;
let nsids: Readonly<Record<string, number>>;
beforeAll(async () => {
  sets = await CommandSetTarget.start(async (target) => {
    const small = { max_value_len: 200_000, max_num_keys: 50 };
    await target.rpc('bdev_malloc_kv_create', { name: 'Kv', block_size: 512, num_blocks: 1024, ...small });
    await target.createFileBdev('Log', 16 << 20, 512);
    await target.rpc('bdev_kv_create', { name: 'KvLog', base_bdev_name: 'Log', max_value_len: 100_000 });
    return ['Kv', 'KvLog'];
  });
  ({ queue, host, nsids } = sets);
});
afterAll(() => sets?.stop());

describe.each(['Kv', 'KvLog'])('keys and values of %s', (name) => {
  const key = (text: string) => new TextEncoder().encode(text);
  const command = (opcode: number, text: string, bytes = 0, options = 0) => ({
    ...{ opcode, nsid: nsids[name]!, psdt: 1, cdw10: bytes, cdw11: text.length | options },
    ...kvKeyDwords(key(text)),
  });
  const store = async (text: string, value: Uint8Array, options = 0) => {
    const fields = command(kvOpcode.store, text, value.length, options);
    const done = value.length <= 4096 ? queue.submit(fields, value) : queue.submitR2t(fields, value);
    return (await done).status;
  };
  const retrieve = (text: string, room: number) =>
    queue.submitRead(command(kvOpcode.retrieve, text, room), room);
  const remove = async (text: string) => (await queue.submit(command(kvOpcode.delete, text))).status;
  const exists = async (text: string) => (await queue.submit(command(kvOpcode.exist, text))).status;
  const list = async (from: string, room = 4096) => {
    const done = await queue.submitRead(command(kvOpcode.list, from, room), room);
    expect(done.status).toBe(0);
    return decodeKvList(done.data).map((bytes) => new TextDecoder().decode(bytes));
  };
  const MISSING = 0x087 | DNR;

  it('are identified', async () => {
    const kv = identifyNamespaceKv.decode(await host.identify(cns.csiNamespace, nsids[name]!, csi.keyValue));
    const { kv: limits } = (await sets.target.rpc('bdev_get_bdevs', { name }))[0];
    expect(kv).toMatchObject({ nsze: limits.capacity, nkvf: 0, kvfc: 0, nmic: 1 });
    // No value is longer than a transfer.
    const kvvml = Math.min(limits.max_value_len, 131_072);
    expect(kv.kvf[0]).toEqual({ kvkml: 16, kvvml, mnks: limits.max_num_keys });
  });

  it('are stored, retrieved, found, listed and deleted', async () => {
    const values = new Map([1, 5, 16].map((length) => ['k'.repeat(length), pattern(length * 1000, length)]));
    for (const [text, value] of values) expect(await store(text, value)).toBe(0);
    expect(await store('large', pattern(100_000, 9))).toBe(0);
    expect(await store('empty', new Uint8Array(0))).toBe(0);
    for (const [text, value] of values) {
      const { status, dw0, data } = await retrieve(text, value.length);
      expect([status, dw0, Buffer.compare(data, value)]).toEqual([0, value.length, 0]);
      expect(await exists(text)).toBe(0);
    }
    expect(Buffer.compare((await retrieve('large', 100_000)).data, pattern(100_000, 9))).toBe(0);
    // As much as there is room for; and nothing but zeroes behind a shorter value.
    const part = await retrieve('large', 1000);
    expect([part.dw0, Buffer.compare(part.data, pattern(100_000, 9).subarray(0, 1000))]).toEqual([
      100_000, 0,
    ]);
    const more = await retrieve('k', 4096);
    expect(more.dw0).toBe(1000);
    expect(more.data.subarray(1000).every((byte) => byte === 0)).toBe(true);
    expect(await retrieve('empty', 0)).toMatchObject({ status: 0, dw0: 0 });
    const all = await list('');
    expect([...all].sort()).toEqual([...values.keys(), 'large', 'empty'].sort());
    expect(await list(all[2]!)).toEqual(all.slice(2));
    expect(await list('', 4 + 4), 'a key of one byte fits, or none').toHaveLength(all[0] === 'k' ? 1 : 0);
    for (const text of all) expect(await remove(text)).toBe(0);
    for (const text of all) expect([await exists(text), await remove(text)]).toEqual([MISSING, MISSING]);
    expect((await retrieve('k', 512)).status).toBe(MISSING);
    expect(await list('')).toEqual([]);
  });

  it('are stored only if they exist, or do not', async () => {
    expect(await store('a', key('1'), kvStoreOption.mustExist)).toBe(MISSING);
    expect(await store('a', key('2'), kvStoreOption.mustNotExist)).toBe(0);
    expect(await store('a', key('3'), kvStoreOption.mustNotExist)).toBe(0x089 | DNR);
    expect(await store('a', key('4'), kvStoreOption.mustExist | kvStoreOption.noCompression)).toBe(0);
    expect((await retrieve('a', 1)).data.toString()).toBe('4');
    expect(await store('a', key('5'), 0x800), 'reserved option').toBe(0x002 | DNR);
    expect(await remove('a')).toBe(0);
  });

  it('are refused with what is wrong', async () => {
    const bare = { opcode: kvOpcode.exist, nsid: nsids[name]!, psdt: 1 };
    expect((await queue.submit({ ...bare, cdw11: 0 })).status, 'no key').toBe(0x086 | DNR);
    expect((await queue.submit({ ...bare, cdw11: 17 })).status, 'key too long').toBe(0x086 | DNR);
    const { max_value_len } = (await sets.target.rpc('bdev_get_bdevs', { name }))[0].kv;
    if (max_value_len < 131_072)
      expect(await store('b', new Uint8Array(max_value_len + 1))).toBe(0x085 | DNR);
    const short = command(kvOpcode.store, 'b', 100);
    expect((await queue.submit(short, new Uint8Array(99))).status).toBe(0x00f | DNR);
    expect((await queue.submitRead(command(kvOpcode.retrieve, 'b', 4096), 512)).status).toBe(0x00f | DNR);
    expect((await queue.submitRead(command(kvOpcode.list, '', 3), 512)).status, 'no room').toBe(0x002 | DNR);
    expect((await queue.submit({ ...bare, opcode: nvmOpcode.compare }, new Uint8Array(512))).status).toBe(
      0x001 | DNR,
    );
    expect((await queue.submit({ ...bare, opcode: nvmOpcode.flush })).status).toBe(0);
  });

  it.runIf(name === 'Kv')('end where there is no more room', async () => {
    const full: number[] = [];
    for (let i = 0; i < 60; i++) full.push(await store(`key${i}`, pattern(100, i)));
    expect(full.filter((status) => status === 0)).toHaveLength(50);
    expect(new Set(full.slice(50))).toEqual(new Set([0x081 | DNR]));
    for (const text of await list('', 8192)) expect(await remove(text)).toBe(0);
  });
});
