import { type Dif, DifCheck, DifFailure, Pieces } from '@spdk-ts/dif';
import { describe, expect, it } from 'vitest';
import { type BedOptions, Owner, RW, TestBed } from '../test/support.ts';
import { type BdevChannel, dataBlockSize, difOf, getBdevService, hideMetadata } from './index.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType, ioTypeMask } from './io-type.ts';

const { SUCCESS, FAILED, ABORTED } = IoStatus;
const BYTES = 520;
const spec = {
  ...{ block_size: BYTES, num_blocks: 1000, md_size: 8, md_interleave: true, dif_type: 1 },
  dif_check_types: DifCheck.GUARD | DifCheck.REFTAG,
};
/** Four buffers of 4 KiB and three of 64 KiB: 126 blocks. A channel keeps one of these. */
const pool = { small_count: 4, small_bytes: 4096, large_count: 3, large_bytes: 65_536 };
const STORED = 5000;

interface Hidden {
  readonly bed: TestBed;
  readonly channel: BdevChannel;
  readonly owner: Owner;
  readonly dif: Dif;
  /** Memory for the data of all blocks, in a region of its own. */
  readonly data: Uint8Array;
  readonly region: number;
  readonly valid: (at: number, blocks: number) => boolean;
}

async function start(options: BedOptions = {}): Promise<Hidden> {
  const bed = await TestBed.start({ pool, spec, ...options });
  const channel = getBdevService(bed.reactor).getChannel(bed.description.id, bed.thread, true);
  const dif = difOf(bed.description);
  const data = Uint8Array.from({ length: 1000 * 512 }, (_, i) => i ^ (i >> 9));
  const region = bed.host.allocateRegionId();
  bed.reactor.regions.add(region, data);
  const tags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
  const valid = (at: number, blocks: number): boolean => {
    const stored = bed.reactor.regions.bytes(STORED).subarray(at * BYTES, (at + blocks) * BYTES);
    const checks = DifCheck.GUARD | DifCheck.REFTAG;
    return dif.verify(Pieces.of(stored), null, blocks, { ...tags, ref_tag: at }, checks, new DifFailure());
  };
  return { bed, channel, owner: new Owner(), dif, data, region, valid };
}

const free = ({ reactor }: TestBed): number[] => [reactor.buffers.smallFree, reactor.buffers.largeFree];

