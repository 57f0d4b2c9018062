import { type BdevIo, IoStatus, IoType, ZERO_BYTES } from '@spdk-ts/bdev';
import { describe, expect, it } from 'vitest';
import { ModuleBed } from '../../test/bed.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const start = (): Promise<ModuleBed> => ModuleBed.start(control, reactorHalf);
const size = { block_size: 512, num_blocks: 1 << 20 };

describe('null bdev', () => {
  it('drops writes, leaves the buffers of reads alone, and shows zeroes to reads without one', async () => {
    const bed = await start();
    const name = await bed.rpc.call('bdev_null_create', { name: 'Null0', ...size });
    const channel = bed.channel(name);
    const { buffers, regions } = bed.host.local[0]!;
    buffers.bytes.fill(0x55, 0, 1024);
    const done: BdevIo[] = [];
    const owner = { bdevIoDone: (io: BdevIo) => void done.push(io) };
    expect(channel.writeBlocks(buffers.region, 0, 0, 2, owner)).toBe(0);
    expect(channel.readBlocks(buffers.region, 0, 0, 2, owner)).toBe(0);
    expect(channel.readBlocks(-1, 0, 0, 2, owner)).toBe(0);
    expect(channel.readBlocks(-1, 0, 0, (2 * ZERO_BYTES + 512) / 512, owner)).toBe(0);
    expect(channel.writeZeroesBlocks(0, 1 << 20, owner)).toBe(0);
    await bed.poll();
    expect(done.map((io) => io.status)).toEqual(Array(5).fill(IoStatus.SUCCESS));
    expect(buffers.bytes.subarray(0, 1024).every((byte) => byte === 0x55)).toBe(true);
    const place = done[2]!;
    expect(regions.contains(place.region, place.offset, place.length)).toBe(true);
    expect(
      regions
        .bytes(place.region)
        .subarray(place.offset, place.offset + 1024)
        .every((b) => b === 0),
    ).toBe(true);
    expect(done[3]!.iovs!.bytes).toBe(2 * ZERO_BYTES + 512);
    expect([IoType.UNMAP, IoType.FLUSH].map((type) => channel.supports(type))).toEqual([true, false]);
    for (const io of done) io.free();
  });

  it('only grows', async () => {
    const bed = await start();
    await bed.rpc.call('bdev_null_create', { name: 'Null0', ...size });
    const resize = (name: string, new_size: number) => bed.rpc.call('bdev_null_resize', { name, new_size });
    await expect(resize('Null0', 511)).rejects.toMatchObject({
      code: -22,
      message: expect.stringContaining('511 MiB'),
    });
    await expect(resize('Nope', 511)).rejects.toMatchObject({ code: -19 });
    await resize('Null0', 1024);
    expect(bed.bdevs.get('Null0')!.num_blocks).toBe(1 << 21);
  });

  it('is saved so that it can be made again, and deleted', async () => {
    const bed = await start();
    await bed.rpc.call('bdev_null_create', { name: 'Null0', ...size, preferred_write_granularity: 8 });
    expect(bed.bdevs.info(bed.bdevs.get('Null0')!)).toMatchObject({
      product_name: 'Null disk',
      preferred_write_granularity: 8,
      preferred_write_alignment: 0,
    });
    const [, call] = bed.bdevs.config();
    const again = await start();
    await again.rpc.call(call!.method, call!.params);
    expect(again.bdevs.config()).toEqual(bed.bdevs.config());
    await bed.until(bed.rpc.call('bdev_null_delete', { name: 'Null0' }));
    expect(bed.bdevs.list()).toEqual([]);
    await expect(bed.rpc.call('bdev_null_create', { name: 'N', ...size, md_size: 8 })).rejects.toThrow(
      'md_size is 8',
    );
  });
});
