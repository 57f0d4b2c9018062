import { RpcServer } from '@spdk-ts/rpc';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK, Owner, SCRATCH_REGION, TestBed } from '../test/support.ts';
import { type BdevChannel, Errno, IoStatus, IoType, type RateLimits, registerBdevRpcs } from './index.ts';

const { SUCCESS, ABORTED } = IoStatus;
const MS = 1_000_000;
const MIB = 1024 * 1024;

interface Load {
  ios: number;
  read: number;
  written: number;
  stop: boolean;
}

/** Keeps so many reads and writes of a channel going, and counts what ends. */
function load(channel: BdevChannel, depth: number, sizes: readonly number[], total: Load): Owner {
  const owner = new Owner();
  let next = 0;
  const submit = (write: boolean): void => {
    const blocks = sizes[next++ % sizes.length]!;
    if (write) channel.writeBlocks(SCRATCH_REGION, 0, 0, blocks, owner, 1);
    else channel.readBlocks(SCRATCH_REGION, 0, 0, blocks, owner, 0);
  };
  owner.onDone = (io) => {
    if (io.status !== SUCCESS) return;
    total.ios++;
    if (io.type === IoType.READ) total.read += io.length;
    else total.written += io.length;
    if (!total.stop) submit(io.type === IoType.WRITE);
  };
  for (let i = 0; i < depth; i++) {
    submit(false);
    submit(true);
  }
  return owner;
}

async function twoReactors(): Promise<{ bed: TestBed; all: BdevChannel[] }> {
  const bed = await TestBed.start({ count: 2, options: { bdev_io_pool_size: 4096 } });
  bed.clock.advance(1_234_567_890);
  bed.poll();
  const there = bed.channelOn(1, bed.host.local[1]!.createThread('there'));
  return { bed, all: [bed.channel, there] };
}

