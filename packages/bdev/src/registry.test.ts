import { type RpcError, RpcServer } from '@spdk-ts/rpc';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK, Owner, TestBed } from '../test/support.ts';
import { histogramRange } from './histogram.ts';
import {
  type BdevNotification,
  type BdevSpec,
  defaultHistogram,
  Errno,
  Histogram,
  type IoStatJson,
  IoStatus,
  ioTypeNames,
  registerBdevRpcs,
  uuidOf,
} from './index.ts';

const UUID = '01234567-89ab-4cde-8f01-23456789abcd';
const quiet = { name: 'somebody', onEvent: () => {} };

describe('names', () => {
  it('finds a bdev by name, alias and UUID, in any case of letters', async () => {
    const bed = await TestBed.start();
    const description = await bed.create({ name: 'Named', aliases: ['lvs/named'], uuid: UUID.toUpperCase() });
    expect(description.aliases).toEqual([UUID, 'lvs/named']);
    for (const name of ['Named', 'lvs/named', UUID, UUID.toUpperCase()])
      expect(bed.bdevs.get(name), name).toBe(description);
    expect(bed.bdevs.get('named')).toBeUndefined();
    expect(bed.bdevs.list().map((d) => d.name)).toEqual(['Test0', 'Named']);
  });

  it('invents a random UUID, which is an alias', async () => {
    const bed = await TestBed.start();
    const { uuid, aliases } = bed.description;
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(aliases).toEqual([uuid]);
    expect((await bed.create({ name: 'Other' })).uuid).not.toBe(uuid);
    const named = await bed.create({ name: UUID, uuid: UUID });
    expect(named.aliases).toEqual([]);
  });

  it('derives the same UUID from the same text', () => {
    expect(uuidOf('file:/a')).toBe(uuidOf('file:/a'));
    expect(uuidOf('file:/a')).not.toBe(uuidOf('file:/b'));
    expect(uuidOf('file:/a')).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });

  it('refuses every collision with -17, naming what collides, and leaves nothing behind', async () => {
    const bed = await TestBed.start();
    await bed.create({ name: 'A', aliases: ['alias'], uuid: UUID });
    const collisions: (Partial<BdevSpec> & { name: string })[] = [
      { name: 'A' },
      { name: 'alias' },
      { name: UUID },
      { name: 'B', aliases: ['A'] },
      { name: 'B', aliases: ['alias'] },
      { name: 'B', uuid: UUID },
    ];
    for (const spec of collisions)
      await expect(bed.create(spec)).rejects.toMatchObject({
        code: -17,
        errno: 17,
        message: expect.stringMatching(/^File exists: "(A|alias|0123.*)" is a name, alias or UUID of bdev A/),
      });
    expect(bed.bdevs.get('B')).toBeUndefined();
    expect((await bed.create({ name: 'B' })).name).toBe('B');
  });

  it('reserves names while a registration is under way', async () => {
    const bed = await TestBed.start();
    const results = await Promise.allSettled([bed.create({ name: 'X' }), bed.create({ name: 'X' })]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });

  it('refuses specs that cannot be, naming the parameter and the value', async () => {
    const bed = await TestBed.start();
    const wrong: [Partial<BdevSpec>, string][] = [
      [{ block_size: 513 }, 'block_size is 513'],
      [{ block_size: 256 }, 'block_size is 256'],
      [{ block_size: 131072 }, 'block_size is 131072'],
      [{ block_size: 0 }, 'block_size is 0'],
      [{ num_blocks: 0 }, 'num_blocks is 0'],
      [{ num_blocks: 1.5 }, 'num_blocks is 1.5'],
      [{ num_blocks: 2 ** 53 }, 'num_blocks is 9007199254740992'],
      [{ uuid: 'x' }, 'uuid "x"'],
      [{ name: '' }, 'has 0 characters'],
      [{ name: 'a\nb' }, 'control characters'],
      [{ name: 'x'.repeat(300) }, 'has 300 characters'],
    ];
    for (const [spec, text] of wrong)
      await expect(bed.create({ name: 'W', ...spec }), text).rejects.toMatchObject({
        code: Errno.EINVAL,
        message: expect.stringContaining(text),
      });
    expect(bed.bdevs.list()).toHaveLength(1);
  });

  it('undoes a registration that a reactor refuses', async () => {
    const bed = await TestBed.start({ count: 2 });
    bed.script.failInstantiate = 'no such luck';
    await expect(bed.create({ name: 'F', uuid: UUID })).rejects.toThrow('no such luck');
    bed.script.failInstantiate = null;
    await bed.create({ name: 'F', uuid: UUID });
    await expect(bed.bdevs.register('nope', { ...bed.description })).rejects.toThrow('module nope is not');
  });
});

describe('claims', () => {
  const open = (bed: TestBed, write: boolean) => bed.bdevs.open('Test0', { write, owner: quiet });

  it('exclusive_write keeps other writers out, and ends with the descriptor', async () => {
    const bed = await TestBed.start();
    const first = open(bed, false);
    first.claim('exclusive_write', { module: 'nvmf' });
    expect(first.writable).toBe(true);
    expect(() => open(bed, true)).toThrow(/Operation not permitted: .*claimed \(exclusive_write\) by nvmf/);
    expect(bed.bdevs.info(bed.description)).toMatchObject({ claimed: true, claim_type: 'exclusive_write' });
    const reader = open(bed, false);
    expect(() => reader.claim('exclusive_write', { module: 'raid' })).toThrow('claimed');
    await first.close();
    await first.close();
    reader.claim('exclusive_write', { module: 'raid' });
    expect(bed.bdevs.info(bed.description).claim_type).toBe('exclusive_write');
    reader.releaseClaim();
    expect(bed.bdevs.info(bed.description)).not.toHaveProperty('claim_type');
  });

  it('v2 claims follow their rules', async () => {
    const bed = await TestBed.start();
    const a = open(bed, false);
    const b = open(bed, false);
    const options = { module: 'm' };
    a.claim('read_many_write_none', options);
    b.claim('read_many_write_none', options);
    expect(() => open(bed, true)).toThrow('claimed');
    expect(() => a.claim('read_many_write_none', options)).toThrow('holds a claim already');
    a.releaseClaim();
    expect(() => a.claim('read_many_write_one', options)).toThrow('it is claimed');
    b.releaseClaim();
    const writer = open(bed, true);
    expect(() => a.claim('read_many_write_none', options)).toThrow('open for writing');
    expect(() => a.claim('read_many_write_one', options)).toThrow('open for writing');
    expect(() => writer.claim('read_many_write_none', options)).toThrow('opened for reading');
    writer.claim('read_many_write_one', options);
    await writer.close();
    expect(() => a.claim('read_many_write_shared', options)).toThrow('needs a key');
    a.claim('read_many_write_shared', { module: 'm', key: 7 });
    expect(() => b.claim('read_many_write_shared', { module: 'm', key: 8 })).toThrow('claimed');
    b.claim('read_many_write_shared', { module: 'n', key: 7 });
    expect(a.writable && b.writable).toBe(true);
    expect(() => open(bed, true)).toThrow('by m, n');
  });
});

describe('resize', () => {
  it('lets I/O through to new blocks, tells those who have it open, and refuses to shrink under them', async () => {
    const bed = await TestBed.start({ spec: { num_blocks: 100 } });
    const events: string[] = [];
    const notes: [BdevNotification, string][] = [];
    bed.bdevs.onNotification((type, name) => notes.push([type, name]));
    const descriptor = bed.bdevs.open('Test0', {
      write: false,
      owner: {
        name: 'nvmf',
        onEvent: (event) => events.push(`${event} ${descriptor.description.num_blocks}`),
      },
    });
    const owner = new Owner();
    expect(bed.channel.readBlocks(bed.region, 0, 100, 1, owner)).toBe(Errno.EINVAL);
    await bed.bdevs.resize('Test0', 200);
    expect(bed.channel.readBlocks(bed.region, 0, 199, 1, owner)).toBe(0);
    bed.poll();
    expect(bed.script.updates).toEqual([200]);
    expect(events).toEqual(['resize 200']);
    await expect(bed.bdevs.resize('Test0', 50)).rejects.toMatchObject({
      code: Errno.EBUSY,
      message: expect.stringContaining('from 200 to 50 blocks while it is open by nvmf'),
    });
    await descriptor.close();
    await bed.bdevs.resize('Test0', 50);
    expect(bed.channel.readBlocks(bed.region, 0, 50, 1, owner)).toBe(Errno.EINVAL);
    expect(notes).toEqual([
      ['bdev_resize', 'Test0'],
      ['bdev_resize', 'Test0'],
    ]);
    for (const size of [0, -1, 0.5, 2 ** 53])
      await expect(bed.bdevs.resize('Test0', size)).rejects.toMatchObject({ code: Errno.EINVAL });
  });
});

describe('counters', () => {
  it('count successful I/O, its bytes and latency, and failures by status', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    const owner = new Owner();
    const io = (start: () => number, ticks: number, status: number = IoStatus.SUCCESS): void => {
      expect(start()).toBe(0);
      bed.clock.advance(ticks);
      bed.script.complete(status);
      bed.poll();
    };
    bed.poll();
    io(() => bed.channel.readBlocks(bed.region, 0, 0, 2, owner), 300);
    io(() => bed.channel.readBlocks(bed.region, 0, 0, 1, owner), 100);
    io(() => bed.channel.writeBlocks(bed.region, 0, 0, 4, owner), 50);
    io(() => bed.channel.readBlocks(bed.region, 0, 0, 1, owner), 999, IoStatus.FAILED);
    io(() => bed.channel.readBlocks(bed.region, 0, 0, 1, owner), 999, IoStatus.NVME_ERROR);
    const rpc = new RpcServer({ checkResults: true });
    registerBdevRpcs(rpc, bed.bdevs, bed.host, bed.clock);
    const expected = {
      name: 'Test0',
      bytes_read: 3 * BLOCK,
      num_read_ops: 2,
      bytes_written: 4 * BLOCK,
      num_write_ops: 1,
      bytes_unmapped: 0,
      num_unmap_ops: 0,
      bytes_copied: 0,
      num_copy_ops: 0,
      read_latency_ticks: 400,
      write_latency_ticks: 50,
      unmap_latency_ticks: 0,
      copy_latency_ticks: 0,
      max_read_latency_ticks: 300,
      min_read_latency_ticks: 100,
      max_write_latency_ticks: 50,
      min_write_latency_ticks: 50,
      max_unmap_latency_ticks: 0,
      min_unmap_latency_ticks: 0,
      max_copy_latency_ticks: 0,
      min_copy_latency_ticks: 0,
      io_error: { failed: 1, nvme_error: 1 },
    };
    const stat = async (params = {}) =>
      (await rpc.call('bdev_get_iostat', params)) as { bdevs?: IoStatJson[] };
    expect(await stat()).toEqual({ tick_rate: 1e9, ticks: bed.clock.now(), bdevs: [expected] });
    const { name: _, ...counters } = expected;
    expect(await stat({ names: ['Test0'], per_channel: true })).toEqual({
      tick_rate: 1e9,
      ticks: bed.clock.now(),
      name: 'Test0',
      channels: [{ thread_id: bed.thread.id, ...counters }],
    });
    // What a channel has counted stays with its bdev.
    bed.channel.put();
    expect((await stat()).bdevs).toEqual([expected]);

    await stat({ reset_mode: 'error' });
    expect((await stat()).bdevs![0]!.io_error).toEqual({});
    await rpc.call('bdev_reset_iostat', { name: 'Test0', mode: 'maxmin' });
    expect((await stat()).bdevs![0]).toMatchObject({ max_read_latency_ticks: 0, num_read_ops: 2 });
    await rpc.call('bdev_reset_iostat', { mode: 'none' });
    await rpc.call('bdev_reset_iostat', {});
    expect((await stat()).bdevs![0]).toMatchObject({ bytes_read: 0, num_read_ops: 0, read_latency_ticks: 0 });

    await expect(stat({ names: ['Nope'] })).rejects.toMatchObject({ code: -19 });
    await expect(stat({ per_channel: true })).rejects.toMatchObject({ code: -22 });
    await expect(rpc.call('bdev_reset_iostat', { name: 'Nope' })).rejects.toMatchObject({ code: -19 });
  });
});

