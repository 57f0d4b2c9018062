import { type BdevIo, IoStatus, IoType } from '@spdk-ts/bdev';
import { describe, expect, it } from 'vitest';
import malloc from '../../malloc/src/index.ts';
import mallocReactor from '../../malloc/src/reactor.ts';
import { ModuleBed } from '../../test/bed.ts';
import { againstModel, Ends, expectSameAfterLoad } from '../../test/stack.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const start = (): Promise<ModuleBed> =>
  ModuleBed.startAll([
    [malloc, mallocReactor],
    [control, reactorHalf],
  ]);

const BLOCKS = 64;
async function withBase(bed: ModuleBed, name = 'M'): Promise<void> {
  await bed.rpc.call('bdev_malloc_create', { name, block_size: 512, num_blocks: BLOCKS });
}
const create = (bed: ModuleBed, name: string, base_bdev_name: string, uuid?: string): Promise<string> =>
  bed.rpc.call('bdev_passthru_create', { name, base_bdev_name, ...(uuid !== undefined && { uuid }) });

describe('passthru bdev', () => {
  it('shows what its base is, and claims it', async () => {
    const bed = await start();
    await withBase(bed);
    expect(await create(bed, 'P', 'M')).toBe('P');
    const [base] = await bed.rpc.call('bdev_get_bdevs', { name: 'M' });
    const [info] = await bed.rpc.call('bdev_get_bdevs', { name: 'P' });
    expect(base).toMatchObject({ claimed: true, claim_type: 'exclusive_write' });
    expect(info).toMatchObject({
      product_name: 'passthru',
      block_size: 512,
      num_blocks: BLOCKS,
      claimed: false,
      // The layer lends memory for zero copy itself.
      supported_io_types: { ...base!.supported_io_types, zcopy: false },
      driver_specific: { passthru: { name: 'P', base_bdev_name: 'M' } },
    });
    expect(info!.uuid).not.toBe(base!.uuid);
    expect(info!.aliases).toEqual([info!.uuid]);
    await expect(create(bed, 'P2', 'M')).rejects.toMatchObject({
      code: -1,
      message: expect.stringMatching(/^Operation not permitted: .*claimed \(exclusive_write\) by passthru/),
    });
    await expect(create(bed, 'P', 'other')).rejects.toMatchObject({
      code: -17,
      message: expect.stringMatching(/^File exists: passthru "P"/),
    });
  });

  it('does every I/O type as the model does, several layers high', async () => {
    const bed = await start();
    await withBase(bed);
    let top = 'M';
    for (const name of ['P1', 'P2', 'P3']) top = await create(bed, name, top);
    await againstModel(bed, bed.channel('P3'));
  });

  it('lets reads lie in the memory of the base, and frees the I/Os below when the one above is freed', async () => {
    const bed = await start();
    await withBase(bed);
    await create(bed, 'P1', 'M');
    await create(bed, 'P2', 'P1');
    const channel = bed.channel('P2');
    const ends = new Ends();
    const { region, bytes } = bed.host.local[0]!.buffers;
    bytes.fill(7, 0, 512);
    expect(channel.writeBlocks(region, 0, 5, 1, ends)).toBe(0);
    await bed.poll();
    ends.keep = true;
    expect(channel.readBlocks(-1, 0, 5, 1, ends)).toBe(0);
    await bed.poll();
    const [io] = ends.kept as [BdevIo];
    const malloced = bed.host.local[0]!.regions.bytes(io.region);
    expect(io.region).not.toBe(region);
    expect(malloced.subarray(io.offset, io.offset + io.length).every((byte) => byte === 7)).toBe(true);
    const below = io.held!;
    expect([below.state, below.held!.state]).toEqual([6, 6]);
    io.free();
    expect([below.state, io.state, io.held]).toEqual([0, 0, null]);

    // A completed I/O may be submitted again without freeing it.
    expect(channel.readBlocks(-1, 0, 5, 1, ends)).toBe(0);
    await bed.poll();
    const again = ends.kept[1]!;
    const first = again.held!;
    again.region = -1;
    again.offset_blocks = 6;
    expect(channel.submit(again)).toBe(0);
    await bed.poll();
    expect(again.held).not.toBeNull();
    // … also as a write from where it was read.
    again.type = IoType.WRITE;
    again.offset_blocks = 9;
    expect(channel.submit(again)).toBe(0);
    await bed.poll();
    again.free();
    expect([again.state, again.held, first.state, first.held]).toEqual([0, null, 0, null]);
    expect(ends.statuses).toEqual(Array(5).fill(IoStatus.SUCCESS));
  });

  it('gets on although its users have taken every I/O object', async () => {
    const bed = await ModuleBed.startAll(
      [
        [malloc, mallocReactor],
        [control, reactorHalf],
      ],
      { options: { bdev_io_pool_size: 16, bdev_io_cache_size: 8 } },
    );
    await withBase(bed);
    await create(bed, 'P1', 'M');
    await create(bed, 'P2', 'P1');
    const channel = bed.channel('P2');
    const ends = new Ends();
    const { region } = bed.host.local[0]!.buffers;
    let accepted = 0;
    const ios: BdevIo[] = [];
    for (let io = channel.getIo(); io !== null; io = channel.getIo()) ios.push(io);
    expect(ios.length).toBeLessThanOrEqual(16);
    for (const io of ios) {
      io.type = IoType.WRITE;
      io.offset_blocks = accepted;
      io.num_blocks = 1;
      io.region = region;
      io.offset = 0;
      io.length = 512;
      io.owner = ends;
      expect(channel.submit(io)).toBe(0);
      accepted++;
    }
    for (let i = 0; i < 50 && ends.statuses.length < accepted; i++) await bed.poll();
    expect(ends.statuses).toEqual(Array(accepted).fill(IoStatus.SUCCESS));
    // Objects beyond the pool's size, which that took, are not in the pool now.
    const free: BdevIo[] = [];
    for (let io = channel.getIo(); io !== null; io = channel.getIo()) free.push(io);
    expect(free.length).toBe(accepted);
    for (const io of free) io.free();
  });

  it('aborts what waits for an object and what the base has, and is reset together with its base', async () => {
    const bed = await start();
    await withBase(bed);
    await bed.rpc.call('bdev_malloc_create', { name: 'Big', block_size: 512, num_blocks: 1 << 16 });
    await create(bed, 'P1', 'Big');
    await create(bed, 'P2', 'P1');
    const channel = bed.channel('P2');
    const ends = new Ends();
    const aborts = new Ends();
    // More than a slice: malloc is at work with it for several polls.
    const io = channel.getIo()!;
    io.type = IoType.WRITE_ZEROES;
    io.num_blocks = 1 << 16;
    io.owner = ends;
    expect(channel.submit(io)).toBe(0);
    bed.host.poll();
    expect(ends.statuses).toEqual([]);
    expect(channel.abort(io, aborts)).toBe(0);
    await bed.poll();
    expect([ends.statuses, aborts.statuses]).toEqual([[IoStatus.ABORTED], [IoStatus.SUCCESS]]);

    expect(channel.writeZeroesBlocks(0, 1 << 16, ends)).toBe(0);
    bed.host.poll();
    const resets = new Ends();
    expect(channel.reset(resets)).toBe(0);
    for (let i = 0; i < 100 && resets.statuses.length === 0; i++) await bed.poll();
    expect(resets.statuses).toEqual([IoStatus.SUCCESS]);
    expect(ends.statuses).toEqual([IoStatus.ABORTED, IoStatus.ABORTED]);
    expect(channel.flushBlocks(0, 1, ends)).toBe(0);
    await bed.poll();
    expect(ends.statuses.at(-1)).toBe(IoStatus.SUCCESS);
  });

  it('grows with its base, and goes with it', async () => {
    const bed = await start();
    await withBase(bed);
    await bed.rpc.call('bdev_malloc_resize', { name: 'M', new_size: 1 });
    await create(bed, 'P1', 'M');
    await create(bed, 'P2', 'P1');
    const channel = bed.channel('P2');
    await bed.rpc.call('bdev_malloc_resize', { name: 'M', new_size: 2 });
    await bed.poll();
    await bed.poll();
    expect(bed.bdevs.get('P2')!.num_blocks).toBe(4096);
    const ends = new Ends();
    expect(channel.writeZeroesBlocks(4095, 1, ends)).toBe(0);
    await bed.poll();
    expect(ends.statuses).toEqual([IoStatus.SUCCESS]);
    await expect(bed.rpc.call('bdev_malloc_resize', { name: 'M', new_size: 1 })).rejects.toMatchObject({
      code: -16,
    });
    const removal = bed.rpc.call('bdev_malloc_delete', { name: 'M' });
    await bed.poll();
    await bed.poll();
    expect(channel.writeZeroesBlocks(0, 1, ends)).toBe(-19);
    channel.put();
    await bed.until(removal);
    expect(bed.bdevs.list()).toEqual([]);
  });

  it('waits for its base, comes back with it, and is saved meanwhile', async () => {
    const bed = await start();
    const uuid = '5fdd1a1e-2f05-4d0a-9f0c-0d7f6f3a5a10';
    expect(await create(bed, 'P2', 'P1')).toBe('P2');
    await create(bed, 'P1', 'M', uuid);
    expect(bed.bdevs.list()).toEqual([]);
    const waiting = [
      { method: 'bdev_passthru_create', params: { name: 'P2', base_bdev_name: 'P1' } },
      { method: 'bdev_passthru_create', params: { name: 'P1', base_bdev_name: 'M', uuid } },
      { method: 'bdev_wait_for_examine' },
    ];
    expect(bed.bdevs.config().slice(1)).toEqual(waiting);
    await expectSameAfterLoad(bed, start);

    await withBase(bed);
    expect(bed.bdevs.list().map(({ name }) => name)).toEqual(['M', 'P1', 'P2']);
    expect(bed.bdevs.config().map(({ method }) => method)).toEqual([
      ...['bdev_set_options', 'bdev_malloc_create', 'bdev_passthru_create', 'bdev_passthru_create'],
      'bdev_wait_for_examine',
    ]);
    const again = await expectSameAfterLoad(bed, start);
    expect(again.bdevs.get('P1')!.uuid).toBe(uuid);
    expect(again.bdevs.get('P2')!.uuid).toBe(bed.bdevs.get('P2')!.uuid);

    await bed.until(bed.rpc.call('bdev_malloc_delete', { name: 'M' }));
    expect(bed.bdevs.list()).toEqual([]);
    await withBase(bed);
    expect(bed.bdevs.list().map(({ name }) => name)).toEqual(['M', 'P1', 'P2']);

    // The base stays, and what stood on the deleted one waits.
    await bed.until(bed.rpc.call('bdev_passthru_delete', { name: 'P1' }));
    expect(bed.bdevs.list().map(({ name }) => name)).toEqual(['M']);
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'M' }))[0]!.claimed).toBe(false);
    await bed.rpc.call('bdev_passthru_delete', { name: 'P2' });
    await expect(bed.rpc.call('bdev_passthru_delete', { name: 'P2' })).rejects.toMatchObject({
      code: -19,
      message: expect.stringMatching(/^No such device: .*"P2"/),
    });
    expect(bed.bdevs.config()).toHaveLength(3);
    await bed.until(bed.bdevs.stop());
  });

  it('is found by alias of its base; one whose name is taken is not remembered', async () => {
    const bed = await start();
    await withBase(bed);
    await withBase(bed, 'taken');
    await expect(create(bed, 'taken', bed.bdevs.get('M')!.uuid)).rejects.toMatchObject({ code: -17 });
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'M' }))[0]!.claimed).toBe(false);
    expect(await create(bed, 'P', bed.bdevs.get('M')!.uuid)).toBe('P');
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'P' }))[0]!.driver_specific).toEqual({
      passthru: { name: 'P', base_bdev_name: 'M' },
    });
  });
});
