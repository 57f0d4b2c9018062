import { BdevRegistry, bdevReactorEntry, IoStatus, ioStatJson } from '@spdk-ts/bdev';
import control from '@spdk-ts/bdev-malloc';
import { WorkerHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const driver = new URL('../../test/driver.mjs', import.meta.url).href;
const pool = { small_count: 256, small_bytes: 8192, large_count: 8, large_bytes: 132 * 1024 };
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Two reactors on workers of their own (built code), and a driver on each. */
describe('a malloc bdev on two workers', () => {
  let host: WorkerHost;
  let bdevs: BdevRegistry;
  let id = 0;

  beforeEach(async () => {
    host = await WorkerHost.start({
      cores: [0, 1],
      pool,
      plugins: [bdevReactorEntry, control.reactorEntry, driver],
    });
    bdevs = new BdevRegistry(host);
    const rpc = new RpcServer();
    registerSchema(...control.methods!);
    await control.setup({ host, bdevs, rpc });
    await rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 4096 });
    id = bdevs.get('M')!.id;
    await host.broadcast('driver', 'open', { id });
  });
  afterEach(async () => {
    await host.stop();
  });

  it('is the same memory on both', async () => {
    for (let at = 0; at < 20; at++) {
      const from = at % 2;
      expect(await host.call(from, 'driver', 'write', { id, at, value: at + 1 })).toBe(IoStatus.SUCCESS);
      expect(await host.call(1 - from, 'driver', 'read', { id, at })).toEqual({
        status: IoStatus.SUCCESS,
        values: [at + 1],
      });
    }
    await host.broadcast('driver', 'close', { id });
    await bdevs.unregister('M');
    await expect(host.call(1, 'driver', 'open', { id })).rejects.toMatchObject({ code: -19 });
  });

  /** Waits until each reactor has done so many I/Os, however long that takes. */
  async function bothHaveDone(count: number): Promise<void> {
    const done = (stat: Float64Array): number => {
      const { num_read_ops, num_write_ops } = ioStatJson(stat);
      return num_read_ops + num_write_ops;
    };
    for (;;) {
      const channels = await bdevs.channelIostat('M');
      if (channels.length === 2 && channels.every(({ stat }) => done(stat) > count)) return;
      await wait(5);
    }
  }

  it('is reset from one while both are at work; counters add up over both', async () => {
    await host.call(0, 'driver', 'load', { id, write: false, depth: 16 });
    await host.call(1, 'driver', 'load', { id, write: true, depth: 16 });
    await bothHaveDone(1000);
    const resets = [0, 1, 0].map((reactor) => host.call(reactor, 'driver', 'reset', { id }));
    expect(await Promise.all(resets)).toEqual(Array(3).fill(IoStatus.SUCCESS));
    await wait(20);
    const counts = (await host.broadcast('driver', 'stopLoad', { id })) as Record<string, number>[];
    for (const count of counts) {
      expect(count[IoStatus.SUCCESS]).toBeGreaterThan(1000);
      expect(count[IoStatus.ABORTED]).toBeGreaterThan(0);
      expect(Object.keys(count).sort()).toEqual([String(IoStatus.ABORTED), String(IoStatus.SUCCESS)].sort());
    }
    const { stat } = (await bdevs.iostat('M'))[0]!;
    expect(ioStatJson(stat)).toMatchObject({
      num_read_ops: counts[0]![IoStatus.SUCCESS],
      num_write_ops: counts[1]![IoStatus.SUCCESS],
      bytes_read: counts[0]![IoStatus.SUCCESS]! * 512,
      io_error: { aborted: counts[0]![IoStatus.ABORTED]! + counts[1]![IoStatus.ABORTED]! },
    });
    const channels = await bdevs.channelIostat('M');
    expect(channels).toHaveLength(2);
    expect(new Set(channels.map(({ thread_id }) => thread_id)).size).toBe(2);
    expect((await host.call(0, 'reactor', 'threadChannels')) as object[]).toContainEqual({
      name: 'driver_0',
      io_channels: [{ name: 'bdev_M', ref: 1 }],
    });
    await host.broadcast('driver', 'close', { id });
    // Counted on channels that are gone: still there.
    const [after] = await bdevs.iostat('M');
    expect(after!.stat).toEqual(stat);
  });

  it('is removed while both are at work: new I/O is refused, and it is gone when they have let go', async () => {
    await host.broadcast('driver', 'load', { id, write: true, depth: 8 });
    await wait(10);
    const removal = bdevs.unregister('M');
    const inflight = async (): Promise<boolean> =>
      ((await host.broadcast('driver', 'inflight', { id })) as number[]).some((count) => count > 0);
    while (await inflight()) await wait(1);
    const counts = (await host.broadcast('driver', 'stopLoad', { id })) as Record<string, number>[];
    for (const count of counts) expect(count[-19]).toBe(8);
    await host.broadcast('driver', 'close', { id });
    await removal;
    expect(bdevs.list()).toEqual([]);
  });
});
