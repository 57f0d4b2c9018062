import { IoStatus, KvStatus } from '@spdk-ts/bdev';
import malloc from '@spdk-ts/bdev-malloc';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadReactorPlugin, ModuleBed } from '../../test/bed.ts';
import { KvUser, kvSteps, valueBytes } from '../../test/kv-model.ts';
import { crashes } from '../test/crashes.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const seed = Number(process.env['KV_SEED'] ?? Date.now() & 0x7fff_ffff);
console.log(`KV_SEED=${seed}`);
const KIB = 1024;

interface Options {
  readonly max_value_len?: number;
  readonly max_num_keys?: number;
}

async function bedOf(base_kib: number): Promise<ModuleBed> {
  const bed = await ModuleBed.startAll([
    [malloc, await loadReactorPlugin(malloc.reactorEntry)],
    [control, reactorHalf],
  ]);
  await bed.rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: base_kib * 2 });
  return bed;
}

async function start(base_kib: number, options: Options = {}): Promise<{ bed: ModuleBed; user: KvUser }> {
  const bed = await bedOf(base_kib);
  await bed.until(bed.rpc.call('bdev_kv_create', { name: 'K', base_bdev_name: 'M', ...options }));
  return { bed, user: userOf(bed) };
}

const userOf = (bed: ModuleBed): KvUser =>
  new KvUser(bed.host.local[0]!, bed.channel('K'), bed.host.allocateRegionId(), bed.poll);

/** Takes the bdev away and makes it again: what the log holds is there. */
async function reopen(bed: ModuleBed, user: KvUser): Promise<KvUser> {
  user.channel.put();
  await bed.until(bed.rpc.call('bdev_kv_delete', { name: 'K' }));
  await bed.until(bed.rpc.call('bdev_kv_create', { name: 'K', base_bdev_name: 'M' }));
  return userOf(bed);
}

interface Info {
  num_keys: number;
  used_bytes: number;
  reclaimed_segments: number;
  used_segments: number;
}
const infoOf = (bed: ModuleBed): Info =>
  (bed.bdevs.info(bed.bdevs.get('K')!).driver_specific as { kv: Info }).kv;

