import {
  type BdevChannel,
  type BdevIo,
  type BdevIoOwner,
  getBdevService,
  IoStatus,
  IoType,
  Memory,
} from '@spdk-ts/bdev';
import { RegionTable } from '@spdk-ts/env';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModuleBed } from '../../test/bed.ts';
import { Modelled, type Step, steps } from '../../test/model.ts';
import type { MallocContext } from './context.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';
import { Segments } from './segments.ts';

const KIB = 1024;
const MIB = 1024 * 1024;
const ALL: Step['type'][] = ['write', 'read', 'readPlace', 'zeroes', 'unmap', 'copy', 'compare', 'flush'];

const start = (): Promise<ModuleBed> => ModuleBed.start(control, reactorHalf);

class Ends implements BdevIoOwner {
  statuses: number[] = [];
  bdevIoDone(io: BdevIo): void {
    this.statuses.push(io.status);
    io.free();
  }
}

async function againstModel(bed: ModuleBed, channel: BdevChannel, numRuns: number): Promise<void> {
  const reactor = bed.host.local[0]!;
  const modelled = new Modelled(reactor, channel, bed.host.allocateRegionId(), bed.poll);
  await fc.assert(
    fc.asyncProperty(steps(channel.num_blocks, channel.num_blocks, ALL), async (list) => {
      for (const step of list) await modelled.run(step);
      await modelled.check();
    }),
    { numRuns },
  );
}

