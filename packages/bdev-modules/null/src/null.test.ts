import { type BdevIo, getBdevService, IoStatus, IoType, ZERO_BYTES } from '@spdk-ts/bdev';
import { Dif, DifCheck, DifFailure, Pieces } from '@spdk-ts/dif';
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
    await expect(bed.rpc.call('bdev_null_create', { name: 'N', ...size, dif_type: 1 })).rejects.toThrow(
      'dif_type is 1, but md_size is 0',
    );
  });
});

describe('null bdev with metadata', () => {
  const kinds = [1, 2, 3].flatMap((dif_type) =>
    [0, 1, 2].flatMap((dif_pi_format) =>
      [true, false].map((dif_is_head_of_md) => ({ dif_type, dif_pi_format, dif_is_head_of_md, md_size: 16 })),
    ),
  );

  it.each(kinds)('makes protection information for reads, and checks that of writes: %o', async (kind) => {
    const bed = await start();
    const name = await bed.rpc.call('bdev_null_create', { name: 'N', ...size, ...kind });
    const channel = bed.channel(name);
    const block_size = 528;
    expect(channel.block_size).toBe(block_size);
    const reactor = bed.host.local[0]!;
    const { buffers } = reactor;
    const { region, bytes } = buffers;
    const ends: (number | string)[] = [];
    const bdevIoDone = (io: BdevIo): void => {
      ends.push(io.status === IoStatus.NVME_ERROR ? `${io.sct}/${io.sc.toString(16)}` : io.status);
      io.free();
    };
    const end = async (result: number): Promise<number | string> => {
      expect(result).toBe(0);
      while (ends.length === 0) await bed.poll();
      return ends.pop()!;
    };
    const dif = new Dif({ ...kind, block_size, md_interleave: true });
    bytes.fill(0x3c, 0, 4 * block_size);
    expect(await end(channel.readBlocks(region, 0, 100, 4, { bdevIoDone }))).toBe(IoStatus.SUCCESS);
    expect(bytes[511]).toBe(0x3c);
    const data = Pieces.of(bytes.subarray(0, 4 * block_size));
    const tags = { ref_tag: kind.dif_type === 3 ? 0 : 100, app_tag: 0, app_tag_mask: 0xffff };
    const all = DifCheck.GUARD | DifCheck.APPTAG | DifCheck.REFTAG;
    expect(dif.verify(data, null, 4, tags, all, new DifFailure())).toBe(true);
    expect(await end(channel.writeBlocks(region, 0, 100, 4, { bdevIoDone }))).toBe(IoStatus.SUCCESS);
    const wrong_place = kind.dif_type === 3 ? IoStatus.SUCCESS : '2/84';
    expect(await end(channel.writeBlocks(region, 0, 101, 4, { bdevIoDone }))).toBe(wrong_place);
    bytes[block_size + 7]! ^= 1;
    expect(await end(channel.writeBlocks(region, 0, 100, 4, { bdevIoDone }))).toBe('2/82');
    expect(await end(channel.copyBlocks(1000, 5, 300, { bdevIoDone }))).toBe(IoStatus.SUCCESS);
    expect(await end(channel.writeZeroesBlocks(0, 1000, { bdevIoDone }))).toBe(IoStatus.SUCCESS);

    const hidden = getBdevService(reactor).getChannel(bed.bdevs.get(name)!.id, channel.thread, true);
    expect(hidden.block_size).toBe(512);
    expect(await end(hidden.readBlocks(region, 0, 7, 3000, { bdevIoDone }))).toBe(IoStatus.SUCCESS);
    expect(await end(hidden.writeBlocks(region, 0, 7, 3000, { bdevIoDone }))).toBe(IoStatus.SUCCESS);
  });

  it('shows zeroes where there is no protection information, and is saved', async () => {
    const bed = await start();
    await bed.rpc.call('bdev_null_create', { name: 'N', ...size, md_size: 8 });
    await bed.rpc.call('bdev_null_create', { name: 'P', ...size, ...kinds[9]! });
    expect(bed.bdevs.info(bed.bdevs.get('N')!)).toMatchObject({
      ...{ block_size: 520, num_blocks: 1 << 20, md_size: 8, md_interleave: true, dif_type: 0 },
    });
    expect(bed.bdevs.info(bed.bdevs.get('P')!)).toMatchObject({
      ...{ block_size: 528, md_size: 16, dif_type: 2, dif_pi_format: 1, dif_is_head_of_md: false },
      enabled_dif_check_types: { reftag: true, apptag: false, guard: true },
    });
    let place: BdevIo | null = null;
    const bdevIoDone = (io: BdevIo): void => {
      place = io;
    };
    bed.channel('N').readBlocks(-1, 0, 0, 3, { bdevIoDone });
    await bed.poll();
    expect(place).toMatchObject({ status: IoStatus.SUCCESS, length: 1560 });
    const again = await start();
    for (const { method, params } of bed.bdevs.config())
      if (method === 'bdev_null_create') await again.rpc.call(method, params as never);
    expect(again.bdevs.config()).toEqual(bed.bdevs.config());
    await bed.rpc.call('bdev_null_resize', { name: 'N', new_size: 1024 });
    expect(bed.bdevs.get('N')!.num_blocks).toBe(1 << 21);
  });
});
