import { type BdevIo, getBdevService, IoStatus, IoType } from '@spdk-ts/bdev';
import { DifCheck } from '@spdk-ts/dif';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import delay from '../../delay/src/index.ts';
import delayReactor from '../../delay/src/reactor.ts';
import errorModule from '../../error/src/index.ts';
import errorReactor from '../../error/src/reactor.ts';
import malloc from '../../malloc/src/index.ts';
import mallocReactor from '../../malloc/src/reactor.ts';
import {
  ALL,
  BLOCKS,
  blocksOf,
  type Kind,
  kinds,
  NVME,
  Protected,
  seed,
  title,
} from '../../malloc/test/protected.ts';
import passthru from '../../passthru/src/index.ts';
import passthruReactor from '../../passthru/src/reactor.ts';
import { ModuleBed } from '../../test/bed.ts';
import { Modelled, steps } from '../../test/model.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const start = (): Promise<ModuleBed> =>
  ModuleBed.startAll([
    [malloc, mallocReactor],
    [passthru, passthruReactor],
    [delay, delayReactor],
    [errorModule, errorReactor],
    [control, reactorHalf],
  ]);

/** None: time stands still here. */
const latencies = { avg_read_latency: 0, p99_read_latency: 0, avg_write_latency: 0, p99_write_latency: 0 };

/** Puts one kind of bdev on `M`, and names the one that is tested. */
const tops: Record<string, (bed: ModuleBed) => Promise<string>> = {
  passthru: (bed) => bed.rpc.call('bdev_passthru_create', { name: 'P', base_bdev_name: 'M' }),
  delay: (bed) => bed.rpc.call('bdev_delay_create', { name: 'D', base_bdev_name: 'M', ...latencies }),
  error: async (bed) => {
    await bed.rpc.call('bdev_error_create', { base_name: 'M' });
    return 'EE_M';
  },
  'the second part of a split': async (bed) =>
    (await bed.rpc.call('bdev_split_create', { base_bdev: 'M', split_count: 2 }))[1]!,
  'all of them': async (bed) => {
    await bed.rpc.call('bdev_split_create', { base_bdev: 'M', split_count: 2 });
    await bed.rpc.call('bdev_passthru_create', { name: 'P', base_bdev_name: 'Mp1' });
    await bed.rpc.call('bdev_error_create', { base_name: 'P' });
    await bed.rpc.call('bdev_delay_create', { name: 'D', base_bdev_name: 'EE_P', ...latencies });
    return 'D';
  },
};

async function onMalloc(kind: Kind, top: string, more: object = {}): Promise<[Protected, Protected]> {
  const bed = await start();
  await bed.rpc.call('bdev_malloc_create', { name: 'M', num_blocks: 2 * BLOCKS, ...kind, ...more });
  const name = await tops[top]!(bed);
  return [new Protected(bed, name, kind), new Protected(bed, 'M', kind)];
}

/** Every type, interleaved and separate, with every guard and place of the protection information. */
const some = kinds.filter(
  ({ block_size, dif_type, dif_pi_format, md_interleave, dif_is_head_of_md }) =>
    dif_pi_format === (block_size === 512 ? 0 : dif_type - 1) && dif_is_head_of_md === md_interleave,
);

/** Protection information below is that of the base's addresses: reading there finds nothing wrong. */
async function baseIsValid(base: Protected): Promise<void> {
  for (const at of [0, BLOCKS]) {
    let end: number | string = 0;
    const io = (done: BdevIo): void => {
      end = done.status;
      done.free();
    };
    const { buffers } = base.bed.host.local[0]!;
    for (let block = at; block < at + BLOCKS; block++) {
      end = 0;
      expect(base.channel.readBlocks(buffers.region, 0, block, 1, { bdevIoDone: io })).toBe(0);
      while (end === 0) await base.bed.poll();
      expect(end, `block ${block}`).toBe(IoStatus.SUCCESS);
    }
  }
}

