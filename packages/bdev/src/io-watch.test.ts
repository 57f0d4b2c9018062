import { RpcServer } from '@spdk-ts/rpc';
import { describe, expect, it } from 'vitest';
import { Owner, RW, SCRATCH_REGION, TestBed } from '../test/support.ts';
import { Errno, IoStatus, IoType, ioTypeMask, type LateIo, registerBdevRpcs } from './index.ts';

const { SUCCESS, ABORTED } = IoStatus;
const MS = 1_000_000;
const SECOND = 1000 * MS;

describe('queue depth samples', () => {
  it('add up the channels of all reactors, and are shown while they are taken', async () => {
    const bed = await TestBed.start({ count: 2 });
    const rpc = new RpcServer({ checkResults: true });
    registerBdevRpcs(rpc, bed.bdevs, bed.host, bed.clock);
    bed.script.immediate = false;
    const there = bed.channelOn(1, bed.host.local[1]!.createThread('there'));
    const second = bed.open(bed.description, bed.reactor.createThread('second'));
    const shown = async (): Promise<Record<string, unknown>> => {
      const { bdevs } = await bed.until(rpc.call('bdev_get_iostat', {}) as Promise<{ bdevs: unknown[] }>);
      return bdevs[0] as Record<string, unknown>;
    };
    expect(await shown()).not.toHaveProperty('queue_depth');
    await bed.until(rpc.call('bdev_set_qd_sampling_period', { name: 'Test0', period: 1000 }));
    const owner = new Owner();
    for (let i = 0; i < 5; i++) bed.advance(MS);
    expect(await shown()).toMatchObject({ queue_depth: 0, io_time: 0, weighted_io_time: 0 });
    bed.channel.readBlocks(SCRATCH_REGION, 0, 0, 1, owner);
    second.readBlocks(SCRATCH_REGION, 0, 0, 1, owner);
    for (let i = 0; i < 3; i++) there.readBlocks(SCRATCH_REGION, 0, 0, 1, owner);
    // The other reactor's part is a sample old.
    for (let i = 0; i < 11; i++) bed.advance(MS);
    expect(await shown()).toMatchObject({
      ...{ queue_depth_polling_period: 1000, queue_depth: 5, io_time: 11_000 },
      weighted_io_time: 52_000,
    });
    bed.script.complete();
    bed.poll();
    bed.channel.put();
    second.put();
    // Now the other reactor adds up.
    there.readBlocks(SCRATCH_REGION, 0, 0, 1, owner);
    for (let i = 0; i < 4; i++) bed.advance(MS);
    expect(await shown()).toMatchObject({ queue_depth: 1, io_time: 15_000, weighted_io_time: 56_000 });
    bed.script.complete();
    bed.poll();
    await bed.until(rpc.call('bdev_set_qd_sampling_period', { name: 'Test0', period: 0 }));
    expect(await shown()).not.toHaveProperty('queue_depth');
    there.put();
    expect(bed.host.local.flatMap(({ threads }) => threads.flatMap((t) => t.timedPollers))).toEqual([]);
    await expect(rpc.call('bdev_set_qd_sampling_period', { name: 'x', period: 0 })).rejects.toMatchObject({
      code: Errno.ENODEV,
    });
  });
});

describe('timeouts', () => {
  it('are reported once for each I/O, queued ones too, and nothing is done about it', async () => {
    const bed = await TestBed.start({ count: 2, spec: { max_rw_size: 4 } });
    bed.script.immediate = false;
    const there = bed.channelOn(1, bed.host.local[1]!.createThread('there'));
    const late: LateIo[] = [];
    const open = () => bed.bdevs.open('Test0', { write: true, owner: { name: 'test', onEvent: () => {} } });
    const descriptor = open();
    await bed.until(descriptor.setTimeout(3, (io) => void late.push(io)));
    const owner = new Owner();
    bed.channel.writeBlocks(SCRATCH_REGION, 0, 7, 2, owner);
    for (let i = 0; i < 15; i++) bed.advance(SECOND / 10);
    there.readBlocks(SCRATCH_REGION, 0, 100, 40, owner);
    for (let i = 0; i < 11; i++) bed.advance(SECOND / 10);
    await bed.settle();
    expect(late).toEqual([]);
    for (let i = 0; i < 40; i++) bed.advance(SECOND / 10);
    await bed.settle();
    expect(
      late.map(({ reactor, type, offset_blocks, num_blocks }) => [reactor, type, offset_blocks, num_blocks]),
    ).toEqual([
      [0, IoType.WRITE, 7, 2],
      [1, IoType.READ, 100, 40],
    ]);
    for (const { elapsed_us } of late) {
      expect(elapsed_us).toBeGreaterThanOrEqual(3_000_000);
      expect(elapsed_us).toBeLessThan(4_100_000);
    }
    expect(owner.done).toEqual([]);
    for (let i = 0; i < 5; i++) {
      bed.script.complete();
      bed.poll();
    }
    expect(owner.statuses).toEqual([SUCCESS, SUCCESS]);
    await bed.until(descriptor.setTimeout(0));
    expect(bed.thread.timedPollers).toEqual([]);
    await expect(descriptor.setTimeout(-1)).rejects.toMatchObject({ code: Errno.EINVAL });
    await expect(descriptor.setTimeout(0.5)).rejects.toMatchObject({ code: Errno.EINVAL });
    await bed.until(descriptor.close());
  });

  it('are those of each descriptor, until it is closed, for the I/O that names it and what names none', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    const open = () => bed.bdevs.open('Test0', { write: false, owner: { name: 'test', onEvent: () => {} } });
    const [first, second] = [open(), open()];
    const late: [string, number][] = [];
    const into = (name: string) => (io: LateIo) => void late.push([name, io.offset_blocks]);
    await bed.until(first.setTimeout(2, into('first')));
    await bed.until(second.setTimeout(4, into('second')));
    const named = (descriptor: number): Owner => Object.assign(new Owner(), { descriptor });
    bed.channel.readBlocks(SCRATCH_REGION, 0, 1, 1, named(first.number));
    bed.channel.readBlocks(SCRATCH_REGION, 0, 2, 1, named(second.number));
    bed.channel.readBlocks(SCRATCH_REGION, 0, 3, 1, new Owner());
    const wait = async (seconds: number): Promise<[string, number][]> => {
      for (let i = 0; i < 10 * seconds; i++) bed.advance(SECOND / 10);
      await bed.settle();
      return late.splice(0);
    };
    expect(await wait(3.5)).toEqual([
      ['first', 1],
      ['first', 3],
    ]);
    expect(await wait(2)).toEqual([
      ['second', 2],
      ['second', 3],
    ]);
    // Another limit takes the place of the one before; a descriptor that is closed hears nothing.
    await bed.until(second.setTimeout(8, into('again')));
    await bed.until(first.close());
    bed.channel.readBlocks(SCRATCH_REGION, 0, 4, 1, new Owner());
    expect(await wait(4)).toEqual([
      ['again', 2],
      ['again', 3],
    ]);
    await bed.until(second.close());
    expect(await wait(8)).toEqual([]);
    expect(bed.thread.timedPollers).toEqual([]);
    bed.script.complete();
    bed.poll();
  });
});

