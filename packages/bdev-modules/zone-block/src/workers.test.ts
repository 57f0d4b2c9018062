import { BdevRegistry, bdevReactorEntry, IoStatus } from '@spdk-ts/bdev';
import malloc from '@spdk-ts/bdev-malloc';
import zoneBlock from '@spdk-ts/bdev-zone-block';
import { WorkerHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { expect, it } from 'vitest';
import { expectFilledByTwo } from '../../test/zoned.ts';

const driver = new URL('../../test/driver.mjs', import.meta.url).href;
const modules = [malloc, zoneBlock];
const CAPACITY = 3000;
const SIZE = 4096;

it('is filled exactly by appends from two workers, is reset by either, and comes back as it was', async () => {
  const host = await WorkerHost.start({
    cores: [0, 1],
    pool: { small_count: 256, small_bytes: 8192, large_count: 8, large_bytes: 132 * 1024 },
    plugins: [bdevReactorEntry, ...modules.map(({ reactorEntry }) => reactorEntry), driver],
  });
  try {
    const bdevs = new BdevRegistry(host);
    const rpc = new RpcServer();
    for (const module of modules) {
      registerSchema(...(module.methods ?? []));
      await module.setup({ host, bdevs, rpc });
    }
    await rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 3 * SIZE });
    const zoned = { name: 'Z', base_bdev: 'M', zone_capacity: CAPACITY, optimal_open_zones: 2 };
    await rpc.call('bdev_zone_block_create', zoned);
    let { id } = bdevs.get('Z')!;
    await host.broadcast('driver', 'open', { id });
    for (let round = 0; round < 3; round++) {
      await expectFilledByTwo(host, id, SIZE, CAPACITY);
      if (round === 2) break;
      const reset = { id, zone_id: SIZE };
      // Both at once: one of them finds the zone held, or empty.
      expect(await host.broadcast('driver', 'resetZone', reset)).toEqual(Array(2).fill(IoStatus.SUCCESS));
    }
    await host.broadcast('driver', 'close', { id });
    await rpc.call('bdev_zone_block_delete', { name: 'Z' });
    await rpc.call('bdev_zone_block_create', zoned);
    id = bdevs.get('Z')!.id;
    await host.broadcast('driver', 'open', { id });
    const { values } = (await host.call(1, 'driver', 'read', { id, at: SIZE + CAPACITY - 1 })) as {
      values: number[];
    };
    expect([1, 2]).toContain(values[0]);
    expect((await host.broadcast('driver', 'appendAll', { id, zone_id: SIZE, depth: 1 })).flat()).toEqual([]);
    await host.broadcast('driver', 'close', { id });
    await bdevs.stop();
  } finally {
    await host.stop();
  }
});
