import { type BdevIo, getBdevService, IoStatus, IoType, ioTypeMask } from '@spdk-ts/bdev';
import { DifCheck, PI_BYTES } from '@spdk-ts/dif';
import { attachSharedMemory } from '@spdk-ts/env';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Modelled, steps } from '../../test/model.ts';
import {
  ALL,
  BLOCKS,
  blocksOf,
  endOf,
  kinds,
  NVME,
  Protected,
  seed,
  start,
  title,
} from '../test/protected.ts';

describe.each(kinds.map((kind) => [title(kind), kind] as const))('malloc, %s', (_title, kind) => {
  const guard_bytes = 2 << kind.dif_pi_format;
  const last = PI_BYTES[kind.dif_pi_format]! - 1;
  const checks_ref = kind.dif_type !== 3;

  it('is valid from the start, and keeps what is written with valid protection information', async () => {
    const disk = await Protected.create(kind);
    expect(disk.channel.device.description).toMatchObject({
      block_size: kind.block_size + (kind.md_interleave ? kind.md_size : 0),
      num_blocks: BLOCKS,
    });
    disk.data.fill(7);
    expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    expect(disk.plain(5).every((byte) => byte === 0)).toBe(true);
    expect(disk.valid(0, BLOCKS)).toBe(true);
    disk.fill(3, 9, seed);
    const written = disk.data.slice();
    const written_md = disk.md.slice();
    expect(await disk.write(3, 9)).toBe(IoStatus.SUCCESS);
    disk.data.fill(0);
    disk.md.fill(0);
    expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    expect(Buffer.compare(disk.data, written)).toBe(0);
    expect(Buffer.compare(disk.md, written_md)).toBe(0);
    expect(disk.valid(0, BLOCKS)).toBe(true);
    expect(await disk.run(IoType.COMPARE, 0, BLOCKS)).toBe(IoStatus.SUCCESS);
    disk.flip(7, last);
    expect(await disk.run(IoType.COMPARE, 0, BLOCKS)).toBe(IoStatus.MISCOMPARE);
  });

  it('refuses writes whose guard, reference or application tag is wrong, unless the I/O excludes it', async () => {
    const disk = await Protected.create(kind);
    const attempt = async (spoil: () => void): Promise<number | string> => {
      disk.fill(10, 4, seed, 0x1234);
      spoil();
      return await disk.write(10, 4);
    };
    const mask = (app_tag: number, dif_app_tag_mask: number, dif_exclude = 0) => {
      disk.change = (io) => Object.assign(io, { dif_app_tag: app_tag, dif_app_tag_mask, dif_exclude });
    };
    mask(0x1234, 0xffff);
    expect(await attempt(() => {})).toBe(IoStatus.SUCCESS);
    disk.change = () => {};
    expect(await attempt(() => disk.flip(12, 0))).toBe(NVME.guard);
    expect(await attempt(() => disk.plain(13).set([disk.plain(13)[17]! ^ 64], 17))).toBe(NVME.guard);
    expect(await attempt(() => disk.flip(11, last))).toBe(checks_ref ? NVME.reftag : IoStatus.SUCCESS);
    expect(await attempt(() => disk.flip(11, guard_bytes))).toBe(IoStatus.SUCCESS);
    mask(0x1234, 0xffff);
    expect(await attempt(() => disk.flip(11, guard_bytes))).toBe(NVME.apptag);
    mask(0x1234, 0x00ff);
    expect(await attempt(() => disk.flip(11, guard_bytes))).toBe(IoStatus.SUCCESS);
    // Nothing of what was refused is there; then it is let through, and found when it is read.
    mask(0, 0);
    expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    mask(0, 0, DifCheck.GUARD);
    expect(await attempt(() => disk.flip(12, 0))).toBe(IoStatus.SUCCESS);
    mask(0, 0);
    expect(await disk.read(12, 1)).toBe(NVME.guard);
    expect(await disk.read(10, 2)).toBe(IoStatus.SUCCESS);
    mask(0, 0, DifCheck.GUARD);
    expect(await disk.read(12, 1)).toBe(IoStatus.SUCCESS);
  });

  it('finds a stored byte that has changed', async () => {
    const disk = await Protected.create(kind);
    const { segments } = disk.context;
    disk.fill(0, BLOCKS, seed);
    expect(await disk.write(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    const stored = attachSharedMemory(segments[0]!.memory);
    const size = disk.channel.block_size;
    stored[33 * size + 100]! ^= 0x20;
    expect(await disk.read(32, 3)).toBe(NVME.guard);
    expect(await disk.read(34, 2)).toBe(IoStatus.SUCCESS);
    expect(await disk.run(IoType.COPY, 0, 2, true, 33)).toBe(NVME.guard);
    // In place as well, where reads are answered so.
    let end: number | string = 0;
    const io = (done: BdevIo): void => {
      end = endOf(done);
      done.free();
    };
    expect(disk.channel.readBlocks(-1, 0, 33, 1, { bdevIoDone: io })).toBe(0);
    while (end === 0) await disk.bed.poll();
    expect(end).toBe(NVME.guard);
  });

  it('moves blocks with the tags of where they go; unmapped and zeroed blocks are valid', async () => {
    const disk = await Protected.create(kind);
    disk.fill(0, BLOCKS, seed);
    expect(await disk.write(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    const before = Array.from({ length: BLOCKS }, (_, i) => disk.plain(i).slice());
    expect(await disk.run(IoType.COPY, 5, 20, true, 8)).toBe(IoStatus.SUCCESS);
    expect(await disk.run(IoType.COPY, 40, 15, true, 30)).toBe(IoStatus.SUCCESS);
    expect(await disk.run(IoType.WRITE_ZEROES, 1, 3)).toBe(IoStatus.SUCCESS);
    expect(await disk.run(IoType.UNMAP, 56, 6)).toBe(IoStatus.SUCCESS);
    expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    expect(disk.valid(0, BLOCKS)).toBe(true);
    const wanted = (i: number): Uint8Array =>
      (i >= 1 && i < 4) || (i >= 56 && i < 62)
        ? new Uint8Array(kind.block_size)
        : before[i >= 5 && i < 25 ? i + 3 : i >= 40 && i < 55 ? i - 10 : i]!;
    for (let i = 0; i < BLOCKS; i++) expect(Buffer.compare(disk.plain(i), wanted(i)), `block ${i}`).toBe(0);
    // Zeroed blocks are checked, unmapped ones are not.
    const tags = (block: number): number[] =>
      Array.from({ length: last + 1 - guard_bytes }, (_, i) => {
        const [bytes, at] = disk.pi(block, guard_bytes + i);
        return bytes[at]!;
      });
    expect(tags(57)).toEqual(tags(57).map(() => 0xff));
    expect(tags(2)).not.toContain(0xff);
    expect(tags(2).at(-1)).toBe(kind.dif_type === 3 ? 0 : 2);
  });

  it('is written and read through a descriptor that hides metadata as any bdev is', async () => {
    const bed = await start();
    const name = await bed.rpc.call('bdev_malloc_create', { num_blocks: BLOCKS, ...kind });
    const descriptor = bed.bdevs.open(name, {
      ...{ write: true, hide_metadata: true, owner: { name: 'x', onEvent() {} } },
    });
    expect(descriptor.description).toMatchObject({ block_size: kind.block_size, md_size: 0, dif_type: 0 });
    const reactor = bed.host.local[0]!;
    const thread = reactor.threads[0] ?? reactor.createThread('test');
    const hidden = getBdevService(reactor).getChannel(bed.bdevs.get(name)!.id, thread, true);
    expect([hidden.block_size, hidden.num_blocks]).toEqual([kind.block_size, BLOCKS]);
    const modelled = new Modelled(reactor, hidden, bed.host.allocateRegionId(), bed.poll);
    await fc.assert(
      fc.asyncProperty(steps(BLOCKS, BLOCKS, ALL), async (list) => {
        for (const step of list) await modelled.run(step);
        await modelled.check();
      }),
      { numRuns: 3, seed },
    );
    // What it wrote is right for those who see metadata; what is not right it does not show.
    const disk = new Protected(bed, name, kind);
    expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    expect(Buffer.compare(Buffer.concat(blocksOf(disk)), modelled.model)).toBe(0);
    disk.fill(3, 1, seed);
    disk.flip(3, 0);
    disk.change = (io) => Object.assign(io, { dif_exclude: DifCheck.GUARD });
    expect(await disk.write(3, 1)).toBe(IoStatus.SUCCESS);
    let end: number | string = 0;
    const bdevIoDone = (io: BdevIo): void => {
      end = endOf(io);
      io.free();
    };
    expect(hidden.readBlocks(reactor.buffers.region, 0, 3, 1, { bdevIoDone })).toBe(0);
    while (end === 0) await bed.poll();
    expect(end).toBe(NVME.guard);
    const removal = bed.rpc.call('bdev_malloc_delete', { name });
    await bed.poll();
    expect(hidden.readBlocks(reactor.buffers.region, 0, 3, 1, { bdevIoDone })).toBe(-19);
    disk.channel.put();
    hidden.put();
    await descriptor.close();
    expect(await bed.until(removal)).toBe(true);
    const { buffers } = reactor;
    expect([buffers.smallFree, buffers.largeFree]).toEqual([
      ...[buffers.options.small_count, buffers.options.large_count],
    ]);
  });

  it('is zeroed, copied and compared by the layer where the module cannot', async () => {
    const bed = await start();
    const register = bed.bdevs.register.bind(bed.bdevs);
    const types = ioTypeMask(IoType.READ, IoType.WRITE, IoType.ABORT);
    bed.bdevs.register = (module, spec) => register(module, { ...spec, io_types: types });
    const name = await bed.rpc.call('bdev_malloc_create', { num_blocks: BLOCKS, ...kind });
    const disk = new Protected(bed, name, kind);
    disk.fill(0, BLOCKS, seed);
    expect(await disk.write(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    const before = blocksOf(disk).map((bytes) => bytes.slice());
    expect(await disk.run(IoType.COMPARE, 0, BLOCKS)).toBe(IoStatus.SUCCESS);
    disk.flip(41, last);
    expect(await disk.run(IoType.COMPARE, 0, BLOCKS)).toBe(IoStatus.MISCOMPARE);
    expect(await disk.run(IoType.COPY, 2, 50, true, 7)).toBe(IoStatus.SUCCESS);
    expect(await disk.run(IoType.WRITE_ZEROES, 55, 9)).toBe(IoStatus.SUCCESS);
    expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
    expect(disk.valid(0, BLOCKS)).toBe(true);
    const after = blocksOf(disk);
    for (let i = 0; i < BLOCKS; i++) {
      const wanted = i >= 55 ? new Uint8Array(kind.block_size) : before[i >= 2 && i < 52 ? i + 5 : i]!;
      expect(Buffer.compare(after[i]!, wanted), `block ${i}`).toBe(0);
    }
    const { buffers } = bed.host.local[0]!;
    expect([buffers.smallFree, buffers.largeFree]).toEqual([
      ...[buffers.options.small_count, buffers.options.large_count],
    ]);
  });
});
