import { IoStatus } from '@spdk-ts/bdev';
import { describe, expect, it } from 'vitest';
import malloc from '../../malloc/src/index.ts';
import mallocReactor from '../../malloc/src/reactor.ts';
import passthru from '../../passthru/src/index.ts';
import passthruReactor from '../../passthru/src/reactor.ts';
import { ModuleBed } from '../../test/bed.ts';
import { againstModel, Ends, expectSameAfterLoad } from '../../test/stack.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const start = (): Promise<ModuleBed> =>
  ModuleBed.startAll([
    [malloc, mallocReactor],
    [passthru, passthruReactor],
    [control, reactorHalf],
  ]);
const base = (bed: ModuleBed, num_blocks: number, block_size = 512): Promise<string> =>
  bed.rpc.call('bdev_malloc_create', { name: 'M', block_size, num_blocks });
const names = (bed: ModuleBed): string[] => bed.bdevs.list().map(({ name }) => name);

describe('split bdev', () => {
  it('cuts its base into equal shares; what is left over stays unused', async () => {
    const bed = await start();
    await base(bed, 100);
    expect(await bed.rpc.call('bdev_split_create', { base_bdev: 'M', split_count: 3 })).toEqual([
      ...['Mp0', 'Mp1', 'Mp2'],
    ]);
    const infos = (await bed.rpc.call('bdev_get_bdevs', {})).slice(1);
    expect(infos.map(({ num_blocks }) => num_blocks)).toEqual([33, 33, 33]);
    expect(infos.map(({ product_name }) => product_name)).toEqual(Array(3).fill('Split Disk'));
    expect(infos.map(({ driver_specific }) => driver_specific)).toEqual(
      [0, 33, 66].map((offset_blocks) => ({ split: { base_bdev: 'M', offset_blocks } })),
    );
    expect(new Set(infos.map(({ uuid }) => uuid)).size).toBe(3);
  });

  it('gives each part its own blocks, over several layers, whatever the I/O', async () => {
    const bed = await start();
    await base(bed, 96);
    await bed.rpc.call('bdev_passthru_create', { name: 'P', base_bdev_name: 'M' });
    await bed.rpc.call('bdev_split_create', { base_bdev: 'P', split_count: 3 });
    await bed.rpc.call('bdev_split_create', { base_bdev: 'Pp1', split_count: 2 });
    const neighbours = ['Pp0', 'Pp1p0', 'Pp2'].map((name) => bed.channel(name));
    const { region, bytes } = bed.host.local[0]!.buffers;
    bytes.fill(0xa5, 0, 32 * 512);
    const ends = new Ends();
    for (const channel of neighbours)
      expect(channel.writeBlocks(region, 0, 0, channel.num_blocks, ends)).toBe(0);
    await bed.poll();
    await againstModel(bed, bed.channel('Pp1p1'));
    for (const channel of neighbours)
      expect(channel.compareBlocks(region, 0, 0, channel.num_blocks, ends)).toBe(0);
    await bed.poll();
    expect(ends.statuses).toEqual(Array(6).fill(IoStatus.SUCCESS));
    expect(bed.channel('Pp1p1').writeZeroesBlocks(15, 2, ends)).toBe(-22);
  });

  it('takes a size in MiB, and makes as many as there is room for', async () => {
    const bed = await start();
    await base(bed, 5 * 256, 4096);
    expect(
      await bed.rpc.call('bdev_split_create', { base_bdev: 'M', split_count: 4, split_size_mb: 2 }),
    ).toEqual(['Mp0', 'Mp1']);
    expect(bed.bdevs.get('Mp1')!.num_blocks).toBe(512);
    const again = await expectSameAfterLoad(bed, start);
    expect(again.bdevs.get('Mp1')!.uuid).toBe(bed.bdevs.get('Mp1')!.uuid);
    expect(bed.bdevs.config()[2]).toEqual({
      method: 'bdev_split_create',
      params: { base_bdev: 'M', split_count: 4, split_size_mb: 2 },
    });
  });

  it('waits for its base, and all its parts go together', async () => {
    const bed = await start();
    expect(await bed.rpc.call('bdev_split_create', { base_bdev: 'M', split_count: 2 })).toEqual([]);
    await base(bed, 64);
    expect(names(bed)).toEqual(['M', 'Mp0', 'Mp1']);
    await bed.until(bed.rpc.call('bdev_malloc_delete', { name: 'M' }));
    await base(bed, 64);
    expect(names(bed)).toEqual(['M', 'Mp0', 'Mp1']);
    expect(await bed.until(bed.rpc.call('bdev_split_delete', { base_bdev: 'M' }))).toBe(true);
    expect(names(bed)).toEqual(['M']);
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'M' }))[0]!.claimed).toBe(false);
    await bed.until(bed.bdevs.stop());
  });

  it('makes all parts or none, and says why in SPDK words', async () => {
    const bed = await start();
    const split = (params: { base_bdev: string; split_count: number; split_size_mb?: number }) =>
      bed.rpc.call('bdev_split_create', params);
    await base(bed, 64);
    await bed.rpc.call('bdev_malloc_create', { name: 'Mp1', block_size: 512, num_blocks: 8 });
    await expect(bed.until(split({ base_bdev: 'M', split_count: 2 }))).rejects.toMatchObject({
      code: -32602,
      message: expect.stringMatching(/^Failed to create 2 split bdevs from 'M': File exists: "Mp1"/),
    });
    expect(names(bed)).toEqual(['M', 'Mp1']);
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'M' }))[0]!.claimed).toBe(false);
    await expect(split({ base_bdev: 'M', split_count: 0 })).rejects.toThrow('split_count is 0');
    await expect(split({ base_bdev: 'M', split_count: 65 })).rejects.toThrow('only 64 blocks');
    await expect(split({ base_bdev: 'M', split_count: 1, split_size_mb: 1 })).rejects.toThrow(
      'split_size_mb is 1',
    );
    await split({ base_bdev: 'Mp1', split_count: 2 });
    await expect(split({ base_bdev: 'Mp1', split_count: 2 })).rejects.toThrow(
      `Failed to create 2 split bdevs from 'Mp1': File exists`,
    );
    await expect(bed.rpc.call('bdev_split_delete', { base_bdev: 'M' })).rejects.toMatchObject({
      code: -32602,
      message: 'No such file or directory: bdev "M" is not split',
    });
  });
});
