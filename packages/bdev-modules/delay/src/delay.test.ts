import { type BdevChannel, type BdevIo, IoStatus, IoType } from '@spdk-ts/bdev';
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

const US = 1000;
const latencies = {
  avg_read_latency: 100,
  p99_read_latency: 900,
  avg_write_latency: 200,
  p99_write_latency: 5000,
};

async function delayed(values: Partial<typeof latencies> = {}): Promise<[ModuleBed, BdevChannel, number]> {
  const bed = await start();
  await bed.rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 64 });
  await bed.rpc.call('bdev_delay_create', { name: 'D', base_bdev_name: 'M', ...latencies, ...values });
  return [bed, bed.channel('D'), bed.host.local[0]!.buffers.region];
}

/** How long I/Os took, in virtual time, at a resolution of 10 µs. */
async function times(
  bed: ModuleBed,
  count: number,
  submit: (owner: { bdevIoDone(io: BdevIo): void }) => number,
): Promise<number[]> {
  const taken: number[] = [];
  const begun = bed.clock.now();
  const owner = {
    bdevIoDone(io: BdevIo): void {
      expect(io.status).toBe(IoStatus.SUCCESS);
      taken.push((bed.clock.now() - begun) / US);
      io.free();
    },
  };
  for (let i = 0; i < count; i++) expect(submit(owner)).toBe(0);
  while (taken.length < count) {
    bed.host.poll();
    bed.clock.advance(10 * US);
  }
  return taken;
}

describe('delay bdev', () => {
  it('ends reads and writes later, one in a hundred much later, and nothing else', async () => {
    const [bed, channel, region] = await delayed();
    const reads = await times(bed, 2000, (owner) => channel.readBlocks(-1, 0, 3, 1, owner));
    const writes = await times(bed, 2000, (owner) => channel.writeBlocks(region, 0, 3, 1, owner));
    for (const [list, average, p99] of [
      [reads, 100, 900],
      [writes, 200, 5000],
    ] as const) {
      const slow = list.filter((time) => time >= p99);
      expect(list.filter((time) => time >= average && time < average + 50).length + slow.length).toBe(2000);
      expect(slow.length).toBeGreaterThan(4);
      expect(slow.length).toBeLessThan(60);
    }
    const [flush] = await times(bed, 1, (owner) => channel.flushBlocks(0, 1, owner));
    expect(flush).toBeLessThan(50);
  });

  it('has the data of its base', async () => {
    const [bed, channel] = await delayed({ avg_read_latency: 0, avg_write_latency: 0 });
    // Virtual time has to pass for what is delayed.
    const poll = bed.poll;
    Object.assign(bed, {
      poll: async (): Promise<void> => {
        bed.clock.advance(6000 * US);
        await poll();
      },
    });
    await againstModel(bed, channel, { numRuns: 10 });
  });

  it('takes other latencies while it is in use', async () => {
    const [bed, channel] = await delayed();
    const update = (latency_type: 'avg_read', latency_us: number, delay_bdev_name = 'D') =>
      bed.rpc.call('bdev_delay_update_latency', { delay_bdev_name, latency_type, latency_us });
    expect(await update('avg_read', 3000)).toBe(true);
    const reads = await times(bed, 50, (owner) => channel.readBlocks(-1, 0, 3, 1, owner));
    expect(reads.filter((time) => time >= 3000).length).toBeGreaterThan(40);
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'D' }))[0]).toMatchObject({
      product_name: 'delay',
      driver_specific: {
        delay: { name: 'D', base_bdev_name: 'M', ...latencies, avg_read_latency: 3000 },
      },
    });
    await expect(update('avg_read', 1, 'nope')).rejects.toMatchObject({
      code: -32602,
      message: 'The requested bdev does not exist.',
    });
    await expect(update('avg_read', 1, 'M')).rejects.toMatchObject({
      code: -32600,
      message: 'The requested bdev is not a delay bdev.',
    });
    await expectSameAfterLoad(bed, start);
  });

  it('aborts what is held back, alone or with a reset, and lets it go when it is removed', async () => {
    const [bed, channel] = await delayed({ avg_read_latency: 500_000, p99_read_latency: 500_000 });
    const ends = new Ends();
    const io = channel.getIo()!;
    io.type = IoType.READ;
    io.offset_blocks = 0;
    io.num_blocks = 1;
    io.owner = ends;
    expect(channel.submit(io)).toBe(0);
    for (let at = 1; at < 4; at++) expect(channel.readBlocks(-1, 0, at, 1, ends)).toBe(0);
    await bed.poll();
    expect(ends.statuses).toEqual([]);
    const aborts = new Ends();
    expect(channel.abort(io, aborts)).toBe(0);
    await bed.poll();
    expect([ends.statuses, aborts.statuses]).toEqual([[IoStatus.ABORTED], [IoStatus.SUCCESS]]);
    await bed.until(bed.bdevs.reset('D'));
    expect(ends.statuses).toEqual(Array(4).fill(IoStatus.ABORTED));

    expect(channel.readBlocks(-1, 0, 1, 1, ends)).toBe(0);
    await bed.poll();
    const removal = bed.rpc.call('bdev_delay_delete', { name: 'D' });
    await bed.poll();
    await bed.poll();
    expect(ends.statuses.at(-1)).toBe(IoStatus.SUCCESS);
    channel.put();
    await bed.until(removal);
    await expect(bed.rpc.call('bdev_delay_delete', { name: 'D' })).rejects.toMatchObject({ code: -19 });
  });

  it('does not wake up too late for what is due much later', async () => {
    const [bed, channel] = await delayed({ avg_read_latency: 50_000, p99_read_latency: 50_000 });
    const ends = new Ends();
    const begun = bed.clock.now();
    expect(channel.readBlocks(-1, 0, 0, 1, ends)).toBe(0);
    await bed.poll();
    const { reactor } = channel;
    let slept = 0;
    while (ends.statuses.length === 0) {
      // What NodeLoop does: sleeps until a poller is due if there is nothing to do now.
      const work = bed.host.poll();
      const wait = work === 0 ? reactor.nextDue - bed.clock.now() : 10 * US;
      expect(wait).toBeLessThan(Number.POSITIVE_INFINITY);
      if (work === 0) slept += wait;
      bed.clock.advance(Math.max(wait, 1));
    }
    expect(slept).toBeGreaterThan(40_000 * US);
    expect(bed.clock.now() - begun).toBeGreaterThanOrEqual(50_000 * US);
    expect(bed.clock.now() - begun).toBeLessThan(52_000 * US);
  });

  it('refuses a p99 latency below the average', async () => {
    const [bed] = await delayed();
    await expect(
      bed.rpc.call('bdev_delay_create', {
        ...{ name: 'E', base_bdev_name: 'D', ...latencies },
        p99_write_latency: 199,
      }),
    ).rejects.toMatchObject({
      code: -22,
      message: expect.stringMatching(/^Invalid argument: p99_write_latency is 199 µs/),
    });
  });
});
