import { Errno, IoStatus, KvStatus } from '@spdk-ts/bdev';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModuleBed } from '../../test/bed.ts';
import { KvUser, kvSteps, valueBytes } from '../../test/kv-model.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const seed = Date.now() & 0x7fff_ffff;
console.log(`KV_SEED=${seed}`);

interface Options {
  readonly num_blocks?: number;
  readonly block_size?: number;
  readonly max_num_keys?: number;
  readonly max_value_len?: number;
  readonly max_key_len?: number;
}

async function start(options: Options = {}): Promise<{ bed: ModuleBed; user: KvUser }> {
  const bed = await ModuleBed.start(control, reactorHalf);
  await bed.rpc.call('bdev_malloc_kv_create', { name: 'K', num_blocks: 256, block_size: 512, ...options });
  const user = new KvUser(bed.host.local[0]!, bed.channel('K'), bed.host.allocateRegionId(), bed.poll);
  return { bed, user };
}

const used = async (bed: ModuleBed): Promise<unknown> =>
  (await bed.rpc.call('bdev_get_bdevs', { name: 'K' }))[0]!.driver_specific;

describe('key-value malloc bdev', () => {
  it('does what a map does', async () => {
    await fc.assert(
      fc.asyncProperty(kvSteps(60, 5000), async (steps) => {
        const { bed, user } = await start();
        const model = new Map<string, Buffer>();
        for (const step of steps) await user.run(model, step);
        await user.check(model);
        for (const key of [...model.keys()]) await user.delete(key);
        expect(await used(bed)).toEqual({ kv: { num_keys: 0, used_bytes: 0 } });
        expect(await user.listAll()).toEqual([]);
      }),
      { numRuns: 60, seed },
    );
  });

  it('refuses what is too long, has no key, or finds no space, and gives space back', async () => {
    const { bed, user } = await start({
      num_blocks: 4,
      max_num_keys: 3,
      max_value_len: 1024,
      max_key_len: 8,
    });
    const sc = async (result: Promise<{ sc: number }>): Promise<number> => (await result).sc;
    expect(await sc(user.store('123456789', valueBytes(1, 1)))).toBe(KvStatus.INVALID_KEY_SIZE);
    expect(await sc(user.store('', valueBytes(1, 1)))).toBe(KvStatus.INVALID_KEY_SIZE);
    expect(await sc(user.exist('123456789'))).toBe(KvStatus.INVALID_KEY_SIZE);
    expect(await sc(user.list('123456789', 64))).toBe(KvStatus.INVALID_KEY_SIZE);
    expect(await sc(user.list('', 3))).toBe(0x02);
    expect(await sc(user.store('a', valueBytes(1025, 1)))).toBe(KvStatus.INVALID_VALUE_SIZE);
    expect((await user.store('a', valueBytes(1024, 1))).status).toBe(IoStatus.SUCCESS);
    expect((await user.store('b', valueBytes(513, 1))).status).toBe(IoStatus.SUCCESS);
    expect(await sc(user.store('c', valueBytes(1, 1)))).toBe(KvStatus.CAPACITY_EXCEEDED);
    expect((await user.store('c', valueBytes(0, 1))).status).toBe(IoStatus.SUCCESS);
    expect(await sc(user.store('d', valueBytes(0, 1)))).toBe(KvStatus.CAPACITY_EXCEEDED);
    // Nothing was lost by it.
    expect((await user.retrieve('a', 2048)).data.equals(valueBytes(1024, 1))).toBe(true);
    await user.delete('b');
    expect((await user.store('d', valueBytes(1024, 3))).status).toBe(IoStatus.SUCCESS);
    expect(await used(bed)).toEqual({ kv: { num_keys: 3, used_bytes: 2048 } });
    user.expectNoBlocks();
  });

  it('lists every key that stays, once, while others come and go', async () => {
    const { user } = await start({ num_blocks: 4096, max_num_keys: 3000 });
    const stays = Array.from({ length: 300 }, (_, i) => `stay${i}`);
    for (const key of stays) await user.store(key, valueBytes(3, 1));
    const seen: string[] = [];
    for (let round = 0; ; round++) {
      const { keys } = await user.list(seen.at(-1) ?? '', 200);
      const more = keys[0] === seen.at(-1) ? keys.slice(1) : keys;
      if (more.length === 0) break;
      seen.push(...more);
      await user.store(`new${round}`, valueBytes(3, 1));
      await user.delete(seen.at(-1)!.startsWith('new') ? seen.at(-1)! : `new${round - 1}`);
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.filter((key) => key.startsWith('stay')).sort()).toEqual([...stays].sort());
  });

  it('lists tens of thousands of keys in goes, which can be aborted', async () => {
    const { bed, user } = await start({ num_blocks: 8, max_num_keys: 20_000 });
    for (let i = 0; i < 9000; i++) {
      const io = user.channel.getIo()!;
      io.setKey(Buffer.from(`k${i}`), 0, `k${i}`.length);
      io.owner = { bdevIoDone: () => io.free() };
      expect(user.channel.kvStore(io, -1, 0, 0)).toBe(0);
      if (i % 100 === 0) await bed.poll();
    }
    await bed.poll();
    const { keys } = await user.list('', 200_000);
    expect(new Set(keys).size).toBe(9000);
    const io = user.channel.getIo()!;
    io.setKey(Buffer.alloc(0), 0, 0);
    const ends: number[] = [];
    io.owner = { bdevIoDone: ({ status }) => void ends.push(status) };
    const { buffers } = bed.host.local[0]!;
    expect(user.channel.kvList(io, buffers.region, 0, 100_000)).toBe(0);
    expect(user.channel.abort(io, { bdevIoDone: (abort) => void ends.push(abort.status) })).toBe(0);
    await bed.poll();
    expect(ends).toEqual([IoStatus.ABORTED, IoStatus.SUCCESS]);
  });

  it('shows its limits, counts I/O, and is saved as it is', async () => {
    const { bed, user } = await start({ max_key_len: 12 });
    const [info] = await bed.rpc.call('bdev_get_bdevs', { name: 'K' });
    expect(info).toMatchObject({
      product_name: 'Malloc KV disk',
      kv: { max_key_len: 12, max_value_len: 131072, max_num_keys: 256, capacity: 131072 },
    });
    expect(Object.keys(info!.supported_io_types)).toHaveLength(22);
    expect(info!.supported_io_types).toMatchObject({ read: false, write: false, flush: true, reset: true });
    await user.store('a', valueBytes(100, 1));
    await user.retrieve('a', 40);
    await user.retrieve('b', 40);
    const [stat] = (await bed.rpc.call('bdev_get_iostat', { names: ['K'] })).bdevs as unknown as object[];
    expect(stat).toMatchObject({ bytes_written: 100, num_write_ops: 1, bytes_read: 40, num_read_ops: 1 });
    const call = bed.bdevs.config().find(({ method }) => method === 'bdev_malloc_kv_create')!;
    const again = await ModuleBed.start(control, reactorHalf);
    await again.rpc.call('bdev_malloc_kv_create', call.params as never);
    expect(again.bdevs.config()).toEqual(bed.bdevs.config());
    await expect(bed.rpc.call('bdev_malloc_resize', { name: 'K', new_size: 1 })).rejects.toMatchObject({
      code: Errno.ENOTSUP,
    });
    user.channel.put();
    await bed.until(bed.rpc.call('bdev_malloc_delete', { name: 'K' }));
    await expect(
      bed.rpc.call('bdev_malloc_kv_create', { num_blocks: 8, block_size: 512, max_key_len: 17 }),
    ).rejects.toMatchObject({ code: -22, message: expect.stringContaining('max_key_len is 17') });
  });

  it('refuses key-value I/O on a bdev with blocks', async () => {
    const { bed } = await start();
    await bed.rpc.call('bdev_malloc_create', { name: 'M', num_blocks: 8, block_size: 512 });
    const channel = bed.channel('M');
    const io = channel.getIo()!;
    io.setKey(Buffer.from('a'), 0, 1);
    expect(channel.kvExist(io)).toBe(Errno.ENOTSUP);
    expect(channel.kvStore(io, -1, 0, 0)).toBe(Errno.ENOTSUP);
    io.free();
  });
});