describe('malloc bdev', () => {
  it.each([512, 4096, 65536])(
    'does every I/O type as the model does, blocks of %i bytes',
    async (block_size) => {
      const bed = await start();
      const name = await bed.rpc.call('bdev_malloc_create', {
        block_size,
        num_blocks: (512 * KIB) / block_size,
      });
      expect(name).toBe('Malloc0');
      await againstModel(bed, bed.channel(name), 25);
    },
  );

  it('does so over the seams that a resize leaves', async () => {
    const bed = await start();
    const name = await bed.rpc.call('bdev_malloc_create', { block_size: 512, num_blocks: 1024 });
    const channel = bed.channel(name);
    await bed.rpc.call('bdev_malloc_resize', { name, new_size: 1 });
    await bed.rpc.call('bdev_malloc_resize', { name, new_size: 2 });
    expect((bed.bdevs.get(name)!.context as MallocContext).segments.map(({ bytes }) => bytes)).toEqual([
      ...[512 * KIB, 512 * KIB, MIB],
    ]);
    expect(channel.num_blocks).toBe(4096);
    await againstModel(bed, channel, 15);
  });

  it('copies over random seams in both directions as one space does', () => {
    const regions = new RegionTable();
    const segment = fc.integer({ min: 1, max: 8 });
    fc.assert(
      fc.property(
        fc.array(segment, { minLength: 1, maxLength: 6 }),
        fc.nat(),
        fc.nat(),
        fc.nat(),
        (sizes, a, b, c) => {
          const list = sizes.map((size, index) => ({
            region: index,
            memory: new SharedArrayBuffer(size * 16),
            bytes: size * 16,
          }));
          for (const { region, memory } of list) {
            regions.remove(region);
            regions.add(region, new Uint8Array(memory));
          }
          const total = list.reduce((sum, { bytes }) => sum + bytes, 0);
          const to = a % total;
          const from = b % total;
          const length = 1 + (c % (total - Math.max(to, from)));
          const model = Uint8Array.from({ length: total }, (_, i) => i * 7 + 1);
          let at = 0;
          for (const { memory } of list) {
            new Uint8Array(memory).set(model.subarray(at, at + memory.byteLength));
            at += memory.byteLength;
          }
          new Segments(new Memory(regions), list).copy(to, from, length, to > from);
          model.copyWithin(to, from, from + length);
          expect(Buffer.concat(list.map(({ memory }) => new Uint8Array(memory)))).toEqual(Buffer.from(model));
        },
      ),
    );
  });

  it('answers a read without a buffer with a place in its own memory', async () => {
    const bed = await start();
    const name = await bed.rpc.call('bdev_malloc_create', { block_size: 512, num_blocks: 100 });
    const { segments } = bed.bdevs.get(name)!.context as MallocContext;
    const channel = bed.channel(name);
    new Uint8Array(segments[0]!.memory)[5 * 512] = 77;
    let seen: [number, number, number] | null = null;
    const free = bed.host.local[0]!.buffers.smallFree;
    channel.readBlocks(-1, 0, 5, 2, {
      bdevIoDone(io) {
        seen = [io.region, io.offset, io.length];
        io.free();
      },
    });
    await bed.poll();
    expect(seen).toEqual([segments[0]!.region, 5 * 512, 1024]);
    expect(bed.host.local[0]!.buffers.smallFree).toBe(free);
  });

  it('lends its own memory to a zero-copy I/O, also across a seam', async () => {
    const bed = await start();
    const name = await bed.rpc.call('bdev_malloc_create', { block_size: 512, num_blocks: 2048 });
    await bed.rpc.call('bdev_malloc_resize', { name, new_size: 2 });
    const { segments } = bed.bdevs.get(name)!.context as MallocContext;
    const channel = bed.channel(name);
    const done: BdevIo[] = [];
    const owner = { bdevIoDone: (io: BdevIo) => void done.push(io) };
    channel.zcopyStart(7, 2, false, owner);
    channel.zcopyStart(2047, 2, true, owner);
    await bed.poll();
    const [one, two] = done.splice(0);
    expect([one!.region, one!.offset, one!.length]).toEqual([segments[0]!.region, 7 * 512, 1024]);
    expect([...two!.iovs!.region.subarray(0, 2)]).toEqual(segments.map(({ region }) => region));
    bed.host.local[0]!.regions.bytes(one!.region).fill(9, one!.offset, one!.offset + one!.length);
    channel.zcopyEnd(one!, true);
    channel.zcopyEnd(two!, false);
    await bed.poll();
    expect(done.map(({ status }) => status)).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
    for (const io of done) io.free();
    const ends = new Ends();
    const { region, bytes } = bed.host.local[0]!.buffers;
    channel.readBlocks(region, 0, 8, 1, ends);
    await bed.poll();
    expect(bytes.subarray(0, 512).every((byte) => byte === 9)).toBe(true);
    const [{ stat }] = (await bed.bdevs.iostat(name)) as [{ stat: Float64Array }];
    // Bytes read and written: the populated start and the read, the commit.
    expect([stat[0], stat[5]]).toEqual([1024 + 512, 1024]);
  });

  it('clears a large range in slices, so that others are served in between, and can be aborted', async () => {
    const bed = await start();
    const name = await bed.rpc.call('bdev_malloc_create', {
      block_size: 4096,
      num_blocks: (64 * MIB) / 4096,
    });
    const channel = bed.channel(name);
    const ends = new Ends();
    const io = channel.getIo()!;
    io.type = IoType.UNMAP;
    io.num_blocks = channel.num_blocks;
    io.owner = ends;
    channel.submit(io);
    let reads = 0;
    for (; ends.statuses.length === 0; reads++) {
      const read = new Ends();
      channel.readBlocks(-1, 0, 0, 1, read);
      bed.host.poll();
      bed.host.poll();
      if (ends.statuses.length === 0) expect(read.statuses).toEqual([IoStatus.SUCCESS]);
      if (reads === 10) expect(channel.abort(io, ends)).toBe(0);
    }
    bed.host.poll();
    expect(reads).toBeLessThan(15);
    expect(ends.statuses).toEqual([IoStatus.ABORTED, IoStatus.SUCCESS]);
  });

  it('takes no memory until it is touched', async () => {
    const bed = await start();
    const before = process.memoryUsage().rss;
    await bed.rpc.call('bdev_malloc_create', { block_size: 512, num_blocks: (256 * MIB) / 512 });
    expect(process.memoryUsage().rss - before).toBeLessThan(20 * MIB);
  });

  it('numbers names, refuses what cannot be, and is deleted', async () => {
    const bed = await start();
    const create = (params: Record<string, unknown>) =>
      bed.rpc.call('bdev_malloc_create', { block_size: 512, num_blocks: 8, ...params } as never);
    expect(await create({ name: 'Malloc1' })).toBe('Malloc1');
    expect(await create({})).toBe('Malloc0');
    expect(await create({})).toBe('Malloc2');
    const wrong: [Record<string, unknown>, number, string][] = [
      [{ name: 'Malloc1' }, -17, 'File exists: "Malloc1"'],
      [{ block_size: 500 }, -22, 'block_size is 500'],
      [{ num_blocks: 0 }, -22, 'num_blocks is 0'],
      [{ num_blocks: 2 ** 43 }, -12, 'does not fit'],
      [{ md_size: 9 }, -22, 'md_size is 9'],
      [{ physical_block_size: 100 }, -22, 'physical_block_size is 100'],
    ];
    for (const [params, code, text] of wrong)
      await expect(create(params), text).rejects.toMatchObject({
        code,
        message: expect.stringContaining(text),
      });
    await bed.until(bed.rpc.call('bdev_malloc_delete', { name: 'Malloc0' }));
    await expect(bed.rpc.call('bdev_malloc_delete', { name: 'Malloc0' })).rejects.toMatchObject({
      code: -19,
    });
    const { region } = (bed.bdevs.get('Malloc1')!.context as MallocContext).segments[0]!;
    expect(bed.host.local[0]!.regions.get(region)).toBeDefined();
    await bed.until(bed.rpc.call('bdev_malloc_delete', { name: 'Malloc1' }));
    expect(bed.host.local[0]!.regions.get(region)).toBeUndefined();
  });

  it('is saved so that it can be made again', async () => {
    const bed = await start();
    await bed.rpc.call('bdev_malloc_create', { block_size: 4096, num_blocks: 64, physical_block_size: 8192 });
    const [, call] = bed.bdevs.config();
    const again = await start();
    await again.rpc.call(call!.method, call!.params);
    expect(again.bdevs.config()).toEqual(bed.bdevs.config());
    expect(Object.keys(call!.params!)).toEqual([
      ...['name', 'num_blocks', 'block_size', 'physical_block_size', 'uuid', 'optimal_io_boundary'],
      ...['md_size', 'dif_type', 'dif_is_head_of_md', 'dif_pi_format', 'numa_id'],
    ]);
  });

  it('shrinks only while nobody has it open, and forgets what was cut off', async () => {
    const bed = await start();
    const name = await bed.rpc.call('bdev_malloc_create', { block_size: 512, num_blocks: 4096 });
    const descriptor = bed.bdevs.open(name, { write: true, owner: { name: 'x', onEvent() {} } });
    await expect(bed.rpc.call('bdev_malloc_resize', { name, new_size: 1 })).rejects.toMatchObject({
      code: -16,
    });
    await descriptor.close();
    const channel = bed.channel(name);
    const service = getBdevService(bed.host.local[0]!);
    const buffers = bed.host.local[0]!.buffers;
    buffers.bytes.fill(9, 0, 512);
    const ends = new Ends();
    channel.writeBlocks(buffers.region, 0, 4095, 1, ends);
    await bed.poll();
    await bed.rpc.call('bdev_malloc_resize', { name, new_size: 1 });
    expect(channel.readBlocks(buffers.region, 0, 2048, 1, ends)).toBe(-22);
    await bed.rpc.call('bdev_malloc_resize', { name, new_size: 2 });
    expect(channel.readBlocks(buffers.region, 0, 4095, 1, ends)).toBe(0);
    await bed.poll();
    expect(ends.statuses).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
    expect(service.memory.equal(buffers.region, 0, service.zeroRegion, 0, 512)).toBe(true);
  });
});
