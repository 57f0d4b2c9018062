import { type BdevChannel, type BdevIo, IoStatus, IoType, IoVec } from '@spdk-ts/bdev';
import { describe, expect, it } from 'vitest';
import malloc from '../../malloc/src/index.ts';
import mallocReactor from '../../malloc/src/reactor.ts';
import { ModuleBed } from '../../test/bed.ts';
import { againstModel, Ends, expectSameAfterLoad } from '../../test/stack.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';
import type { Rule } from './rules.ts';

const { SUCCESS, FAILED, ABORTED, NVME_ERROR } = IoStatus;

const start = (): Promise<ModuleBed> =>
  ModuleBed.startAll([
    [malloc, mallocReactor],
    [control, reactorHalf],
  ]);

class Setup {
  readonly bed: ModuleBed;
  readonly channel: BdevChannel;
  readonly ends = new Ends();

  static async start(): Promise<Setup> {
    const bed = await start();
    await bed.rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 64 });
    expect(await bed.rpc.call('bdev_error_create', { base_name: 'M' })).toBe(true);
    return new Setup(bed);
  }
  private constructor(bed: ModuleBed) {
    this.bed = bed;
    this.channel = bed.channel('EE_M');
  }
  get region(): number {
    return this.bed.host.local[0]!.buffers.region;
  }
  get bytes(): Uint8Array {
    return this.bed.host.local[0]!.buffers.bytes;
  }
  inject(params: object): Promise<boolean> {
    return this.bed.rpc.call('bdev_error_inject_error', { name: 'EE_M', ...params } as never);
  }
  setRules(rules: Rule[], seed?: number): Promise<boolean> {
    const params = { name: 'EE_M', rules, ...(seed !== undefined && { seed }) };
    return this.bed.rpc.call('bdev_error_set_rules', params as never);
  }
  /** How so many reads ended, one after the other. */
  async reads(count: number, at = 0): Promise<number[]> {
    const ends = new Ends();
    for (let i = 0; i < count; i++) {
      expect(this.channel.readBlocks(this.region, 4096, at, 1, ends)).toBe(0);
      await this.bed.poll();
    }
    return ends.statuses;
  }
}

