import { type BdevIo, IoStatus, IoType } from '@spdk-ts/bdev';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Modelled, steps } from '../../test/model.ts';
import { ALL, BLOCKS, endOf, kinds, NVME, Protected, seed, start } from '../test/protected.ts';

describe('malloc with metadata', () => {
  it.each([
    [512, 8, 0],
    [4096, 64, 0],
    [512, 128, 1],
  ])(
    'of %i + %i bytes, interleaved without protection information, is a bdev of larger blocks',
    async (block_size, md_size) => {
      const bed = await start();
      const name = await bed.rpc.call('bdev_malloc_create', {
        ...{ block_size, num_blocks: 200, md_size, md_interleave: true },
      });
      const channel = bed.channel(name);
      expect(channel.block_size).toBe(block_size + md_size);
      const modelled = new Modelled(bed.host.local[0]!, channel, bed.host.allocateRegionId(), bed.poll);
      await fc.assert(
        fc.asyncProperty(steps(200, 200, ALL), async (list) => {
          for (const step of list) await modelled.run(step);
          await modelled.check();
        }),
        { numRuns: 10, seed },
      );
    },
  );

  it('makes metadata for writes that bring none, and takes only what lies in memory', async () => {
    const kind = kinds.find(({ md_interleave, dif_type }) => !md_interleave && dif_type === 1)!;
    const disk = await Protected.create(kind);
    disk.fill(0, BLOCKS, seed);
    expect(await disk.run(IoType.WRITE, 4, 8, false)).toBe(IoStatus.SUCCESS);
    disk.md.fill(0);
    expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    expect(disk.valid(0, BLOCKS)).toBe(true);
    const io = disk.channel.getIo()!;
    Object.assign(io, { type: IoType.READ, num_blocks: 1, region: 0, length: 512, md_region: 0 });
    io.md_offset = disk.bed.host.local[0]!.buffers.bytes.length - 7;
    expect(disk.channel.submit(io)).toBe(-22);
    io.free();
    // An I/O object that is used again knows nothing of its last use.
    const next = disk.channel.getIo()!;
    expect([next.md_region, next.md_offset, next.dif_ref_tag]).toEqual([-1, 0, -1]);
    next.free();
  });

  it('checks with the tags that an I/O brings', async () => {
    const kind = kinds.find(({ dif_type, block_size }) => dif_type === 2 && block_size === 512)!;
    const disk = await Protected.create(kind);
    disk.fill(20, 3, seed);
    const size = disk.channel.block_size;
    // As blocks 20 to 22 to somewhere else.
    disk.data.copyWithin(0, 20 * size, 23 * size);
    expect(await disk.write(0, 3)).toBe(NVME.reftag);
    disk.change = (io) => Object.assign(io, { dif_ref_tag: 20 });
    expect(await disk.write(0, 3)).toBe(IoStatus.SUCCESS);
    expect(await disk.read(0, 3)).toBe(IoStatus.SUCCESS);
    disk.change = () => {};
    expect(await disk.read(0, 3)).toBe(NVME.reftag);
  });

  it('is shown and saved so that it can be made again', async () => {
    const bed = await start();
    const shown: Record<string, unknown>[] = [];
    for (const kind of [...kinds, { ...kinds[0]!, dif_type: 0 }]) {
      const name = await bed.rpc.call('bdev_malloc_create', { num_blocks: 8, ...kind });
      shown.push(bed.bdevs.info(bed.bdevs.get(name)!));
      const { md_size, md_interleave, dif_type, dif_pi_format, dif_is_head_of_md } = kind;
      const more = {
        dif_is_head_of_md,
        enabled_dif_check_types: { reftag: dif_type < 3, apptag: false, guard: true },
        dif_pi_format,
      };
      expect(shown.at(-1)).toMatchObject({ md_size, md_interleave, dif_type, ...(dif_type > 0 && more) });
      expect('dif_pi_format' in shown.at(-1)!).toBe(dif_type > 0);
    }
    const again = await start();
    for (const { method, params } of bed.bdevs.config())
      if (method === 'bdev_malloc_create') await again.rpc.call(method, params as never);
    expect(again.bdevs.config()).toEqual(bed.bdevs.config());
    expect(again.bdevs.list().map((description) => again.bdevs.info(description))).toEqual(shown);
  });

  it('grows and shrinks with its metadata', async () => {
    for (const md_interleave of [true, false]) {
      const kind = { ...kinds[0]!, md_interleave };
      const bed = await start();
      const name = await bed.rpc.call('bdev_malloc_create', { num_blocks: 2048, ...kind });
      await bed.rpc.call('bdev_malloc_resize', { name, new_size: 3 });
      expect(bed.bdevs.get(name)!.num_blocks).toBe(6144);
      const disk = new Protected(bed, name, kind);
      let end: number | string = 0;
      const bdevIoDone = (io: BdevIo): void => {
        end = endOf(io);
        io.free();
      };
      expect(disk.channel.readBlocks(0, 0, 2000, 100, { bdevIoDone })).toBe(0);
      while (end === 0) await bed.poll();
      expect(end).toBe(IoStatus.SUCCESS);
      end = 0;
      expect(disk.channel.writeZeroesBlocks(1000, 5000, { bdevIoDone })).toBe(0);
      while (end === 0) await bed.poll();
      expect(end).toBe(IoStatus.SUCCESS);
      await bed.rpc.call('bdev_malloc_resize', { name, new_size: 1 });
      await bed.rpc.call('bdev_malloc_resize', { name, new_size: 2 });
      end = 0;
      expect(disk.channel.readBlocks(0, 0, 2000, 200, { bdevIoDone })).toBe(0);
      while (end === 0) await bed.poll();
      expect(end).toBe(IoStatus.SUCCESS);
    }
  });

  it('refuses what cannot be', async () => {
    const bed = await start();
    const wrong: [Record<string, unknown>, RegExp][] = [
      [{ md_size: 7 }, /md_size is 7; give one of 0, 8, 16, 32, 64, 128/],
      [{ dif_type: 1 }, /dif_type is 1, but md_size is 0/],
      [{ md_size: 8, dif_type: 4 }, /dif_type is 4; give an integer from 0 to 3/],
      [{ md_size: 8, dif_type: -1 }, /dif_type is -1/],
      [{ md_size: 8, dif_type: 1, dif_pi_format: 1 }, /md_size is 8; .* 32 bits needs 16/],
      [{ md_size: 8, dif_type: 1, dif_pi_format: 3 }, /dif_pi_format is 3/],
      [{ md_size: 8, md_interleave: true, block_size: 520 }, /block_size is 520/],
    ];
    for (const [params, message] of wrong)
      await expect(
        bed.rpc.call('bdev_malloc_create', { block_size: 512, num_blocks: 8, ...params }),
        String(message),
      ).rejects.toMatchObject({ code: -22, message: expect.stringMatching(message) });
    expect(bed.bdevs.list()).toEqual([]);
  });
});