describe('the histogram', () => {
  /** SPDK's rules in whole numbers, slowly. */
  function bucketOf(granularity: number, value: bigint): [number, number] {
    const clz = value > 0n ? 64 - value.toString(2).length : 64;
    const lsb = 64 - granularity;
    const range = clz <= lsb ? lsb - clz : 0;
    const shift = range === 0 ? 0 : range - 1;
    return [range, Number((value >> BigInt(shift)) & ((1n << BigInt(granularity)) - 1n))];
  }

  it('puts every latency where SPDK does', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer({ min: 1, max: 10 }), (value, granularity) => {
        const [range, index] = bucketOf(granularity, BigInt(value));
        expect(histogramRange(granularity, value)).toBe(range);
        const all = { granularity, min_nsec: 0, max_nsec: Number.MAX_SAFE_INTEGER, type: -1 };
        const histogram = new Histogram(all);
        histogram.tally(value);
        expect(histogram.buckets.findIndex((count) => count > 0)).toBe(range * 2 ** granularity + index);
      }),
    );
  });

  it('keeps the ranges from minimum to maximum and counts what lies outside at its ends', () => {
    const histogram = new Histogram({ granularity: 7, min_nsec: 1000, max_nsec: 120_000_000_000, type: -1 });
    expect([histogram.min_range, histogram.max_range]).toEqual([3, 30]);
    expect(histogram.buckets).toHaveLength(28 * 128);
    for (const ticks of [0, 511, 512, 519, 520, 2 ** 40]) histogram.tally(ticks);
    const counts = [...histogram.buckets.entries()].filter(([, count]) => count > 0);
    expect(counts).toEqual([
      [0, 3],
      [1, 1],
      [2, 1],
      [28 * 128 - 1, 1],
    ]);
  });

  it('counts on channels, through bdev_enable_histogram to bdev_get_histogram', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    const rpc = new RpcServer({ checkResults: true });
    registerBdevRpcs(rpc, bed.bdevs, bed.host, bed.clock);
    const owner = new Owner();
    const second = bed.open(bed.description, bed.reactor.createThread('second'));
    const io = (channel: typeof second, write: boolean, ticks: number): void => {
      if (write) channel.writeBlocks(bed.region, 0, 0, 1, owner);
      else channel.readBlocks(bed.region, 0, 0, 1, owner);
      bed.clock.advance(ticks);
      bed.script.complete();
      bed.poll();
    };
    const name = 'Test0';
    await expect(rpc.call('bdev_get_histogram', { name })).rejects.toMatchObject({ code: -32603 });
    await expect(rpc.call('bdev_enable_histogram', { name, enable: true, opc: 'x' })).rejects.toThrow(
      'Invalid Io type',
    );
    await expect(
      rpc.call('bdev_enable_histogram', { name, enable: true, min_nsec: 5, max_nsec: 5 }),
    ).rejects.toThrow('max_nsec is 5');
    await rpc.call('bdev_enable_histogram', { name, enable: true, opc: 'read' });
    io(bed.channel, false, 5_000);
    io(second, false, 5_000);
    io(second, true, 5_000);
    io(bed.channel, false, 2_000_000);
    second.put();
    const result = await rpc.call('bdev_get_histogram', { name });
    expect(result).toMatchObject({ granularity: 7, min_range: 3, max_range: 30, tsc_rate: 1e9 });
    const words = new BigUint64Array(Uint8Array.from(Buffer.from(result.histogram, 'base64')).buffer);
    expect(words).toHaveLength(28 * 128);
    const at = (ticks: number): number => {
      const [range, index] = bucketOf(7, BigInt(ticks));
      return (range - 3) * 128 + index;
    };
    expect(words[at(5_000)]).toBe(2n);
    expect(words[at(2_000_000)]).toBe(1n);
    expect(words.reduce((a, b) => a + b)).toBe(3n);
    expect(await rpc.call('bdev_get_histogram_borders', { name, borders: [1, 10, 1_000, 10_000] })).toEqual({
      borders_count: [0, 2, 2, 3, 3],
    });
    expect(bed.bdevs.config()).toContainEqual({
      method: 'bdev_enable_histogram',
      params: { name, enable: true, opc: 'read' },
    });
    await rpc.call('bdev_enable_histogram', { name, enable: false });
    await expect(rpc.call('bdev_get_histogram', { name })).rejects.toThrow('not collected');
  });
});

