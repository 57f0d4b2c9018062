import {
  type BdevIo,
  type BdevModule,
  BdevRegistry,
  bdevReactorEntry,
  IoStatus,
  IoType,
  ioTypeMask,
  registerReactorModule,
} from '@spdk-ts/bdev';
import { ManualClock, TICKS_PER_MS, TICKS_PER_US } from '@spdk-ts/env';
import { LatencyHistogram } from '@spdk-ts/load';
import { LocalHost, type ReactorPlugin } from '@spdk-ts/reactor';
import { describe, expect, it } from 'vitest';
import { planJobs } from './job-config.ts';
import type { PerfOptions, TestSettings } from './options.ts';
import { PerfRunner, type RunOutcome } from './perf-runner.ts';
import reactorHalf from './reactor.ts';
import type { Workload } from './workload.ts';

/* Jobs on reactors in virtual time, over a bdev in memory that can be told to misbehave. */

type Fault = (io: BdevIo, count: number) => 'none' | 'fail' | 'lose' | 'misplace' | 'flip' | 'hang';

const BLOCK = 512;
const STEP_US = 10;

interface World {
  readonly host: LocalHost;
  readonly bdevs: BdevRegistry;
  readonly clock: ManualClock;
  readonly seen: { type: number; block: number; blocks: number; region: number }[];
  run(
    options: Partial<PerfOptions>,
    test: Partial<TestSettings>,
    while_running?: (runner: PerfRunner) => void,
  ): Promise<{
    outcome: RunOutcome;
    printed: string[];
  }>;
}

const everything = ioTypeMask(
  ...[IoType.READ, IoType.WRITE, IoType.UNMAP, IoType.FLUSH, IoType.RESET, IoType.WRITE_ZEROES, IoType.ABORT],
);