describe.each(Object.keys(tops))('%s', (top) => {
  describe.each(some.map((kind) => [title(kind), kind] as const))('on malloc, %s', (_title, kind) => {
    const last = (8 << (kind.dif_pi_format === 0 ? 0 : 1)) - 1;
    const checks_ref = kind.dif_type !== 3;

    it('has the metadata of its own addresses, and the base those of its', async () => {
      const [disk, base] = await onMalloc(kind, top);
      expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
      expect(disk.valid(0, BLOCKS)).toBe(true);
      disk.fill(3, 20, seed);
      const written = disk.data.slice();
      const written_md = disk.md.slice();
      expect(await disk.write(3, 20)).toBe(IoStatus.SUCCESS);
      // What is written stays as it is.
      expect(Buffer.compare(disk.data, written) + Math.abs(Buffer.compare(disk.md, written_md))).toBe(0);
      disk.data.fill(0);
      disk.md.fill(0);
      expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
      expect(Buffer.compare(disk.data, written)).toBe(0);
      expect(Buffer.compare(disk.md, written_md)).toBe(0);
      expect(disk.valid(0, BLOCKS)).toBe(true);
      expect(await disk.run(IoType.COMPARE, 0, BLOCKS)).toBe(IoStatus.SUCCESS);
      disk.flip(7, last);
      expect(await disk.run(IoType.COMPARE, 0, BLOCKS)).toBe(IoStatus.MISCOMPARE);
      expect(await disk.run(IoType.COPY, 30, 20, true, 3)).toBe(IoStatus.SUCCESS);
      expect(await disk.run(IoType.COPY, 33, 20, true, 30)).toBe(IoStatus.SUCCESS);
      expect(await disk.run(IoType.WRITE_ZEROES, 5, 2)).toBe(IoStatus.SUCCESS);
      expect(await disk.run(IoType.UNMAP, 9, 2)).toBe(IoStatus.SUCCESS);
      expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
      expect(disk.valid(0, BLOCKS)).toBe(true);
      if (!kind.md_interleave) {
        expect(await disk.run(IoType.WRITE, 50, 4, false)).toBe(IoStatus.SUCCESS);
        expect(await disk.run(IoType.READ, 50, 4, false)).toBe(IoStatus.SUCCESS);
        expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
        expect(disk.valid(0, BLOCKS)).toBe(true);
      }
      await baseIsValid(base);
      const { buffers } = disk.bed.host.local[0]!;
      expect([buffers.smallFree, buffers.largeFree]).toEqual([
        ...[buffers.options.small_count, buffers.options.large_count],
      ]);
    });

    it('passes on what is wrong with protection information as its NVMe status', async () => {
      const [disk] = await onMalloc(kind, top);
      const guard_bytes = 2 << kind.dif_pi_format;
      const attempt = async (spoil: () => void): Promise<number | string> => {
        disk.fill(10, 4, seed, 0x1234);
        spoil();
        return await disk.write(10, 4);
      };
      expect(await attempt(() => disk.flip(12, 0))).toBe(NVME.guard);
      expect(await attempt(() => disk.flip(11, last))).toBe(checks_ref ? NVME.reftag : IoStatus.SUCCESS);
      disk.change = (io) => Object.assign(io, { dif_app_tag: 0x1234, dif_app_tag_mask: 0xffff });
      expect(await attempt(() => {})).toBe(IoStatus.SUCCESS);
      expect(await attempt(() => disk.flip(11, guard_bytes))).toBe(NVME.apptag);
      disk.change = (io) => Object.assign(io, { dif_exclude: DifCheck.GUARD });
      expect(await attempt(() => disk.flip(12, 0))).toBe(IoStatus.SUCCESS);
      disk.change = () => {};
      expect(await disk.read(12, 1)).toBe(NVME.guard);
      expect(await disk.read(10, 2)).toBe(IoStatus.SUCCESS);
      if (checks_ref) {
        // A tag of the user's own is not an address: it goes to the base as it is.
        disk.change = (io) => Object.assign(io, { dif_ref_tag: 1000 });
        disk.fill(20, 4, seed);
        expect(await disk.write(20, 4)).toBe(NVME.reftag);
        disk.change = (io) => Object.assign(io, { dif_exclude: DifCheck.REFTAG });
        disk.fill(20, 4, seed);
        disk.flip(21, last);
        expect(await disk.write(20, 4)).toBe(IoStatus.SUCCESS);
        disk.change = () => {};
        expect(await disk.read(21, 1)).toBe(NVME.reftag);
      }
    });

    it('is written and read with hidden metadata as any bdev is', async () => {
      const [disk, base] = await onMalloc(kind, top);
      const reactor = disk.bed.host.local[0]!;
      const { id } = disk.channel.device.description;
      const hidden = getBdevService(reactor).getChannel(id, reactor.threads[0]!, true);
      const modelled = new Modelled(reactor, hidden, disk.bed.host.allocateRegionId(), disk.bed.poll);
      await fc.assert(
        fc.asyncProperty(steps(BLOCKS, BLOCKS, ALL), async (list) => {
          for (const step of list) await modelled.run(step);
          await modelled.check();
        }),
        { numRuns: 3, seed },
      );
      expect(await disk.read(0, BLOCKS)).toBe(IoStatus.SUCCESS);
      if (disk.channel.num_blocks === BLOCKS)
        expect(Buffer.compare(Buffer.concat(blocksOf(disk)), modelled.model)).toBe(0);
      await baseIsValid(base);
    });
  });
});
