import { BdevRegistry, bdevReactorEntry, IoStatus, ioStatJson } from '@spdk-ts/bdev';
import malloc from '@spdk-ts/bdev-malloc';
import passthru from '@spdk-ts/bdev-passthru';
import split from '@spdk-ts/bdev-split';
import { WorkerHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const driver = new URL('../../test/driver.mjs', import.meta.url).href;
const pool = { small_count: 256, small_bytes: 8192, large_count: 8, large_bytes: 132 * 1024 };
const modules = [malloc, passthru, split];

/** Two reactors on workers of their own (built code), and load on both parts of a stack from each. */
describe('a stack on two workers', () => {
  let host: WorkerHost;
  let bdevs: BdevRegistry;
  let ids: number[] = [];
  let rpc = new RpcServer();

  const broadcast = (method: string, more: object = {}): Promise<unknown[]> =>
    Promise.all(ids.map((id) => host.broadcast('driver', method, { id, ...more }))).then((all) => all.flat());

  beforeEach(async () => {
    host = await WorkerHost.start({
      cores: [0, 1],
      pool,
      plugins: [bdevReactorEntry, ...modules.map(({ reactorEntry }) => reactorEntry), driver],
    });
    bdevs = new BdevRegistry(host);
    rpc = new RpcServer();
    for (const module of modules) {
      registerSchema(...(module.methods ?? []));
      await module.setup({ host, bdevs, rpc });
    }
    await rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 4096 });
    await rpc.call('bdev_passthru_create', { name: 'P', base_bdev_name: 'M' });
    await rpc.call('bdev_split_create', { base_bdev: 'P', split_count: 2 });
    ids = ['Pp0', 'Pp1'].map((name) => bdevs.get(name)!.id);
    await broadcast('open');
  });
  afterEach(async () => {
    await host.stop();
  });

  /** Writes that each part has done so far. */
  const written = (): Promise<number[]> =>
    Promise.all(
      ['Pp0', 'Pp1'].map(async (name) => ioStatJson((await bdevs.iostat(name))[0]!.stat).num_write_ops),
    );
  /** Resolves when both parts have done more. */
  async function progress(): Promise<void> {
    const before = await written();
    while (!(await written()).every((count, at) => count > before[at]!));
  }

  it('is the same on both, and the parts are apart', async () => {
    const [p0, p1] = ids as [number, number];
    expect(await host.call(0, 'driver', 'write', { id: p0, at: 3, value: 1 })).toBe(IoStatus.SUCCESS);
    expect(await host.call(1, 'driver', 'write', { id: p1, at: 3, value: 2 })).toBe(IoStatus.SUCCESS);
    const success = (value: number): object => ({ status: IoStatus.SUCCESS, values: [value] });
    expect(await host.call(1, 'driver', 'read', { id: p0, at: 3 })).toEqual(success(1));
    expect(await host.call(0, 'driver', 'read', { id: p1, at: 3 })).toEqual(success(2));
    await broadcast('close');
    await bdevs.stop();
  });

  it('is reset while all are at work: everything ends, and goes on', async () => {
    await broadcast('load', { write: true, depth: 8 });
    await progress();
    const resets = [0, 1].map((reactor) => host.call(reactor, 'driver', 'reset', { id: ids[reactor] }));
    expect(await Promise.all(resets)).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
    await progress();
    for (const counts of (await broadcast('stopLoad')) as Record<string, number>[])
      for (const status of Object.keys(counts).map(Number))
        expect([IoStatus.SUCCESS, IoStatus.ABORTED]).toContain(status);
    await broadcast('close');
    await bdevs.stop();
  });

  it('goes with its base under load: everything ends, new I/O is refused, and nothing is left', async () => {
    await broadcast('load', { write: true, depth: 8 });
    await progress();
    const removal = rpc.call('bdev_malloc_delete', { name: 'M' });
    while (((await broadcast('inflight')) as number[]).some((count) => count > 0));
    // What came between the removal of the base and that of the part failed; after that it is refused.
    for (const counts of (await broadcast('stopLoad')) as Record<string, number>[]) {
      expect(counts[-19]).toBe(8);
      for (const status of Object.keys(counts).map(Number))
        expect([-19, IoStatus.SUCCESS, IoStatus.FAILED, IoStatus.ABORTED]).toContain(status);
    }
    await broadcast('close');
    expect(await removal).toBe(true);
    expect(bdevs.list()).toEqual([]);
    // It comes back with the base.
    await rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 4096 });
    expect(bdevs.list().map(({ name }) => name)).toEqual(['M', 'P', 'Pp0', 'Pp1']);
  });
});