describe('error bdev', () => {
  it('is its base as long as nothing is injected', async () => {
    const { bed, channel } = await Setup.start();
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'EE_M' }))[0]).toMatchObject({
      product_name: 'Error Injection Disk',
      driver_specific: { error_disk: { base_bdev: 'M' } },
    });
    await againstModel(bed, channel, { numRuns: 15 });
  });

  it('fails as many I/Os of a type as it was told to', async () => {
    const setup = await Setup.start();
    await setup.inject({ io_type: 'read', error_type: 'failure', num: 2 });
    expect(await setup.reads(4)).toEqual([FAILED, FAILED, SUCCESS, SUCCESS]);
    await setup.inject({ io_type: 'all', error_type: 'failure' });
    const { channel, ends, bed } = setup;
    expect(channel.unmapBlocks(0, 1, ends)).toBe(0);
    expect(channel.flushBlocks(0, 1, ends)).toBe(0);
    expect(channel.writeBlocks(setup.region, 0, 0, 1, ends)).toBe(0);
    expect(channel.writeZeroesBlocks(0, 1, ends)).toBe(0);
    await bed.poll();
    expect(ends.statuses).toEqual([FAILED, FAILED, FAILED, SUCCESS]);
    await setup.inject({ io_type: 'read', error_type: 'failure', num: 0xffff_ffff });
    expect(await setup.reads(2)).toEqual([FAILED, FAILED]);
    await setup.inject({ io_type: 'clear', error_type: 'failure' });
    expect(await setup.reads(1)).toEqual([SUCCESS]);
  });

  it('fails only at a queue depth', async () => {
    const setup = await Setup.start();
    const { channel, ends, bed, region } = setup;
    await setup.inject({ io_type: 'read', error_type: 'failure', num: 10, queue_depth: 2 });
    expect(await setup.reads(2)).toEqual([SUCCESS, SUCCESS]);
    for (let i = 0; i < 4; i++) expect(channel.readBlocks(region, 0, i, 1, ends)).toBe(0);
    await bed.poll();
    expect(ends.statuses.toSorted()).toEqual([FAILED, FAILED, SUCCESS, SUCCESS]);
  });

  it('ends I/O with an NVMe status', async () => {
    const { bed, channel, region } = await Setup.start();
    const inject = (params: object): Promise<boolean> =>
      bed.rpc.call('bdev_error_inject_error', { name: 'EE_M', io_type: 'read', ...params } as never);
    await inject({ error_type: 'nvme_failure', nvme_sct: 2, nvme_sc: 0x81 });
    const seen: number[][] = [];
    const owner = { bdevIoDone: (io: BdevIo) => void seen.push([io.status, io.sct, io.sc]) };
    expect(channel.readBlocks(region, 0, 0, 1, owner)).toBe(0);
    await bed.poll();
    expect(seen).toEqual([[NVME_ERROR, 2, 0x81]]);
    for (const wrong of [{ error_type: 'nvme_failure' }, { error_type: 'failure', nvme_sc: 1 }])
      await expect(inject(wrong)).rejects.toMatchObject({
        code: -22,
        message: expect.stringMatching(/nvme_sct or nvme_sc should be specified for NVMe error injection/),
      });
  });

  it('lets the layer try again what is told that memory lacks', async () => {
    const setup = await Setup.start();
    await setup.inject({ io_type: 'write', error_type: 'nomem', num: 3 });
    expect(setup.channel.writeBlocks(setup.region, 0, 0, 1, setup.ends)).toBe(0);
    for (let i = 0; i < 4; i++) {
      await setup.bed.poll();
      expect(setup.ends.statuses).toEqual(i < 3 ? [] : [SUCCESS]);
      setup.bed.clock.advance(10_000_000);
    }
  });

  it('changes a byte of what is read or written, and of nothing else', async () => {
    const setup = await Setup.start();
    const { bed, channel, ends, region, bytes } = setup;
    for (let i = 0; i < 1024; i++) bytes[i] = i % 251;
    const original = bytes.slice(0, 1024);
    const read = async (): Promise<Uint8Array> => {
      bytes.fill(0, 4096, 5120);
      expect(channel.readBlocks(region, 4096, 0, 2, ends)).toBe(0);
      await bed.poll();
      return bytes.slice(4096, 5120);
    };
    const changed = (at: number, value: number): Uint8Array => {
      const copy = original.slice();
      copy[at] = copy[at]! ^ value;
      return copy;
    };
    const iovs = new IoVec(3);
    iovs.push(region, 0, 300);
    iovs.push(region, 300, 1);
    iovs.push(region, 301, 723);
    for (const corrupt_offset of [0, 299, 300, 301, 1023]) {
      await setup.inject({
        io_type: 'write',
        error_type: 'corrupt_data',
        corrupt_offset,
        corrupt_value: 0x81,
      });
      expect(channel.writevBlocks(iovs, 0, 2, ends)).toBe(0);
      await bed.poll();
      expect(await read()).toEqual(changed(corrupt_offset, 0x81));
      expect(bytes.slice(0, 1024)).toEqual(original);
    }
    await setup.inject({
      io_type: 'write',
      error_type: 'corrupt_data',
      corrupt_offset: 513,
      corrupt_value: 1,
    });
    expect(channel.writeBlocks(region, 0, 0, 2, ends)).toBe(0);
    await bed.poll();
    expect(await read()).toEqual(changed(513, 1));
    await setup.inject({
      io_type: 'write',
      error_type: 'corrupt_data',
      corrupt_offset: 2000,
      corrupt_value: 1,
    });
    expect(channel.writeBlocks(region, 0, 0, 2, ends)).toBe(0);
    await bed.poll();
    await setup.inject({
      io_type: 'read',
      error_type: 'corrupt_data',
      corrupt_offset: 7,
      corrupt_value: 0x10,
    });
    expect(await read()).toEqual(changed(7, 0x10));
    expect(await read()).toEqual(original);
    // A read without a place gets one of its own: the base's memory stays as it is.
    await setup.inject({
      io_type: 'read',
      error_type: 'corrupt_data',
      corrupt_offset: 7,
      corrupt_value: 0x10,
    });
    expect(channel.readBlocks(-1, 0, 0, 2, ends)).toBe(0);
    await bed.poll();
    expect(await read()).toEqual(original);
    expect(new Set(ends.statuses)).toEqual(new Set([SUCCESS]));
    await expect(setup.inject({ io_type: 'read', error_type: 'corrupt_data' })).rejects.toThrow(
      'corrupt_value is 0',
    );
  });

  it('keeps pending I/O until it is resumed, aborted, reset, or removed', async () => {
    const setup = await Setup.start();
    const { bed, channel, ends, region } = setup;
    const pend = async (count: number): Promise<BdevIo[]> => {
      await setup.inject({ io_type: 'read', error_type: 'pending', num: count + 5 });
      const ios = Array.from({ length: count }, () => channel.getIo()!);
      for (const io of ios) {
        io.type = IoType.READ;
        io.offset_blocks = 0;
        io.num_blocks = 1;
        io.region = region;
        io.length = 512;
        io.owner = ends;
        expect(channel.submit(io)).toBe(0);
      }
      await bed.poll();
      return ios;
    };
    await pend(3);
    expect(ends.statuses).toEqual([]);
    expect(await bed.rpc.call('bdev_error_resume_pending', { name: 'EE_M' })).toBe(true);
    await bed.poll();
    expect(ends.statuses.splice(0)).toEqual([SUCCESS, SUCCESS, SUCCESS]);
    expect(await setup.reads(1)).toEqual([SUCCESS]);

    const [first] = await pend(2);
    const aborts = new Ends();
    expect(channel.abort(first!, aborts)).toBe(0);
    await bed.poll();
    expect([ends.statuses.splice(0), aborts.statuses]).toEqual([[ABORTED], [SUCCESS]]);
    await bed.until(bed.bdevs.reset('EE_M'));
    expect(ends.statuses.splice(0)).toEqual([ABORTED]);

    await pend(2);
    const removal = bed.rpc.call('bdev_malloc_delete', { name: 'M' });
    await bed.poll();
    await bed.poll();
    await bed.poll();
    expect(ends.statuses.splice(0)).toEqual([ABORTED, ABORTED]);
    channel.put();
    await bed.until(removal);
    await expect(bed.rpc.call('bdev_error_resume_pending', { name: 'EE_M' })).rejects.toMatchObject({
      code: -19,
      message: expect.stringMatching(/^No such device: .*"EE_M"/),
    });
  });

  it('waits for its base and is saved, with its rules', async () => {
    const bed = await start();
    const uuid = '77b3b08d-7a0f-4c7c-8f5c-40b7a3c8e0f1';
    await bed.rpc.call('bdev_error_create', { base_name: 'M', uuid });
    await bed.rpc.call('bdev_error_set_rules', {
      name: 'EE_M',
      seed: 42,
      rules: [{ io_type: 'read', error_type: 'failure', pattern: '.x' }],
    });
    await expectSameAfterLoad(bed, start);
    await bed.rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 64 });
    expect(bed.bdevs.get('EE_M')!.uuid).toBe(uuid);
    const again = await expectSameAfterLoad(bed, start);
    expect(await again.rpc.call('bdev_error_get_rules', { name: 'EE_M' })).toMatchObject({ seed: 42 });
    await expect(bed.rpc.call('bdev_error_create', { base_name: 'M' })).rejects.toMatchObject({ code: -17 });
    await bed.until(bed.rpc.call('bdev_error_delete', { name: 'EE_M' }));
    await expect(bed.rpc.call('bdev_error_delete', { name: 'EE_M' })).rejects.toMatchObject({ code: -19 });
    await expect(
      bed.rpc.call('bdev_error_inject_error', { name: 'M', io_type: 'read', error_type: 'failure' }),
    ).rejects.toMatchObject({ code: -19 });
  });
});

