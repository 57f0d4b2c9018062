import { resolve } from 'node:path';
import { readKeyFile } from '@spdk-ts/keyring';
import { addressKey, type NvmeTarget, resolveTarget } from '@spdk-ts/nvme';
import { defaultUring, WorkerHost } from '@spdk-ts/reactor';
import { sockReactorEntry } from '@spdk-ts/sock';
import type { PerfOptions } from './options.ts';
import { type Entry, planLanes } from './plan.ts';
import type { Attached, LaneResult, LaneSpec } from './protocol.ts';
import { bucketLines, type LaneView, statsLines, summaryLines, tableLines } from './report.ts';

/** Buffers of a reactor are for Admin commands only: I/O has memory of its own. */
const pool = { small_count: 64, small_bytes: 8192, large_count: 8, large_bytes: 132 * 1024 };
const PROGRESS_MS = 1000;

type Print = (...lines: string[]) => void;

/** Runs nvme-perf to its end. Resolves with the exit status; rejects with an Error that says what is wrong. */
export async function runPerf(options: PerfOptions): Promise<number> {
  // Whoever read the output may be gone: that ends no test.
  process.stdout.on('error', () => {});
  const print: Print = (...lines) => void process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  print(...options.explained, 'Initializing NVMe Controllers');
  const host = await WorkerHost.start({
    cores: options.cores,
    mode: 'poll',
    uring: defaultUring,
    seed: options.seed,
    pool,
    shareableBuffers: options.targets.some(({ trtype }) => trtype === 'VFIOUSER'),
    plugins: [sockReactorEntry, new URL('./reactor.js', import.meta.url).href],
  });
  host.provide('nvme_perf', { print: (lines: readonly string[]) => print(...lines) });
  try {
    if (options.sock_impl !== null) await host.broadcast('sock', 'setImplementation', options.sock_impl);
    return await new Run(host, options, print).run();
  } finally {
    await host.stop();
  }
}

/** One test. */
class Run {
  private readonly host: WorkerHost;
  private readonly options: PerfOptions;
  private readonly print: Print;
  private terminated = false;

  constructor(host: WorkerHost, options: PerfOptions, print: Print) {
    this.host = host;
    this.options = options;
    this.print = print;
  }

  async run(): Promise<number> {
    const { host, options, print } = this;
    this.onSignals();
    const entries = await this.attachAll();
    const plans = await planLanes(host, options, entries, (line) => print(line));
    await Promise.all(plans.map((lanes, reactor) => host.call(reactor, 'nvme_perf', 'prepare', { lanes })));
    await host.call(0, 'nvme_perf', 'openUnused', options.num_unused_qpairs);
    if (this.terminated) return 1;
    print('Initialization complete. Launching workers.');
    const progress = this.showProgress();
    const params = { warmup_us: options.warmup_s * 1_000_000, time_us: options.time_s * 1_000_000 };
    const all = (await host.broadcast('nvme_perf', 'start', params)) as LaneResult[][];
    clearInterval(progress);
    const views = all.flatMap((results, reactor) =>
      results.map((result) => this.view(plans[reactor]!, result, host.reactors[reactor]!.lcore)),
    );
    this.report(views);
    return views.some(({ result }) => result.failure !== null) ? 1 : 0;
  }

  private view(lanes: readonly LaneSpec[], result: LaneResult, lcore: number): LaneView {
    return { spec: lanes.find(({ index }) => index === result.index)!, lcore, result };
  }

  private report(views: readonly LaneView[]): void {
    const { latency_level, transport_stats } = this.options;
    if (transport_stats) this.print(...statsLines(views));
    this.print(...tableLines(views));
    if (latency_level > 0) this.print(...summaryLines(views));
    if (latency_level > 1) this.print(...bucketLines(views));
  }

  /** Connects all that was named, and what discovery controllers name. */
  private async attachAll(): Promise<Entry[]> {
    const { options, host, print } = this;
    const entries: Entry[] = [];
    const waiting: NvmeTarget[] = [];
    for (const trid of options.targets) waiting.push(await resolveTarget(trid, this.nvmeOptions()));
    /** Discovery controllers may refer to each other, and to the same subsystems; what was named twice is loaded twice. */
    const found = new Set(waiting.map(({ trid }) => addressKey(trid)));
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      const attached = (await host.call(0, 'nvme_perf', 'attach', target)) as Attached;
      for (const one of attached.found) {
        const key = addressKey(one.trid);
        if (!found.has(key)) waiting.push(one);
        found.add(key);
      }
      if (attached.namespaces.length === 0) continue;
      print(`Attached to NVMeoF Controller at ${attached.name}`);
      const { ns } = target.trid;
      for (const namespace of attached.namespaces)
        if (ns === 0 || ns === namespace.nsid) entries.push({ attached, namespace });
    }
    return entries;
  }

  private nvmeOptions() {
    const { options } = this;
    const { io_queue_size, header_digest, data_digest, disable_sq_flow_control, keep_alive_timeout_ms } =
      options;
    const key = (path: string): string => (path === '' ? '' : readKeyFile(resolve(path)));
    return {
      ...{ psk: key(options.psk_path), dhchap_key: key(options.dhchap_key_path) },
      dhchap_ctrlr_key: key(options.dhchap_ctrlr_key_path),
      ...{ io_queue_size, header_digest, data_digest, disable_sq_flow_control },
      // Its reactors never sleep.
      interrupts: false,
      ...(keep_alive_timeout_ms !== null && { keep_alive_timeout_ms }),
    };
  }

  private showProgress(): NodeJS.Timeout {
    let before = 0;
    let since = performance.now();
    const timer = setInterval(async () => {
      const counts = (await this.host.broadcast('nvme_perf', 'completed')) as number[];
      const now = performance.now();
      const total = counts.reduce((sum, count) => sum + count, 0);
      const iops = (Math.max(0, total - before) * 1000) / (now - since);
      [before, since] = [total, now];
      const mibps = (iops * this.options.io_size) / (1024 * 1024);
      if (process.stdout.isTTY)
        process.stdout.write(`${iops.toFixed(0).padStart(9)} IOPS, ${mibps.toFixed(2).padStart(8)} MiB/s\r`);
    }, PROGRESS_MS);
    return timer;
  }

  /** The first signal ends the test, and prints what was measured; the second ends at once. */
  private onSignals(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => {
        if (this.terminated) process.exit(1);
        this.terminated = true;
        void this.host.broadcast('nvme_perf', 'terminate');
      });
  }
}