describe('a bdev that is open with hidden metadata', () => {
  it('is described as one without, and has a channel of its own beside the other', async () => {
    const { bed, channel } = await start();
    const hidden = hideMetadata(bed.description);
    expect(hidden).toMatchObject({
      ...{ block_size: 512, md_size: 0, md_interleave: false, dif_type: 0, hides_metadata: true },
      num_blocks: 1000,
    });
    expect([dataBlockSize(bed.description), dataBlockSize(hidden)]).toEqual([512, 512]);
    expect(hideMetadata(bed.description)).toBe(hidden);
    expect(hideMetadata(hidden)).toBe(hidden);
    expect(channel).not.toBe(bed.channel);
    expect([channel.block_size, bed.channel.block_size]).toEqual([512, BYTES]);
    const plain = await bed.create({ name: 'Plain' });
    const service = getBdevService(bed.reactor);
    expect(service.getChannel(plain.id, bed.thread, true)).toBe(service.getChannel(plain.id, bed.thread));
    expect(hideMetadata(plain)).toBe(plain);
  });

  it('goes through the pool a buffer at a time, however large the I/O', async () => {
    const { bed, channel, owner, data, region, valid } = await start();
    const written = data.slice();
    expect(channel.writeBlocks(region, 0, 0, 1000, owner)).toBe(0);
    bed.poll(40);
    expect(bed.script.seen).toHaveLength(8);
    expect(valid(0, 1000)).toBe(true);
    data.fill(0);
    expect(channel.readBlocks(region, 0, 0, 1000, owner)).toBe(0);
    bed.poll(40);
    expect(owner.statuses).toEqual([SUCCESS, SUCCESS]);
    expect(Buffer.compare(data, written)).toBe(0);
    expect(free(bed)).toEqual([4, 2]);
  });

  it('waits for buffers and I/O objects, and gives them back', async () => {
    const { bed, channel, owner, region, valid } = await start({
      options: { bdev_io_pool_size: 12, bdev_io_cache_size: 6 },
    });
    // More than there are objects, and buffers: only the channel's own.
    const { buffers } = bed.reactor;
    const taken = Array.from({ length: 4 }, () => buffers.get(4096));
    bed.script.immediate = false;
    let submitted = 0;
    const next = (): void => {
      if (submitted === 60) return;
      if (channel.writeBlocks(region, 512 * submitted, submitted, 1, owner, submitted) === 0) {
        submitted++;
        next();
      } else channel.queueWait({ bdevIoAvailable: next });
    };
    next();
    expect(bed.script.held).toHaveLength(1);
    while (owner.done.length < 30) {
      expect(bed.script.held.length).toBeLessThan(2);
      bed.script.complete();
      bed.advance(10_000_000);
    }
    for (const buffer of taken) buffers.put(buffer);
    while (owner.done.length < 60) {
      bed.script.complete();
      bed.advance(10_000_000);
    }
    expect(owner.statuses).toEqual(Array(60).fill(SUCCESS));
    expect(valid(0, 60)).toBe(true);
    expect(free(bed)).toEqual([4, 2]);
  });

  it('ends as the module ends it, and after the piece that is under way when it is aborted', async () => {
    const { bed, channel, owner, region } = await start();
    bed.script.immediate = false;
    channel.writeBlocks(region, 0, 0, 1000, owner, 1);
    bed.script.complete(SUCCESS);
    bed.poll();
    bed.script.complete(FAILED);
    bed.poll();
    expect(owner.done).toEqual([{ index: 1, status: FAILED, cdw0: 0 }]);

    const io = channel.getIo()!;
    Object.assign(io, {
      type: IoType.WRITE,
      num_blocks: 1000,
      region,
      length: 512_000,
      owner,
      ownerIndex: 2,
    });
    channel.submit(io);
    const aborts = new Owner();
    channel.abort(io, aborts);
    expect(bed.script.held).toHaveLength(1);
    bed.script.complete(SUCCESS);
    bed.poll();
    expect(owner.statuses).toEqual([FAILED, ABORTED]);
    expect(aborts.statuses).toEqual([SUCCESS]);
    // The only piece cannot be taken back.
    const small = channel.getIo()!;
    Object.assign(small, { type: IoType.WRITE, num_blocks: 1, region, length: 512, owner, ownerIndex: 3 });
    channel.submit(small);
    channel.abort(small, aborts);
    bed.script.complete(SUCCESS);
    bed.poll();
    expect(owner.statuses).toEqual([FAILED, ABORTED, SUCCESS]);
    expect(aborts.statuses).toEqual([SUCCESS, FAILED]);
    expect(free(bed)).toEqual([4, 2]);
  });

  it('is reset with the bdev: what is out ends, what comes is aborted', async () => {
    const { bed, channel, owner, region } = await start();
    bed.script.immediate = false;
    channel.writeBlocks(region, 0, 0, 1000, owner, 1);
    const resets = new Owner();
    channel.reset(resets);
    await bed.settle();
    channel.writeBlocks(region, 0, 0, 1, owner, 2);
    bed.poll();
    expect(owner.done).toEqual([{ index: 2, status: ABORTED, cdw0: 0 }]);
    // Its first piece ends; the second comes while the bdev is frozen.
    bed.script.complete(SUCCESS);
    await bed.settle();
    expect(owner.statuses).toEqual([ABORTED, ABORTED]);
    expect(resets.statuses).toEqual([SUCCESS]);
    bed.script.immediate = true;
    channel.writeBlocks(region, 0, 0, 1, owner, 3);
    bed.poll();
    expect(owner.statuses[2]).toBe(SUCCESS);
  });

  it('grows with the bdev, and is removed with it', async () => {
    const { bed, channel, owner, region } = await start();
    await bed.bdevs.resize('Test0', 1004);
    expect(channel.num_blocks).toBe(1004);
    const descriptor = bed.bdevs.open('Test0', {
      ...{ write: true, hide_metadata: true, owner: { name: 'x', onEvent() {} } },
    });
    expect(descriptor.description).toMatchObject({ num_blocks: 1004, block_size: 512 });
    const removal = bed.bdevs.unregister('Test0');
    await bed.settle();
    expect(channel.readBlocks(region, 0, 0, 1, owner)).toBe(Errno.ENODEV);
    bed.channel.put();
    channel.put();
    await descriptor.close();
    await bed.until(removal);
    expect(bed.script.destroyed).toBe(1);
    expect(bed.reactor.buffers.largeFree).toBe(3);
  });
});