describe('a scripted run', () => {
  it('does what its rules say, counts, and is over with an empty list', async () => {
    const setup = await Setup.start();
    await setup.setRules([
      { io_type: 'read', first_block: 8, num_blocks: 8, error_type: 'nvme_failure', nvme_sct: 2, nvme_sc: 1 },
      { io_type: 'read', pattern: '..x', error_type: 'failure' },
    ]);
    expect(await setup.reads(3)).toEqual([SUCCESS, SUCCESS, FAILED]);
    expect(await setup.reads(2, 9)).toEqual([NVME_ERROR, NVME_ERROR]);
    expect(await setup.bed.rpc.call('bdev_error_get_rules', { name: 'EE_M' })).toMatchObject({
      seed: 1,
      rules: [
        { matched: 2, hits: 2 },
        { matched: 3, hits: 1 },
      ],
    });
    await setup.setRules([]);
    expect(await setup.reads(6)).toEqual(Array(6).fill(SUCCESS));
    await expect(
      setup.setRules([{ error_type: 'failure' }, { rate: 2, latency_us: 1 }]),
    ).rejects.toMatchObject({
      code: -22,
      message: 'Invalid argument: rules[1].rate is 2; give a number from 0 to 1',
    });
  });

  it('replays exactly from its seed', async () => {
    const run = async (seed: number): Promise<number[]> => {
      const setup = await Setup.start();
      await setup.setRules([{ rate: 0.3, error_type: 'failure' }], seed);
      return await setup.reads(60);
    };
    const first = await run(7);
    expect(await run(7)).toEqual(first);
    expect(await run(8)).not.toEqual(first);
    // Rules that are set again start anew.
    const setup = await Setup.start();
    await setup.setRules([{ rate: 0.3, error_type: 'failure' }], 7);
    await setup.reads(9);
    await setup.setRules([{ rate: 0.3, error_type: 'failure' }], 7);
    expect(await setup.reads(60)).toEqual(first);
  });

  it('lets I/O end later, well or badly, and aborts it meanwhile', async () => {
    const setup = await Setup.start();
    const { bed, channel, ends, region } = setup;
    await setup.setRules([
      { io_type: 'read', first_block: 0, num_blocks: 1, latency_us: 500 },
      { io_type: 'read', latency_us: 300, error_type: 'failure' },
      { io_type: 'write', latency_us: 100, error_type: 'corrupt_data' },
    ]);
    expect(channel.readBlocks(region, 0, 0, 1, ends, 1)).toBe(0);
    expect(channel.readBlocks(region, 0, 1, 1, ends, 2)).toBe(0);
    expect(channel.writeBlocks(region, 0, 2, 1, ends, 3)).toBe(0);
    const order: number[][] = [];
    for (let i = 0; i < 60; i++) {
      await bed.poll();
      order.push([...ends.statuses]);
      bed.clock.advance(10_000);
    }
    expect(ends.statuses).toEqual([SUCCESS, FAILED, SUCCESS]);
    expect(order[5]).toEqual([]);
    expect(order[20]).toEqual([SUCCESS]);
    expect(order[40]).toEqual([SUCCESS, FAILED]);
    const io = channel.getIo()!;
    io.type = IoType.READ;
    io.offset_blocks = 0;
    io.num_blocks = 1;
    io.region = region;
    io.length = 512;
    io.owner = ends;
    expect(channel.submit(io)).toBe(0);
    await bed.poll();
    expect(channel.abort(io, new Ends())).toBe(0);
    await bed.poll();
    expect(ends.statuses.at(-1)).toBe(ABORTED);
  });
});
