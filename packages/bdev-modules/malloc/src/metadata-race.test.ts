import { setTimeout as sleep } from 'node:timers/promises';
import { BdevRegistry, bdevReactorEntry } from '@spdk-ts/bdev';
import control from '@spdk-ts/bdev-malloc';
import { WorkerHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const driver = new URL('../test/race-driver.mjs', import.meta.url).href;
const pool = { small_count: 16, small_bytes: 8192, large_count: 8, large_bytes: 132 * 1024 };
const BLOCKS = 4;
/** I/Os that each of two reactors does at least. */
const COUNT = 1500;

interface Counts {
  ok: number;
  failed: Record<string, number>;
  mixed: number;
}

/** Two reactors on workers of their own (built code), at work on the same blocks. */
describe('protected blocks that two reactors use at once', () => {
  let host: WorkerHost;
  let bdevs: BdevRegistry;
  let rpc: RpcServer;

  beforeEach(async () => {
    host = await WorkerHost.start({
      cores: [0, 1],
      pool,
      plugins: [bdevReactorEntry, control.reactorEntry, driver],
    });
    bdevs = new BdevRegistry(host);
    rpc = new RpcServer();
    registerSchema(...control.methods!);
    await control.setup({ host, bdevs, rpc });
  });
  afterEach(async () => {
    await host.stop();
  });

  async function race(hidden: boolean, writers: readonly boolean[]): Promise<Counts[]> {
    const { id } = bdevs.get('M')!;
    const options = { id, blocks: BLOCKS, hidden };
    for (const [reactor, write] of writers.entries())
      await host.call(reactor, 'race', 'begin', { ...options, write, first: 1 + reactor * 2 ** 30 });
    for (;;) {
      const done = (await host.broadcast('race', 'done')) as number[];
      if (done.slice(0, writers.length).every((count) => count > COUNT)) break;
      // The reactors need the processors.
      await sleep(5);
    }
    return Promise.all(writers.map((_, reactor) => host.call(reactor, 'race', 'end') as Promise<Counts>));
  }

  const clean = { failed: {}, mixed: 0 };

  // Separate metadata are made by the bdev, those between the blocks by the layer, which hides them.
  it.each([
    ['separate', { md_size: 8, md_interleave: false, dif_type: 1 }, false],
    ['separate, 64 bits', { md_size: 16, md_interleave: false, dif_type: 1, dif_pi_format: 2 }, false],
    ['hidden', { md_size: 8, md_interleave: true, dif_type: 1 }, true],
  ] as const)('are whole, and pass their checks: %s', { timeout: 120_000 }, async (_name, kind, hidden) => {
    await rpc.call('bdev_malloc_create', { name: 'M', block_size: 4096, num_blocks: 64, ...kind });
    for (const counts of await race(hidden, [true, false])) expect(counts).toMatchObject(clean);
    // What two writers leave is the one's or the other's.
    for (const counts of await race(hidden, [true, true])) expect(counts).toMatchObject(clean);
    for (const counts of await race(hidden, [false])) expect(counts).toMatchObject(clean);
    await bdevs.stop();
  });
});