describe('what the layer does for modules that cannot, with metadata', () => {
  it('waits for buffers, needs no I/O objects of others, and ends when it is aborted', async () => {
    const {
      bed,
      owner,
      channel: hidden,
    } = await start({ options: { bdev_io_pool_size: 8, bdev_io_cache_size: 4 } });
    hidden.put();
    const { buffers } = bed.reactor;
    const taken = [buffers.get(60_000), buffers.get(60_000), buffers.get(60_000)];
    const { channel } = bed;
    expect(channel.writeZeroesBlocks(0, 500, owner, 1)).toBe(0);
    const kept = [];
    for (let io = channel.getIo(); io !== null; io = channel.getIo()) kept.push(io);
    bed.poll();
    expect(bed.script.seen).toEqual([]);
    for (const buffer of taken) buffers.put(buffer);
    bed.poll(30);
    expect(owner.statuses).toEqual([SUCCESS]);
    expect(bed.script.seen).toHaveLength(4);
    for (const io of kept) io.free();

    bed.script.immediate = false;
    const io = channel.getIo()!;
    Object.assign(io, { type: IoType.WRITE_ZEROES, num_blocks: 500, owner, ownerIndex: 2 });
    channel.submit(io);
    channel.abort(io, owner, 3);
    bed.script.complete();
    bed.poll();
    expect(owner.done.slice(1).map(({ index, status }) => [index, status])).toEqual([
      [3, SUCCESS],
      [2, ABORTED],
    ]);
    expect(free(bed)).toEqual([4, 3]);
  });

  it('ends with the failure of a piece', async () => {
    const { bed, owner } = await start();
    bed.script.immediate = false;
    expect(bed.channel.copyBlocks(300, 0, 300, owner)).toBe(0);
    bed.script.held.pop()!.completeNvme(2, 0x81);
    bed.poll();
    expect(owner.statuses).toEqual([IoStatus.NVME_ERROR]);
    expect(free(bed)).toEqual([4, 2]);
  });
});

describe('an I/O with separate metadata', () => {
  it('must have them in registered memory, as many as its blocks; others do without', async () => {
    const separate = { ...spec, block_size: 512, md_interleave: false };
    const { bed, owner, region } = await start({
      spec: { ...separate, io_types: RW | ioTypeMask(IoType.COMPARE) },
    });
    const { channel } = bed;
    const size = bed.bytes.length;
    const submit = (type: number, md_region: number, md_offset: number, blocks = 4): number => {
      const io = channel.getIo()!;
      Object.assign(io, {
        type,
        num_blocks: blocks,
        region,
        length: blocks * 512,
        owner,
        md_region,
        md_offset,
      });
      const result = channel.submit(io);
      if (result !== 0) io.free();
      bed.poll();
      return result;
    };
    for (const type of [IoType.READ, IoType.WRITE, IoType.COMPARE]) {
      expect(submit(type, -1, 0)).toBe(0);
      expect(submit(type, bed.region, size - 32)).toBe(0);
      expect(submit(type, bed.region, size - 31)).toBe(-22);
      expect(submit(type, bed.region, -1)).toBe(-22);
      expect(submit(type, 4999, 0)).toBe(-22);
    }
    expect(owner.statuses).toEqual(Array(6).fill(SUCCESS));
    // A part of it has its part of them.
    const part = channel.getIo()!;
    const whole = channel.getIo()!;
    Object.assign(whole, {
      md_region: 3,
      md_offset: 100,
      dif_exclude: 2,
      dif_app_tag: 7,
      dif_app_tag_mask: 15,
    });
    part.takeMetadata(whole, 10, bed.description);
    expect(part).toMatchObject({
      md_region: 3,
      md_offset: 180,
      dif_exclude: 2,
      dif_app_tag: 7,
      dif_ref_tag: -1,
    });
    whole.dif_ref_tag = 50;
    part.takeMetadata(whole, 10, bed.description);
    expect([part.dif_ref_tag, part.dif_app_tag_mask]).toEqual([60, 15]);
    part.takeMetadata(whole, 10, { ...bed.description, dif_type: 3, md_interleave: true });
    expect([part.dif_ref_tag, part.md_offset]).toEqual([50, 100]);
    part.free();
    whole.free();
    // Freed with metadata, taken without.
    const io = channel.getIo()!;
    Object.assign(io, { md_region: 7, md_offset: 9, dif_exclude: 7, dif_ref_tag: 5, dif_app_tag: 1 });
    io.dif_app_tag_mask = 3;
    io.free();
    const again = channel.getIo()!;
    expect(again).toBe(io);
    expect(again).toMatchObject({ md_region: -1, md_offset: 0, dif_exclude: 0, dif_ref_tag: -1 });
    expect([again.dif_app_tag, again.dif_app_tag_mask]).toEqual([0, 0]);
  });
});
