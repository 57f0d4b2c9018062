import { BdevRegistry, bdevReactorEntry, IoStatus, KvStatus } from '@spdk-ts/bdev';
import control from '@spdk-ts/bdev-kv';
import malloc from '@spdk-ts/bdev-malloc';
import { WorkerHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const driver = new URL('../../test/kv-driver.mjs', import.meta.url).href;
const pool = { small_count: 256, small_bytes: 8192, large_count: 8, large_bytes: 132 * 1024 };
const KEYS = 3000;

interface Result {
  readonly counts: Record<string, number>;
  readonly torn: number;
}
const DONE = String(IoStatus.SUCCESS);
const EXISTS = `sc${KvStatus.KEY_EXISTS}`;
const NOT_THERE = `sc${KvStatus.KEY_DOES_NOT_EXIST}`;
const sum = (results: Result[], name: string): number =>
  results.reduce((total, { counts }) => total + (counts[name] ?? 0), 0);

/** Two reactors on workers of their own (built code), and a driver on each. */
describe.each(['malloc', 'log'])('a key-value bdev (%s) on two workers', (kind) => {
  let host: WorkerHost;
  let bdevs: BdevRegistry;

  beforeEach(async () => {
    host = await WorkerHost.start({
      cores: [0, 1],
      pool,
      plugins: [bdevReactorEntry, malloc.reactorEntry, control.reactorEntry, driver],
    });
    bdevs = new BdevRegistry(host);
    const rpc = new RpcServer();
    for (const module of [malloc, control]) {
      registerSchema(...(module.methods ?? []));
      await module.setup({ host, bdevs, rpc });
    }
    if (kind === 'malloc')
      await rpc.call('bdev_malloc_kv_create', { name: 'K', block_size: 512, num_blocks: 1 << 15 });
    else {
      // Small enough to go round many times, large enough for all keys.
      await rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 1 << 16 });
      await rpc.call('bdev_kv_create', { name: 'K', base_bdev_name: 'M', max_value_len: 4096 });
    }
    await host.broadcast('kv_driver', 'open', { id: bdevs.get('K')!.id });
  });
  afterEach(async () => {
    await host.stop();
  });

  const both = async (method: string, request: object): Promise<Result[]> =>
    (await host.broadcast('kv_driver', method, request)) as Result[];
  const info = (): { num_keys: number; used_bytes: number } =>
    (bdevs.info(bdevs.get('K')!).driver_specific as { kv: { num_keys: number; used_bytes: number } }).kv;

  it('gives each reader one value, whoever stores others at the same time', async () => {
    const results = await both('mix', { keys: 8, count: 10_000 });
    for (const { counts, torn } of results) {
      expect(torn).toBe(0);
      expect(Object.keys(counts).sort()).toEqual([DONE, NOT_THERE].sort());
    }
    await both('deleteAll', { count: 8 });
    expect(info()).toMatchObject({ num_keys: 0, used_bytes: 0 });
    await both('close', {});
  });

  it('lets one of two store a new key, and one of two delete it', async () => {
    const stored = await both('storeNew', { count: KEYS });
    expect([sum(stored, DONE), sum(stored, EXISTS)]).toEqual([KEYS, KEYS]);
    expect(info().num_keys).toBe(KEYS);
    const deleted = await both('deleteAll', { count: KEYS });
    expect([sum(deleted, DONE), sum(deleted, NOT_THERE)]).toEqual([KEYS, KEYS]);
    expect(info()).toMatchObject({ num_keys: 0, used_bytes: 0 });
    const removal = bdevs.unregister('K');
    await both('close', {});
    await removal;
    expect(bdevs.get('K')).toBeUndefined();
  });
});