describe('the RPCs', () => {
  async function server(): Promise<{ bed: TestBed; rpc: RpcServer }> {
    const bed = await TestBed.start();
    const rpc = new RpcServer({ checkResults: true });
    registerBdevRpcs(rpc, bed.bdevs, bed.host, bed.clock);
    return { bed, rpc };
  }

  it('bdev_get_bdevs shows the bdevs with all 22 I/O types', async () => {
    const { bed, rpc } = await server();
    const [info] = await rpc.call('bdev_get_bdevs', {});
    expect(Object.keys(info!)).toEqual([
      ...['name', 'aliases', 'product_name', 'block_size', 'num_blocks', 'preferred_write_alignment'],
      ...['preferred_write_granularity', 'optimal_write_size', 'preferred_unmap_alignment'],
      ...['preferred_unmap_granularity', 'uuid', 'assigned_rate_limits', 'claimed', 'zoned'],
      ...['supported_io_types', 'driver_specific'],
    ]);
    expect(Object.keys(info!.supported_io_types)).toEqual([...ioTypeNames]);
    expect(
      Object.entries(info!.supported_io_types)
        .filter(([, can]) => can)
        .map(([name]) => name),
    ).toEqual([...['read', 'write', 'reset', 'write_zeroes', 'abort']]);
    expect(await rpc.call('bdev_get_bdevs', { name: bed.description.uuid })).toEqual([info]);
  });

  it('bdev_get_bdevs waits for a bdev as long as it is told', async () => {
    const { bed, rpc } = await server();
    await expect(rpc.call('bdev_get_bdevs', { name: 'Later' })).rejects.toMatchObject({
      code: -19,
      message: expect.stringMatching(/^No such device: .*"Later"/),
    });
    await expect(rpc.call('bdev_get_bdevs', { name: 'Later', timeout: 20 })).rejects.toMatchObject({
      code: -19,
    });
    const waiting = rpc.call('bdev_get_bdevs', { name: 'Later', timeout: 5000 });
    await bed.create({ name: 'Later' });
    expect((await waiting)[0]).toMatchObject({ name: 'Later' });
  });

  it('bdev_set_options checks what cannot be', async () => {
    const bed = await TestBed.start();
    const rpc = new RpcServer({ state: 'startup' });
    registerBdevRpcs(rpc, bed.bdevs, bed.host, bed.clock);
    const set = (params: Record<string, unknown>) => rpc.call('bdev_set_options', params);
    expect(await set({ bdev_io_pool_size: 1000, bdev_auto_examine: false })).toBe(true);
    expect(bed.bdevs.options).toMatchObject({ bdev_io_pool_size: 1000, bdev_io_cache_size: 256 });
    const error = await set({ bdev_io_pool_size: 300 }).catch((e: RpcError) => e);
    expect(error).toMatchObject({
      code: -32602,
      message: expect.stringMatching(/^Pool size 300 too small for cache size 256.*at least 512/),
    });
    expect(bed.bdevs.options.bdev_io_pool_size).toBe(1000);
  });

  it('config is what makes the same again, in order', async () => {
    const { bed, rpc } = await server();
    await expect(rpc.call('bdev_examine', { name: 'x' })).rejects.toMatchObject({ code: -22 });
    await bed.bdevs.setOptions({ bdev_auto_examine: false });
    expect(await rpc.call('bdev_examine', { name: 'x' })).toBe(true);
    expect(await rpc.call('bdev_wait_for_examine')).toBe(true);
    await bed.bdevs.setHistogram('Test0', { granularity: 4 });
    await bed.create({ name: 'Test1' });
    expect(bed.bdevs.config()).toEqual([
      {
        method: 'bdev_set_options',
        params: {
          bdev_io_pool_size: 65535,
          bdev_io_cache_size: 256,
          bdev_auto_examine: false,
          iobuf_small_cache_size: 128,
          iobuf_large_cache_size: 16,
        },
      },
      { method: 'bdev_examine', params: { name: 'x' } },
      { method: 'test_create', params: { name: 'Test0' } },
      { method: 'bdev_enable_histogram', params: { name: 'Test0', enable: true, granularity: 4 } },
      { method: 'test_create', params: { name: 'Test1' } },
      { method: 'bdev_wait_for_examine' },
    ]);
    expect(defaultHistogram.granularity).toBe(7);
  });

  it('notifications tell of births and deaths', async () => {
    const { bed } = await server();
    const notes: string[] = [];
    const stop = bed.bdevs.onNotification((type, name) => notes.push(`${type} ${name}`));
    await bed.create({ name: 'N' });
    await bed.until(bed.bdevs.unregister('N'));
    stop();
    await bed.create({ name: 'N2' });
    expect(notes).toEqual(['bdev_register N', 'bdev_unregister N']);
    await expect(bed.bdevs.unregister('N2', 'malloc')).rejects.toMatchObject({ code: -19 });
    bed.channel.put();
    await bed.until(bed.bdevs.stop());
    expect(bed.bdevs.list()).toEqual([]);
  });
});