describe('a reset with a drain timeout', () => {
  it('leaves the module alone if what is outstanding ends in time, and else does not', async () => {
    const bed = await TestBed.start({ count: 2, spec: { reset_io_drain_timeout: 5 } });
    bed.script.immediate = false;
    const owner = new Owner();
    const there = bed.channelOn(1, bed.host.local[1]!.createThread('there'));
    const run = async (waits_s: number): Promise<number> => {
      const before = bed.script.resets;
      owner.done = [];
      there.readBlocks(SCRATCH_REGION, 0, 0, 1, owner);
      let done = false;
      const reset = bed.bdevs.reset('Test0').then(() => {
        done = true;
      });
      await bed.settle();
      bed.channel.readBlocks(SCRATCH_REGION, 0, 0, 1, owner);
      bed.poll();
      for (let i = 0; i < waits_s; i++) {
        bed.advance(SECOND);
        await bed.settle(2);
      }
      expect(owner.statuses).toEqual([ABORTED]);
      expect(done).toBe(false);
      bed.script.complete();
      await bed.until(reset);
      expect(owner.statuses).toEqual([ABORTED, SUCCESS]);
      expect(there.thread.timedPollers).toEqual([]);
      return bed.script.resets - before;
    };
    expect(await run(4)).toBe(0);
    expect(await run(6)).toBe(2);
    expect(await run(0)).toBe(0);
    there.put();
  });
});

describe('seeking', () => {
  it('finds data everywhere and no hole where the module does not know', async () => {
    const bed = await TestBed.start();
    const owner = new Owner();
    const found: number[] = [];
    owner.onDone = (io) => void found.push(io.seek_offset_blocks);
    expect(bed.channel.seekData(17, owner)).toBe(0);
    expect(bed.channel.seekHole(17, owner)).toBe(0);
    bed.poll();
    expect(found).toEqual([17, -1]);
    expect(bed.channel.seekData(1024, owner)).toBe(Errno.EINVAL);
    expect(bed.channel.seekHole(-1, owner)).toBe(Errno.EINVAL);
    const other = await bed.create({ name: 'Seeks', io_types: RW | ioTypeMask(IoType.SEEK_DATA) });
    bed.script.onSubmit = (io) => {
      expect([io.type, io.offset_blocks, io.num_blocks]).toEqual([IoType.SEEK_DATA, 5, 1019]);
      io.seek_offset_blocks = 99;
    };
    expect(bed.open(other).seekData(5, owner)).toBe(0);
    bed.poll();
    expect(found).toEqual([17, -1, 99]);
    expect(owner.statuses).toEqual([SUCCESS, SUCCESS, SUCCESS]);
  });
});

describe('unmap where the module has only write zeroes', () => {
  it('is done with that, and refused where it has neither', async () => {
    const bed = await TestBed.start({ spec: { io_types: RW | ioTypeMask(IoType.WRITE_ZEROES) } });
    const owner = new Owner();
    const seen: number[][] = [];
    bed.script.onSubmit = ({ type, offset_blocks, num_blocks }) =>
      void seen.push([type, offset_blocks, num_blocks]);
    expect(bed.channel.unmapBlocks(3, 500, owner)).toBe(0);
    bed.poll();
    expect(owner.statuses).toEqual([SUCCESS]);
    expect(seen).toEqual([[IoType.WRITE_ZEROES, 3, 500]]);
    const other = await bed.create({ name: 'Plain' });
    expect(bed.open(other).unmapBlocks(0, 1, owner)).toBe(Errno.ENOTSUP);
  });
});