async function world(
  setup: { fault?: Fault; count?: number; blocks?: number; latency_us?: number; types?: number } = {},
): Promise<World> {
  const { fault = () => 'none', count = 1, blocks = 256, latency_us = 0, types = everything } = setup;
  const clock = new ManualClock();
  clock.ticks = 1000;
  const data = new Uint8Array(blocks * BLOCK);
  const seen: World['seen'] = [];
  const hung: BdevIo[] = [];
  let ios = 0;

  const module: ReactorPlugin = {
    name: 'bdev_ram',
    start(reactor) {
      const move = (io: BdevIo, at: number): void => {
        const memory = reactor.regions.bytes(io.region).subarray(io.offset, io.offset + io.length);
        const place = data.subarray(at, at + io.length);
        if (io.type === IoType.READ) memory.set(place);
        else place.set(memory);
      };
      const serve = (io: BdevIo): void => {
        const what = fault(io, ios++);
        const at = io.offset_blocks * BLOCK;
        seen.push({ type: io.type, block: io.offset_blocks, blocks: io.num_blocks, region: io.region });
        if (what === 'hang') {
          hung.push(io);
          return;
        }
        if (what === 'fail') {
          io.complete(IoStatus.FAILED);
          return;
        }
        const has_data = io.type === IoType.READ || io.type === IoType.WRITE;
        if (has_data && what !== 'lose') move(io, what === 'misplace' ? (at + io.length) % data.length : at);
        if (what === 'flip') reactor.regions.bytes(io.region)[io.offset + 100]! ^= 4;
        io.complete(IoStatus.SUCCESS);
      };
      registerReactorModule(reactor, {
        name: 'ram',
        instantiate: () => ({
          createChannel: (thread) => ({
            submit(io) {
              if (latency_us === 0) return serve(io);
              const poller = thread.registerPoller(
                'late',
                () => {
                  poller.unregister();
                  serve(io);
                  return 1;
                },
                latency_us,
              );
            },
            abort(io) {
              const index = hung.indexOf(io);
              if (index < 0) return false;
              hung.splice(index, 1);
              io.complete(IoStatus.ABORTED);
              return true;
            },
            destroy() {},
          }),
        }),
      });
      return {};
    },
  };
  const layer = ((await import(bdevReactorEntry)) as { default: ReactorPlugin }).default;
  const host = await LocalHost.start({ count, clock, plugins: [layer, module, reactorHalf] });
  const bdevs = new BdevRegistry(host);
  bdevs.registerModule({ name: 'ram', destroy() {}, config: () => [] } satisfies BdevModule);
  await bdevs.register('ram', {
    ...{ name: 'Ram0', product_name: 'RAM', block_size: BLOCK, num_blocks: blocks, io_types: types },
    context: null,
  });
  const options: PerfOptions = {
    test: { queue_depth: null, io_size: null, workload: null, time_s: null, rw_percentage: null },
    ...{ targets: [], bdevs: [], job_file: null, timeout_s: 0, abort: false, continue_on_failure: false },
    ...{
      zipf_theta: 0,
      random_map: false,
      hide_metadata: false,
      unique_writes: false,
      zcopy: false,
      every_core: false,
    },
    ...{ thread_per_core: false, wait: false, show_period_s: 0, moving_average: 0, latency_level: 0 },
    ...{ json_output: null, explained: [] },
  };
  return {
    ...{ host, bdevs, clock, seen },
    async run(change, test, while_running) {
      const all = { ...options, ...change };
      const runner = new PerfRunner(host, bdevs, all, 1);
      const cores = host.reactors.map(({ lcore }) => lcore);
      const configs = planJobs(bdevs.list(), cores, all.every_core, {
        ...{ queue_depth: 4, io_size: BLOCK, workload: 'verify', rw_percentage: 50 },
        ...(test as { workload: Workload }),
      });
      const printed: string[] = [];
      let started = false;
      const outcome = runner.run(configs, test.time_s ?? 0.01, {
        print: (lines) => printed.push(...lines),
        started: () => {
          started = true;
        },
      });
      let over = false;
      outcome.then(
        () => {
          over = true;
        },
        () => {
          over = true;
        },
      );
      for (let i = 0; !over; i++) {
        if (i > 100_000) throw new Error('the run does not end');
        host.poll();
        clock.advance(STEP_US * TICKS_PER_US);
        if (started && i % 10 === 0) while_running?.(runner);
        if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      return { outcome: await outcome, printed };
    },
  };
}

const one = (outcome: RunOutcome) => outcome.jobs[0]!;

describe('jobs', () => {
  it('keep the queue full and stop in time', async () => {
    const { run, seen } = await world();
    const { outcome } = await run({}, { workload: 'randread', queue_depth: 16 });
    const { result, status } = one(outcome);
    expect(status).toBe('finished');
    expect(outcome).toMatchObject({ failure: null, terminated: false, core_count: 1 });
    expect(result.runtime_us).toBeGreaterThanOrEqual(10_000);
    expect(result.runtime_us).toBeLessThan(10_100);
    // 16 in each iteration of 10 µs
    expect(result.io_completed).toBeGreaterThan(15_900);
    expect(result.io_completed).toBe(seen.length);
    expect(new Set(seen.map((io) => io.block)).size).toBe(256);
    expect(seen.every((io) => io.type === IoType.READ && io.blocks === 1)).toBe(true);
  });

  it('go through the places in order, and round', async () => {
    const { run, seen } = await world();
    await run({}, { workload: 'write', queue_depth: 3, io_size: 8 * BLOCK });
    expect(seen.slice(0, 65).map((io) => io.block / 8)).toEqual([
      ...Array(32).keys(),
      ...Array(32).keys(),
      0,
    ]);
    expect(seen.every((io) => io.type === IoType.WRITE && io.blocks === 8)).toBe(true);
  });

  it.each([
    [0, 0],
    [30, 0.3],
    [100, 1],
  ])('mix reads and writes at %i %%', async (rw_percentage, share) => {
    const { run, seen } = await world();
    await run({}, { workload: 'randrw', queue_depth: 16, rw_percentage });
    const reads = seen.filter((io) => io.type === IoType.READ).length / seen.length;
    expect(Math.abs(reads - share)).toBeLessThan(share % 1 === 0 ? 1e-9 : 0.03);
  });

  it.each([
    ['unmap', IoType.UNMAP],
    ['flush', IoType.FLUSH],
    ['write_zeroes', IoType.WRITE_ZEROES],
  ] as const)('do %s', async (workload, type) => {
    const { run, seen } = await world();
    const { outcome } = await run({}, { workload, queue_depth: 2, io_size: 4 * BLOCK });
    expect(one(outcome).result.io_completed).toBeGreaterThan(100);
    expect(seen.every((io) => io.type === type && io.blocks === 4)).toBe(true);
  });

  it.each([1, 4, 300])(
    'verify at depth %i, each I/O counted once, never two at one place',
    async (queue_depth) => {
      const { run, seen } = await world();
      const { outcome, printed } = await run({}, { workload: 'verify', queue_depth });
      const { result } = one(outcome);
      expect(printed).toEqual([]);
      expect(result.queue_depth).toBe(Math.min(queue_depth, 256));
      expect(result.io_completed * 2).toBe(seen.length);
      expect(result.io_failed).toBe(0);
      expect(outcome.failure).toBeNull();
    },
  );

  it('measure latency', async () => {
    const { run } = await world({ latency_us: 100 });
    const { outcome } = await run({}, { workload: 'read', queue_depth: 1, time_s: 0.05 });
    const { result } = one(outcome);
    const { count, min, max } = new LatencyHistogram(result.latencies).totals();
    expect(count).toBe(result.io_completed);
    expect(min).toBeGreaterThan(99_000);
    expect(max).toBeLessThan(122_000);
  });

  it('run on several reactors, each on its share', async () => {
    const { run, seen } = await world({ count: 2 });
    const { outcome } = await run({ every_core: true }, { workload: 'verify', queue_depth: 4 });
    expect(outcome.jobs.map(({ spec }) => [spec.cpumask, spec.ios_base, spec.size_in_ios])).toEqual([
      [[0], 0, 128],
      [[1], 128, 128],
    ]);
    expect(outcome).toMatchObject({ core_count: 2, failure: null });
    for (const { result } of outcome.jobs) expect(result.io_completed).toBeGreaterThan(1000);
    expect(new Set(seen.map((io) => io.block)).size).toBe(256);
  });

  it('leave nothing behind: threads, channels, descriptors, regions', async () => {
    const { run, host, bdevs } = await world();
    for (let i = 0; i < 3; i++) await run({}, { workload: 'randrw' });
    for (let i = 0; i < 5; i++) host.poll();
    expect(host.local[0]!.threads.map((thread) => thread.name)).toEqual(['app_thread']);
    await bdevs.unregister('Ram0');
  });
});

describe('failures', () => {
  it.each([
    ['lose', 'stale|zeroes|misplaced'],
    ['misplace', 'misplaced|zeroes|stale'],
    ['flip', 'damaged'],
  ] as const)('data that were changed (%s) are found out', async (kind, story) => {
    const type = kind === 'flip' ? IoType.READ : IoType.WRITE;
    const { run } = await world({
      fault: (io, count) => (count > 2000 && io.type === type ? kind : 'none'),
    });
    const { outcome, printed } = await run({}, { workload: 'verify', queue_depth: 4, io_size: 2 * BLOCK });
    expect(one(outcome).status).toBe('failed');
    expect(one(outcome).result.miscompares).toBeGreaterThan(0);
    expect(outcome.failure).toMatch(/data read at block \d+ of Ram0 are not those written/);
    expect(printed[0]).toMatch(/^Buffer mismatch! Target: Ram0 Disk Offset: \d+$/);
    expect(printed[1]).toMatch(/block \d+, byte \d+ of it: expected 0x[0-9a-f]{8}, found 0x/);
    expect(printed[3]).toMatch(new RegExp(story));
  });

  it('reads that bring nothing are found out', async () => {
    const { run } = await world({ fault: (io) => (io.type === IoType.READ ? 'lose' : 'none') });
    const { outcome } = await run({}, { workload: 'verify' });
    expect(one(outcome).result.miscompares).toBeGreaterThan(0);
  });

  it('end the run at once, on every reactor', async () => {
    const { run } = await world({ count: 2, fault: (_, count) => (count === 500 ? 'fail' : 'none') });
    const { outcome, printed } = await run({ every_core: true }, { workload: 'write', time_s: 1000 });
    expect(outcome.stopped).toBe(true);
    expect(outcome.failure).toMatch(/a write at block \d+ of Ram0 failed: failed/);
    expect(printed[0]).toMatch(/^task offset: \d+ on job bdev=Ram0 fails$/);
    expect(outcome.jobs.map(({ status }) => status).sort()).toEqual(['failed', 'finished']);
  });

  it('are only counted with -f, and not all printed', async () => {
    const { run } = await world({ fault: (_, count) => (count % 2 ? 'fail' : 'none') });
    const { outcome, printed } = await run(
      { continue_on_failure: true },
      { workload: 'read', queue_depth: 8 },
    );
    const { result, status } = one(outcome);
    expect(status).toBe('finished');
    expect(result.io_failed).toBeGreaterThan(1000);
    expect(Math.abs(result.io_failed - result.io_completed)).toBeLessThan(10);
    expect(outcome.failure).not.toBeNull();
    expect(printed).toHaveLength(21);
  });

  it('of a reset are expected', async () => {
    let resets = 0;
    const { run } = await world({
      fault: (io) => {
        if (io.type === IoType.RESET) resets++;
        return 'none';
      },
    });
    const { outcome } = await run({}, { workload: 'reset', time_s: 0.02 });
    expect(resets).toBeGreaterThan(0);
    expect(one(outcome)).toMatchObject({ status: 'finished', result: { failure: null, miscompares: 0 } });
  });

  it('a bdev that is taken away ends its jobs', async () => {
    const { run, bdevs } = await world();
    let removal: Promise<void> | null = null;
    const { outcome } = await run({}, { workload: 'read', time_s: 1000 }, () => {
      removal ??= bdevs.unregister('Ram0');
    });
    await removal;
    expect(outcome.jobs).toHaveLength(1);
    expect(bdevs.list()).toEqual([]);
  });

  it('late I/O is counted once and aborted', async () => {
    const { run } = await world({ fault: (_, count) => (count === 10 ? 'hang' : 'none') });
    const { outcome } = await run(
      { timeout_s: 0.001, abort: true, continue_on_failure: true },
      { workload: 'read', queue_depth: 4, time_s: 0.02 },
    );
    expect(one(outcome).result).toMatchObject({ io_timeout: 1, io_failed: 1 });
  });

  it('a run can be ended', async () => {
    const { run } = await world();
    const { outcome } = await run(
      {},
      { workload: 'verify', time_s: 1000 },
      (runner) => void runner.terminate(),
    );
    expect(outcome).toMatchObject({ terminated: true, failure: null });
    expect(one(outcome).status).toBe('terminated');
    expect(one(outcome).result.io_completed).toBeGreaterThan(0);
  });

  it('what cannot be run is refused with a reason, and leaves nothing behind', async () => {
    const { run, bdevs } = await world({ types: ioTypeMask(IoType.READ) });
    await expect(run({}, { workload: 'read', io_size: 1000 })).rejects.toThrow(
      'IO size (1000) is not a multiple',
    );
    await expect(run({}, { workload: 'unmap' })).rejects.toThrow('Ram0 does not support unmap');
    await expect(run({}, { workload: 'write' })).rejects.toThrow('Ram0 does not support write');
    await expect(run({}, { workload: 'read', io_size: 512 * 1024 })).rejects.toThrow(
      'not even one I/O of 512k',
    );
    await expect(run({ zcopy: true }, { workload: 'read' })).rejects.toThrow('-Z needs a bdev');
    await expect(run({}, { workload: 'read', queue_depth: 65535, io_size: 65536 })).rejects.toThrow(
      'MiB of buffers',
    );
    const { outcome } = await run({}, { workload: 'read' });
    expect(outcome.failure).toBeNull();
    await bdevs.unregister('Ram0');
  });

  it('counters can be read while it runs', async () => {
    const { run, clock } = await world();
    const started = clock.ticks;
    const answers: Promise<unknown>[] = [];
    await run({}, { workload: 'read', time_s: 0.02 }, (runner) => {
      if (clock.ticks > started + 5 * TICKS_PER_MS && answers.length === 0) answers.push(runner.counters());
    });
    expect(await answers[0]).toMatchObject([{ index: 0, io_failed: 0 }]);
  });
});