describe('key-value log', () => {
  it('does what a map does, also after it was taken away and made again', async () => {
    await fc.assert(
      fc.asyncProperty(kvSteps(60, 2000), kvSteps(60, 2000), async (first, second) => {
        const { bed, user } = await start(512, { max_value_len: 2000 });
        const model = new Map<string, Buffer>();
        for (const step of first) await user.run(model, step);
        await user.check(model);
        const again = await reopen(bed, user);
        await again.check(model);
        for (const step of second) await again.run(model, step);
        await again.check(model);
      }),
      { numRuns: 25, seed },
    );
  });

  it('goes round and round, and keeps what lies still', async () => {
    const { bed, user } = await start(512, { max_value_len: 2000 });
    const model = new Map<string, Buffer>();
    const put = async (key: string, bytes: number, number: number): Promise<void> => {
      const value = valueBytes(bytes, number);
      expect(await user.store(key, value)).toMatchObject({ status: IoStatus.SUCCESS, sc: 0 });
      model.set(key, value);
    };
    for (let i = 0; i < 60; i++) await put(`still${i}`, 500 + i, i);
    for (let i = 0; i < 1500; i++) {
      await put(`moves${i % 20}`, (i * 37) % 2000, i);
      if (i % 7 === 0) {
        await user.delete(`moves${i % 20}`);
        model.delete(`moves${i % 20}`);
      }
    }
    await user.check(model);
    expect(infoOf(bed).reclaimed_segments).toBeGreaterThan(30);
    const again = await reopen(bed, user);
    await again.check(model);
    for (const key of model.keys()) await again.delete(key);
    expect(infoOf(bed)).toMatchObject({ num_keys: 0, used_bytes: 0 });
  });

  it('says when it is full, loses nothing then, and can be emptied and filled again', async () => {
    const { bed, user } = await start(512, { max_value_len: 2000 });
    const { capacity } = bed.bdevs.get('K')!.kv!;
    for (let round = 0; round < 3; round++) {
      const model = new Map<string, Buffer>();
      for (let i = 0; ; i++) {
        const value = valueBytes(1900, i + round);
        const result = await user.store(`k${i}`, value);
        if (result.status !== IoStatus.SUCCESS) {
          expect(result.sc).toBe(KvStatus.CAPACITY_EXCEEDED);
          break;
        }
        model.set(`k${i}`, value);
      }
      expect(model.size).toBe(Math.floor(capacity / 2048));
      // As much space as before: it takes no more.
      for (let i = 0; i < 200; i++) {
        const value = valueBytes(1800, i);
        const key = `k${i % model.size}`;
        expect((await user.store(key, value)).status).toBe(IoStatus.SUCCESS);
        model.set(key, value);
      }
      await user.check(model);
      for (const key of model.keys()) expect((await user.delete(key)).status).toBe(IoStatus.SUCCESS);
    }
    expect(infoOf(bed)).toMatchObject({ num_keys: 0, used_bytes: 0 });
  });

  it('holds no more keys than it may', async () => {
    const { user } = await start(512, { max_value_len: 2000, max_num_keys: 3 });
    for (const key of ['a', 'b', 'c']) expect((await user.store(key, valueBytes(9, 1))).sc).toBe(0);
    expect((await user.store('d', valueBytes(9, 1))).sc).toBe(KvStatus.CAPACITY_EXCEEDED);
    expect((await user.store('a', valueBytes(10, 1))).sc).toBe(0);
    await user.delete('b');
    expect((await user.store('d', valueBytes(9, 1))).sc).toBe(0);
    user.expectNoBlocks();
  });

  it('tells of a value that is not what was stored', async () => {
    const { bed, user } = await start(512, { max_value_len: 2000 });
    await user.store('a', valueBytes(900, 5));
    const { region } = (bed.bdevs.get('M')!.context as { segments: { region: number }[] }).segments[0]!;
    const bytes = bed.host.local[0]!.regions.bytes(region);
    const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(valueBytes(900, 5));
    expect(at).toBeGreaterThan(4096);
    bytes[at + 100]! ^= 1;
    expect((await user.retrieve('a', 900)).sc).toBe(KvStatus.UNRECOVERED_ERROR);
  });

  it('destroys nothing that is on its base, unless told to', async () => {
    const { bed, user } = await start(512, { max_value_len: 2000 });
    await user.store('a', valueBytes(5, 5));
    user.channel.put();
    await bed.until(bed.rpc.call('bdev_kv_delete', { name: 'K' }));
    const create = (more: object): Promise<unknown> =>
      bed.until(bed.rpc.call('bdev_kv_create', { name: 'K', base_bdev_name: 'M', ...more } as never));
    await expect(create({ max_value_len: 4000 })).rejects.toMatchObject({
      code: -22,
      message: expect.stringMatching(/max_value_len is 4000.*made with 2000/),
    });
    const { region } = (bed.bdevs.get('M')!.context as { segments: { region: number }[] }).segments[0]!;
    bed.host.local[0]!.regions.bytes(region)[20]! ^= 1;
    await expect(create({})).rejects.toMatchObject({ code: -22, message: expect.stringContaining('format') });
    expect(bed.bdevs.info(bed.bdevs.get('M')!).claimed).toBe(false);
    expect(await create({ format: true })).toBe('K');
    expect(await userOf(bed).listAll()).toEqual([]);
    await expect(create({ name: 'L' })).rejects.toMatchObject({ code: -1 });
    await expect(create({ name: 'L', base_bdev_name: 'K' })).rejects.toMatchObject({ code: -22 });
    // Nor for a name that is taken.
    await bed.rpc.call('bdev_malloc_create', { name: 'N', block_size: 512, num_blocks: 1024 });
    const before = Buffer.from(await bed.until(bed.bdevs.readBlocks('N', 0, 1024)));
    await expect(create({ name: 'M', base_bdev_name: 'N', format: true })).rejects.toMatchObject({
      code: -17,
    });
    expect(Buffer.compare(before, await bed.until(bed.bdevs.readBlocks('N', 0, 1024)))).toBe(0);
  });

  it('waits for its base, is saved meanwhile, and comes back with it', async () => {
    const bed = await ModuleBed.startAll([
      [malloc, await loadReactorPlugin(malloc.reactorEntry)],
      [control, reactorHalf],
    ]);
    const create = { name: 'K', base_bdev_name: 'M', max_value_len: 2000, format: true };
    const make = async (): Promise<void> => {
      const created = bed.rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 1024 });
      await bed.until(created);
      await bed.until(bed.bdevs.waitForExamine());
    };
    expect(await bed.until(bed.rpc.call('bdev_kv_create', create))).toBe('K');
    expect(bed.bdevs.list()).toEqual([]);
    await expect(bed.until(bed.rpc.call('bdev_kv_create', create))).rejects.toMatchObject({ code: -17 });
    expect(bed.bdevs.config()).toContainEqual({
      method: 'bdev_kv_create',
      params: { name: 'K', base_bdev_name: 'M', max_value_len: 2000 },
    });
    await make();
    expect(bed.bdevs.list().map(({ name }) => name)).toEqual(['M', 'K']);
    const user = userOf(bed);
    expect((await user.store('a', valueBytes(900, 5))).status).toBe(IoStatus.SUCCESS);
    const removal = bed.rpc.call('bdev_malloc_delete', { name: 'M' });
    await bed.poll();
    user.channel.put();
    await bed.until(removal);
    expect(bed.bdevs.list()).toEqual([]);
    await make();
    expect(bed.bdevs.get('K')).toMatchObject({ kv: { max_value_len: 2000 } });
    await bed.until(bed.rpc.call('bdev_kv_delete', { name: 'K' }));
    await bed.until(bed.rpc.call('bdev_malloc_delete', { name: 'M' }));
    await make();
    expect(bed.bdevs.list().map(({ name }) => name)).toEqual(['M']);
    await expect(bed.until(bed.rpc.call('bdev_kv_delete', { name: 'K' }))).rejects.toMatchObject({
      code: -19,
    });
  });

  it('is saved after its base, has the same identity again, and goes with its base', async () => {
    const { bed, user } = await start(512, { max_value_len: 2000 });
    const calls = bed.bdevs.config().filter(({ method }) => /create/.test(method));
    expect(calls.map(({ method }) => method)).toEqual(['bdev_malloc_create', 'bdev_kv_create']);
    const again = await bedOf(8);
    await again.until(again.rpc.call('bdev_malloc_delete', { name: 'M' }));
    for (const { method, params } of calls)
      await again.until(again.rpc.call(method as 'bdev_kv_create', params as never));
    expect(again.bdevs.config()).toEqual(bed.bdevs.config());
    const removal = bed.rpc.call('bdev_malloc_delete', { name: 'M' });
    await bed.poll();
    user.channel.put();
    await bed.until(removal);
    expect(bed.bdevs.list()).toEqual([]);
  });

  it('has what was flushed after two hundred crashes', { timeout: 300_000 }, async () => {
    const counts = await crashes(seed, 512 * KIB, 200, 200);
    console.log(JSON.stringify(counts));
    expect(counts.reclaimed).toBeGreaterThan(100);
    expect(counts.flushes).toBeGreaterThan(500);
    expect(counts.full).toBeGreaterThan(10);
  });
});
