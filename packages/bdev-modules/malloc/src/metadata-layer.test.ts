import { type BdevIo, getBdevService, IoStatus, IoType } from '@spdk-ts/bdev';
import { describe, expect, it } from 'vitest';
import { pattern } from '../../test/model.ts';
import { BLOCKS, endOf, kinds, NVME, Protected, seed, start, title } from '../test/protected.ts';

describe('what the layer makes of I/O with metadata', () => {
  const some = kinds.filter(({ dif_is_head_of_md, dif_type }) => dif_is_head_of_md && dif_type !== 2);

  it.each(some.map((kind) => [title(kind), kind] as const))(
    'splits it with its metadata and tags: %s',
    async (_t, kind) => {
      const bed = await start();
      const register = bed.bdevs.register.bind(bed.bdevs);
      const limits = {
        max_rw_size: 3,
        max_unmap: 5,
        max_unmap_segments: 1,
        max_write_zeroes: 4,
        max_copy: 3,
      };
      bed.bdevs.register = (module, spec) => register(module, { ...spec, ...limits });
      const name = await bed.rpc.call('bdev_malloc_create', { num_blocks: BLOCKS, ...kind });
      const disk = new Protected(bed, name, kind);
      disk.fill(0, BLOCKS, seed, 0x77);
      const before = [disk.data.slice(), disk.md.slice()];
      disk.change = (io) => Object.assign(io, { dif_app_tag: 0x77, dif_app_tag_mask: 0xffff });
      expect(await disk.write(0, BLOCKS)).toBe(IoStatus.SUCCESS);
      disk.data.fill(0);
      disk.md.fill(0);
      expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
      expect([Buffer.compare(disk.data, before[0]!), Buffer.compare(disk.md, before[1]!)]).toEqual([0, 0]);
      expect(await disk.run(IoType.COMPARE, 0, BLOCKS)).toBe(IoStatus.SUCCESS);
      disk.flip(20, 0);
      expect(await disk.write(10, 20)).toBe(NVME.guard);
      expect(await disk.run(IoType.COPY, 1, 30, true, 5)).toBe(IoStatus.SUCCESS);
      disk.change = () => {};
      expect(await disk.run(IoType.UNMAP, 40, 9)).toBe(IoStatus.SUCCESS);
      expect(await disk.run(IoType.WRITE_ZEROES, 50, 11)).toBe(IoStatus.SUCCESS);
      expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
      expect(disk.valid(0, 1, 0x77) && disk.valid(1, 39, 0x77) && disk.valid(50, 11)).toBe(true);
      if (kind.dif_type === 3) return;
      // Tags of its own count on from part to part.
      disk.fill(30, 20, seed);
      disk.data.copyWithin(0, 30 * disk.channel.block_size, 50 * disk.channel.block_size);
      disk.md.copyWithin(0, 30 * kind.md_size, 50 * kind.md_size);
      disk.change = (io) => Object.assign(io, { dif_ref_tag: 30 });
      expect(await disk.write(0, 20)).toBe(IoStatus.SUCCESS);
      expect(await disk.read(0, 20)).toBe(IoStatus.SUCCESS);
      disk.change = () => {};
      expect(await disk.read(0, 20)).toBe(NVME.reftag);
    },
  );

  it.each(some.map((kind) => [title(kind), kind] as const))(
    'compares and writes, and starts and ends zero-copy, with hidden metadata too: %s',
    async (_t, kind) => {
      const bed = await start();
      const name = await bed.rpc.call('bdev_malloc_create', { num_blocks: BLOCKS, ...kind });
      const disk = new Protected(bed, name, kind);
      const reactor = bed.host.local[0]!;
      const { id } = disk.channel.device.description;
      const hidden = getBdevService(reactor).getChannel(id, disk.channel.thread, true);
      const { region, data: bytes } = disk;
      let end: BdevIo | null = null;
      const owner = {
        bdevIoDone(io: BdevIo) {
          end = io;
        },
      };
      const ended = async (result: number): Promise<BdevIo> => {
        expect(result).toBe(0);
        while (end === null) await bed.poll();
        const io: BdevIo = end;
        end = null;
        return io;
      };
      bytes.fill(0);
      pattern(bytes.subarray(8192, 8192 + kind.block_size), seed);
      const written = bytes.slice(8192, 8192 + kind.block_size);
      // Zeroes are there: they are compared, and the pattern is written; then they are not.
      for (const status of [IoStatus.SUCCESS, IoStatus.MISCOMPARE]) {
        const io = await ended(hidden.compareAndWriteBlocks(region, 0, 8192, 7, 1, owner));
        expect(io.status).toBe(status);
        io.free();
      }
      const zcopy = await ended(hidden.zcopyStart(7, 2, true, owner));
      expect(zcopy.status).toBe(IoStatus.SUCCESS);
      const place = reactor.regions.bytes(zcopy.region).subarray(zcopy.offset, zcopy.offset + zcopy.length);
      expect(Buffer.compare(place.subarray(0, kind.block_size), written)).toBe(0);
      place.fill(0x42);
      hidden.zcopyEnd(zcopy, true);
      (await ended(0)).free();
      expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
      expect(disk.valid(0, BLOCKS)).toBe(true);
      expect(disk.plain(8).every((byte) => byte === 0x42)).toBe(true);
      // With metadata in sight: what is changed in the memory is checked when it is given back.
      const start_io = await ended(disk.channel.zcopyStart(8, 1, true, owner));
      const blocks = reactor.regions.bytes(start_io.region);
      blocks[start_io.offset + 1]! ^= 1;
      disk.channel.zcopyEnd(start_io, true);
      const last = await ended(0);
      expect(endOf(last)).toBe(kind.md_interleave ? NVME.guard : IoStatus.SUCCESS);
      last.free();
      hidden.put();
    },
  );

  it('keeps a range that is locked from those who see no metadata', async () => {
    const bed = await start();
    const kind = some[0]!;
    const name = await bed.rpc.call('bdev_malloc_create', { num_blocks: BLOCKS, ...kind });
    const disk = new Protected(bed, name, kind);
    const reactor = bed.host.local[0]!;
    const hidden = getBdevService(reactor).getChannel(
      disk.channel.device.description.id,
      disk.channel.thread,
      true,
    );
    const order: string[] = [];
    const owner = (what: string) => ({
      bdevIoDone(io: BdevIo) {
        order.push(`${what} ${io.status}`);
        io.free();
      },
    });
    for (const [mine, other] of [
      [hidden, disk.channel],
      [disk.channel, hidden],
    ] as const) {
      order.length = 0;
      const me = owner('mine');
      const lock = await bed.until(mine.lockRange(4, 4, me));
      expect(other.writeZeroesBlocks(5, 1, owner('other'))).toBe(0);
      expect(mine.writeZeroesBlocks(6, 1, me)).toBe(0);
      expect(other.writeZeroesBlocks(8, 1, owner('elsewhere'))).toBe(0);
      for (let i = 0; i < 5; i++) await bed.poll();
      expect(order.sort()).toEqual(['elsewhere 1', 'mine 1']);
      await bed.until(lock.release());
      for (let i = 0; i < 5; i++) await bed.poll();
      expect(order).toContain('other 1');
    }
  });
});
