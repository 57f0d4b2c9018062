/** Bdevs of every module on reactors that are worker threads, in real time. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BdevRegistry, bdevReactorEntry, Errno, IoStatus, ioStatJson } from '@spdk-ts/bdev';
import { WorkerHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { afterAll, describe, expect, it } from 'vitest';
import { uringUnavailable } from '../../packages/bdev-modules/test/bed.ts';
import { registerMethods } from './bench.ts';
import { bases, subjectsOf } from './builders.ts';
import { loadModules } from './modules.ts';
import { chosen, plugins } from './options.ts';
import type { Subject } from './subject.ts';

const driver = new URL('../../packages/bdev-modules/test/driver.mjs', import.meta.url).href;
const pool = { small_count: 256, small_bytes: 8192, large_count: 8, large_bytes: 132 * 1024 };
const DEPTH = 16;
/** How often each of two adds to a count. */
const COUNTS = 50;

const modules = await loadModules(plugins);
const folder = mkdtempSync(join(tmpdir(), 'bdev-workers-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** One bdev of blocks of each module, on reactors of each kind. */
const subjects: readonly Subject[] =
  chosen === null
    ? bases
        .flatMap((builder) => subjectsOf({ ...builder, kinds: builder.kinds.slice(0, 1) }, folder))
        .filter(({ kind, hides_metadata }) => kind === 'blocks' && hides_metadata !== true)
    : chosen.map((subject) => ({ ...subject, uring: uringUnavailable === '' }));

class Workers {
  readonly host: WorkerHost;
  readonly bdevs: BdevRegistry;
  id = 0;
  name = '';

  static async start({ calls, bdev, uring }: Subject): Promise<Workers | null> {
    if (uring && uringUnavailable !== '') return null;
    const host = await WorkerHost.start({
      ...{ cores: [0, 1], pool, uring: uring ? { entries: 256, cq_entries: 512 } : null },
      plugins: [bdevReactorEntry, ...modules.map(({ reactorEntry }) => reactorEntry), driver],
    });
    const workers = new Workers(host);
    const rpc = new RpcServer();
    for (const module of modules) {
      registerMethods(module);
      await module.setup({ host, bdevs: workers.bdevs, rpc });
    }
    let answer: unknown;
    try {
      for (const { method, params } of calls) answer = await rpc.call(method, params);
    } catch (error) {
      await host.stop();
      // There is no such module, or nothing that it works on.
      if ([Errno.ENOTSUP, -32601].includes((error as { code: number }).code)) return null;
      throw error;
    }
    await workers.bdevs.waitForExamine();
    workers.name = bdev ?? String(Array.isArray(answer) ? answer[0] : answer);
    workers.id = workers.bdevs.get(workers.name)!.id;
    await host.broadcast('driver', 'open', { id: workers.id });
    return workers;
  }

  private constructor(host: WorkerHost) {
    this.host = host;
    this.bdevs = new BdevRegistry(host);
  }

  call(reactor: number, method: string, more: object = {}): Promise<unknown> {
    return this.host.call(reactor, 'driver', method, { id: this.id, ...more });
  }

  both(method: string, more: object = {}): Promise<unknown[]> {
    return this.host.broadcast('driver', method, { id: this.id, ...more });
  }

  /** Operations that have been counted, once there are some more of them. */
  async moreThan(count: number): Promise<number> {
    for (;;) {
      const [{ stat }] = (await this.bdevs.iostat(this.name)) as [{ stat: Float64Array }];
      const { num_read_ops, num_write_ops } = ioStatJson(stat);
      if (num_read_ops + num_write_ops > count) return num_read_ops + num_write_ops;
    }
  }
}

// Its loads are of blocks at random, and a caller may name any bdev.
for (const subject of subjects)
  describe.runIf(subject.kind === 'blocks')(`on workers: ${subject.title}`, () => {
    it.runIf(subject.promises.data)(
      'locks ranges: counts that both add to with compare and write lose nothing, under load',
      async ({ skip }) => {
        const workers = await Workers.start(subject);
        if (workers === null) {
          skip('it is not to be had here');
          return;
        }
        // The last blocks: the load, which only reads, goes over all.
        const { num_blocks } = workers.bdevs.get(workers.name)!;
        const places = [num_blocks - 1, num_blocks - 2];
        for (const at of places)
          expect(await workers.call(0, 'write', { at, value: 0 })).toBe(IoStatus.SUCCESS);
        await workers.both('load', { write: false, depth: DEPTH });
        await Promise.all(places.map((at) => workers.both('count', { at, times: COUNTS })));
        for (const at of places) expect(await workers.call(1, 'readWord', { at })).toBe(2 * COUNTS);
        await workers.both('stopLoad');
        await workers.both('close');
        await workers.bdevs.stop();
        await workers.host.stop();
      },
    );

    it('is one device for both, is reset and removed under load, and counts it', async ({ skip }) => {
      const workers = await Workers.start(subject);
      if (workers === null) {
        skip('it is not to be had here');
        return;
      }
      const { bdevs, host } = workers;
      if (subject.promises.data)
        for (let at = 0; at < 8; at++) {
          const from = at % 2;
          expect(await workers.call(from, 'write', { at, value: at + 1 })).toBe(IoStatus.SUCCESS);
          const read = { status: IoStatus.SUCCESS, values: [at + 1] };
          expect(await workers.call(1 - from, 'read', { at })).toEqual(read);
        }
      await bdevs.resetIostat(workers.name, 'all');
      await workers.call(0, 'load', { write: false, depth: DEPTH });
      await workers.call(1, 'load', { write: true, depth: DEPTH });
      let done = await workers.moreThan(100);
      const resets = [0, 1, 0].map((reactor) => workers.call(reactor, 'reset'));
      expect(await Promise.all(resets)).toEqual(Array(3).fill(IoStatus.SUCCESS));
      done = await workers.moreThan(done + 100);
      const counts = (await workers.both('stopLoad')) as Record<string, number>[];
      for (const count of counts)
        for (const status of Object.keys(count))
          expect([String(IoStatus.ABORTED), String(IoStatus.SUCCESS)]).toContain(status);
      const [{ stat }] = (await bdevs.iostat(workers.name)) as [{ stat: Float64Array }];
      const counted = ioStatJson(stat);
      expect(counted.num_read_ops).toBe(counts[0]![IoStatus.SUCCESS]);
      expect(counted.num_write_ops).toBe(counts[1]![IoStatus.SUCCESS]);
      const aborted = counts.reduce((total, count) => total + (count[IoStatus.ABORTED] ?? 0), 0);
      expect(counted.io_error['aborted'] ?? 0).toBe(aborted);
      await workers.both('load', { write: true, depth: DEPTH });
      await workers.moreThan(done + 100);
      const removal = bdevs.unregister(workers.name);
      while (((await workers.both('inflight')) as number[]).some((count) => count > 0));
      for (const count of (await workers.both('stopLoad')) as Record<string, number>[])
        expect(count[Errno.ENODEV]).toBe(DEPTH);
      await workers.both('close');
      await removal;
      await bdevs.stop();
      await host.stop();
    });
  });