describe('rate limits', () => {
  it('hold exactly over two reactors, whatever the rate and the size of I/O', async () => {
    const limit = fc.oneof(
      fc.record({ rw_ios_per_sec: fc.integer({ min: 1, max: 20_000 }) }),
      fc.record({ rw_mbytes_per_sec: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ r_mbytes_per_sec: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ w_mbytes_per_sec: fc.integer({ min: 1, max: 60 }) }),
    ) as fc.Arbitrary<Partial<RateLimits>>;
    await fc.assert(
      fc.asyncProperty(
        limit,
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        fc.constantFrom(100, 250, 999, 1300),
        async (limits, sizes, step_us) => {
          const { bed, all } = await twoReactors();
          await bed.until(bed.bdevs.setRateLimits('Test0', limits));
          const total: Load = { ios: 0, read: 0, written: 0, stop: false };
          const owners = all.map((channel) => load(channel, 24, sizes, total));
          const steps = 400;
          for (let i = 0; i < steps; i++) {
            bed.clock.advance(step_us * 1000);
            bed.host.poll();
          }
          const ms = (steps * step_us) / 1000;
          const [name, rate] = Object.entries(limits)[0] as [keyof RateLimits, number];
          const size = Math.max(...sizes) * BLOCK;
          const [used, per_ms, largest] = {
            rw_ios_per_sec: [total.ios, rate / 1000, 1] as const,
            rw_mbytes_per_sec: [total.read + total.written, (rate * MIB) / 1000, size] as const,
            r_mbytes_per_sec: [total.read, (rate * MIB) / 1000, size] as const,
            w_mbytes_per_sec: [total.written, (rate * MIB) / 1000, size] as const,
          }[name];
          // Two reactors may start one each at once; what has started was not all told yet.
          expect(used).toBeLessThanOrEqual(per_ms * (ms + 3) + 2 * largest);
          // What is reachable with so many at once and so few polls.
          const reachable = 0.4 * steps * 24 * 2 * (largest === 1 ? 1 : Math.min(...sizes) * BLOCK);
          expect(used).toBeGreaterThanOrEqual(Math.min(per_ms * (ms - 4) - 2 * largest, reachable));
          total.stop = true;
          await bed.until(bed.bdevs.setRateLimits('Test0', { [name]: 0 }));
          bed.poll(10);
          expect(owners.map(({ done }) => done.length).reduce((a, b) => a + b)).toBe(total.ios);
          for (const channel of all) channel.put();
        },
      ),
      { numRuns: 20 },
    );
  });

  it('are reached by reactors that come late, and give no more after a pause', async () => {
    const { bed, all } = await twoReactors();
    await bed.until(bed.bdevs.setRateLimits('Test0', { rw_ios_per_sec: 1000 }));
    const total: Load = { ios: 0, read: 0, written: 0, stop: false };
    for (const channel of all) load(channel, 24, [1], total);
    for (let i = 0; i < 40; i++) {
      bed.clock.advance(37 * MS);
      bed.host.poll();
    }
    expect(total.ios).toBeGreaterThanOrEqual(37 * 37);
    expect(total.ios).toBeLessThanOrEqual(41 * 37);
    total.stop = true;
    for (let i = 0; i < 150; i++) bed.advance(MS);
    bed.advance(5000 * MS);
    const owner = new Owner();
    for (let i = 0; i < 10; i++) bed.channel.readBlocks(SCRATCH_REGION, 0, 0, 1, owner);
    bed.poll();
    expect(owner.done.length).toBeLessThanOrEqual(2);
    for (let i = 0; i < 12; i++) bed.advance(MS);
    expect(owner.done).toHaveLength(10);
  });

  it('let somebody who has one I/O at a time come as often as the limit says', async () => {
    const { bed } = await twoReactors();
    await bed.until(bed.bdevs.setRateLimits('Test0', { rw_ios_per_sec: 50 }));
    bed.script.immediate = false;
    const owner = new Owner();
    owner.onDone = () => void bed.channel.readBlocks(SCRATCH_REGION, 0, 0, 1, owner);
    bed.channel.readBlocks(SCRATCH_REGION, 0, 0, 1, owner);
    // Each takes 7 ms.
    for (let i = 0; i < 300; i++) {
      for (let ms = 0; ms < 7; ms++) bed.advance(MS);
      bed.script.complete();
    }
    bed.poll();
    expect(owner.done.length).toBeGreaterThanOrEqual(98);
    expect(owner.done.length).toBeLessThanOrEqual(106);
  });

  it('all hold at once', async () => {
    const { bed, all } = await twoReactors();
    const limits = { rw_ios_per_sec: 4000, rw_mbytes_per_sec: 9, r_mbytes_per_sec: 3, w_mbytes_per_sec: 7 };
    await bed.until(bed.bdevs.setRateLimits('Test0', limits));
    const total: Load = { ios: 0, read: 0, written: 0, stop: false };
    for (const channel of all) load(channel, 16, [1, 8, 3], total);
    for (let i = 0; i < 2000; i++) {
      bed.clock.advance(MS / 2);
      bed.host.poll();
    }
    const within = (used: number, rate: number): void =>
      expect(used).toBeLessThanOrEqual(rate * 1.003 + 8192);
    within(total.ios, 4000);
    within(total.read + total.written, 9 * MIB);
    within(total.read, 3 * MIB);
    within(total.written, 7 * MIB);
    expect(total.ios).toBeGreaterThan(3700);
    total.stop = true;
  });

  it('let an I/O start that is larger than a slice, and the next when the debt is paid', async () => {
    const { bed } = await twoReactors();
    // 50 KiB are 48.8 slices of 1 MiB/s.
    await bed.until(bed.bdevs.setRateLimits('Test0', { w_mbytes_per_sec: 1 }));
    const owner = new Owner();
    for (let i = 0; i < 3; i++) bed.channel.writeBlocks(SCRATCH_REGION, 0, 0, 100, owner, i);
    bed.channel.readBlocks(SCRATCH_REGION, 0, 0, 128, owner, 9);
    bed.poll();
    // Reads are not limited: they pass.
    expect(owner.order).toEqual([0, 9]);
    const at: number[] = [];
    owner.onDone = () => void at.push(bed.clock.now() / MS);
    const start = bed.clock.now() / MS;
    while (owner.done.length < 4) bed.advance(MS);
    // The first was paid in part by the share of its own slice.
    expect(at.map((t) => Math.round(t - start))).toEqual([48, 97]);
  });

  it('leave the layer’s own order, and let go of what is aborted, reset or removed', async () => {
    const { bed, all } = await twoReactors();
    await bed.until(bed.bdevs.setRateLimits('Test0', { rw_ios_per_sec: 100 }));
    const owner = new Owner();
    const ios = [0, 1, 2, 3].map((i) => {
      const io = bed.channel.getIo()!;
      Object.assign(io, { type: IoType.WRITE, num_blocks: 1, owner, ownerIndex: i });
      Object.assign(io, { offset_blocks: 0, region: SCRATCH_REGION, length: BLOCK });
      expect(bed.channel.submit(io)).toBe(0);
      return io;
    });
    bed.channel.abort(ios[2]!, owner, 10);
    bed.poll();
    expect(owner.done.map(({ index, status }) => [index, status])).toEqual([
      [0, SUCCESS],
      [2, ABORTED],
      [10, SUCCESS],
    ]);
    for (let i = 0; i < 11; i++) bed.advance(MS);
    expect(owner.order).toEqual([0, 2, 10, 1]);
    await bed.until(bed.bdevs.reset('Test0'));
    expect(owner.done.at(-1)).toEqual({ index: 3, status: ABORTED, cdw0: 0 });
    bed.channel.readBlocks(SCRATCH_REGION, 0, 0, 1, owner, 4);
    const removal = bed.bdevs.unregister('Test0');
    await bed.settle();
    expect(owner.done.at(-1)).toEqual({ index: 4, status: ABORTED, cdw0: 0 });
    for (const channel of all) channel.put();
    await bed.until(removal);
    expect(bed.thread.timedPollers).toHaveLength(0);
  });

  it('count the parts of a split', async () => {
    const bed = await TestBed.start({ spec: { max_rw_size: 4 } });
    await bed.until(bed.bdevs.setRateLimits('Test0', { rw_ios_per_sec: 1000 }));
    const owner = new Owner();
    bed.channel.writeBlocks(SCRATCH_REGION, 0, 0, 40, owner);
    for (let i = 0; i < 8; i++) bed.advance(MS);
    expect(owner.done).toEqual([]);
    for (let i = 0; i < 3; i++) bed.advance(MS);
    expect(owner.statuses).toEqual([SUCCESS]);
  });

  it('are shown, saved, changed one by one and taken away', async () => {
    const bed = await TestBed.start();
    const rpc = new RpcServer({ checkResults: true });
    registerBdevRpcs(rpc, bed.bdevs, bed.host, bed.clock);
    const shown = (): RateLimits => bed.bdevs.info(bed.bdevs.get('Test0')!).assigned_rate_limits;
    const saved = (): unknown[] => bed.bdevs.config().filter(({ method }) => method === 'bdev_set_qos_limit');
    expect(saved()).toEqual([]);
    const limits = { rw_ios_per_sec: 1500, w_mbytes_per_sec: 2 };
    expect(await bed.until(rpc.call('bdev_set_qos_limit', { name: 'Test0', ...limits }))).toBe(true);
    await bed.until(bed.bdevs.setRateLimits('Test0', { rw_ios_per_sec: 0, r_mbytes_per_sec: 7 }));
    expect(shown()).toEqual({
      ...{ rw_ios_per_sec: 0, rw_mbytes_per_sec: 0, r_mbytes_per_sec: 7, w_mbytes_per_sec: 2 },
    });
    expect(saved()).toEqual([
      {
        method: 'bdev_set_qos_limit',
        params: { name: 'Test0', r_mbytes_per_sec: 7, w_mbytes_per_sec: 2 },
      },
    ]);
    const first = bed.bdevs.setRateLimits('Test0', { r_mbytes_per_sec: 0 });
    await expect(bed.bdevs.setRateLimits('Test0', { r_mbytes_per_sec: 1 })).rejects.toMatchObject({
      code: Errno.EAGAIN,
    });
    await bed.until(first);
    await expect(rpc.call('bdev_set_qos_limit', { name: 'Test0' })).rejects.toMatchObject({
      code: Errno.EINVAL,
      message: expect.stringContaining('No rate limits specified'),
    });
    await expect(bed.bdevs.setRateLimits('Nope', { rw_ios_per_sec: 1 })).rejects.toMatchObject({
      code: Errno.ENODEV,
    });
    await bed.until(bed.bdevs.setRateLimits('Test0', { w_mbytes_per_sec: 0 }));
    expect(saved()).toEqual([]);
  });
});
