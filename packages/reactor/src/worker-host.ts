import type { Worker } from 'node:worker_threads';
import { type BufferPoolOptions, defaultBufferPool, FIRST_SHARED_REGION, MessageRing } from '@spdk-ts/env';
import { Logger, logState } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import { CallLink, type CallPort } from './call-link.ts';
import type { ControlService } from './control-link.ts';
import type { ReactorHost, ReactorInfo } from './host.ts';
import { type ReactorMode, STATE_HEARTBEAT_MS, STATE_SLEEPING, STATE_WORDS } from './node-loop.ts';
import type { UringOptions } from './uring.ts';
import type { ReactorWorkerData } from './worker-main.ts';
import { takeWorker } from './worker-start.ts';

const RING_CAPACITY = 1024;
/** How often the host looks whether its reactors still poll, ms. */
const STALL_CHECK_MS = 1000;
/** How long a worker may take to end after its services have, ms. */
const EXIT_TIMEOUT_MS = 10_000;

export interface WorkerHostOptions {
  /** Cores, one reactor for each. */
  readonly cores: readonly number[];
  readonly mode?: ReactorMode;
  readonly seed?: number;
  readonly pool?: BufferPoolOptions;
  /** Buffers are memory with a descriptor, for controllers over vfio-user. Needs the addon. */
  readonly shareableBuffers?: boolean;
  /** Sizes of each reactor's io_uring; null for the portable path. */
  readonly uring?: UringOptions | null;
  /** URLs of modules whose default export is a ReactorPlugin, in the order they start. */
  readonly plugins: readonly string[];
  /** Called if a reactor throws or ends by itself. The default logs the stack and ends the process. */
  readonly onFatal?: (error: Error, reactor: number) => void;
}

interface Seat extends ReactorInfo {
  readonly worker: Worker;
  readonly link: CallLink;
  readonly state: Int32Array;
  readonly ready: Promise<void>;
  readonly exited: Promise<void>;
  heartbeat: number;
  stalled: boolean;
}

/** The reactors of a process, each on a worker thread. */
export class WorkerHost implements ReactorHost {
  readonly reactors: readonly ReactorInfo[];
  private readonly seats: Seat[];
  private readonly services = new Map<string, ControlService>();
  private readonly log = new Logger('reactor');
  private readonly watch: NodeJS.Timeout;
  private readonly onFatal: (error: Error, reactor: number) => void;
  private regionIds = FIRST_SHARED_REGION;
  private stopping = false;

  /** Starts the reactors. Resolves when every one of them polls and all plugins have started. */
  static async start(options: WorkerHostOptions): Promise<WorkerHost> {
    const host = new WorkerHost(options);
    await Promise.all(host.seats.map((seat) => seat.ready));
    return host;
  }

  private constructor(options: WorkerHostOptions) {
    const count = options.cores.length;
    this.onFatal =
      options.onFatal ??
      ((error, reactor) => {
        this.log.error(`reactor ${reactor} failed: ${error.stack ?? error.message}`);
        process.exit(1);
      });
    const allowed = native?.allowedCpus() ?? [];
    const shared = {
      count,
      mode: options.mode ?? 'adaptive',
      epoch_ms: performance.timeOrigin,
      seed: options.seed ?? 1,
      pool: options.pool ?? defaultBufferPool,
      shareableBuffers: options.shareableBuffers ?? false,
      uring: options.uring ?? null,
      states: options.cores.map(() => new SharedArrayBuffer(STATE_WORDS * 4)),
      threadIds: new SharedArrayBuffer(4),
      log: logState(),
      plugins: options.plugins,
      rings: options.cores.map((_, from) =>
        options.cores.map((_, to) => (from === to ? null : MessageRing.allocate(RING_CAPACITY))),
      ),
    };
    this.seats = options.cores.map((lcore, index) => {
      const data: ReactorWorkerData = { ...shared, index, lcore, pin: allowed.includes(lcore) };
      return this.startWorker(data);
    });
    this.reactors = this.seats.map(({ index, lcore }) => ({ index, lcore }));
    this.watch = setInterval(() => this.reportStalls(), STALL_CHECK_MS);
    this.watch.unref();
  }

  private startWorker(data: ReactorWorkerData): Seat {
    const worker = takeWorker();
    let markReady = (): void => {};
    let failReady = (_: Error): void => {};
    const ready = new Promise<void>((resolve, reject) => {
      markReady = resolve;
      failReady = reject;
    });
    const link = new CallLink(
      worker as CallPort,
      (service, method, params) => this.serve(service, method, params, data.index),
      () => markReady(),
    );
    worker.postMessage(data);
    worker.on('error', (error) => {
      const failure = error instanceof Error ? error : new Error(String(error));
      failReady(failure);
      link.close(`reactor ${data.index} failed: ${failure.message}`);
      this.onFatal(failure, data.index);
    });
    const exited = new Promise<void>((resolve) => {
      worker.on('exit', (code) => {
        link.close(`reactor ${data.index} has ended`);
        if (!this.stopping) this.onFatal(new Error(`the worker ended with code ${code}`), data.index);
        resolve();
      });
    });
    const state = new Int32Array(data.states[data.index]!);
    return {
      ...{ index: data.index, lcore: data.lcore, worker, link, state, exited, ready },
      ...{ heartbeat: -1, stalled: false },
    };
  }

  private async serve(service: string, method: string, params: unknown, reactor: number): Promise<unknown> {
    const fn = this.services.get(service)?.[method];
    if (fn === undefined) throw new Error(`the control thread has no ${service}.${method}`);
    return await fn.call(this.services.get(service), params, reactor);
  }

  private reportStalls(): void {
    for (const seat of this.seats) {
      const asleep = Atomics.load(seat.state, STATE_SLEEPING) !== 0;
      const heartbeat = seat.state[STATE_HEARTBEAT_MS]!;
      const stalled = !asleep && heartbeat === seat.heartbeat;
      if (stalled && !seat.stalled)
        this.log.warn(`reactor ${seat.index} (core ${seat.lcore}) has not polled for over a second`);
      if (!stalled && seat.stalled) this.log.notice(`reactor ${seat.index} (core ${seat.lcore}) polls again`);
      seat.stalled = stalled;
      seat.heartbeat = heartbeat;
    }
  }

  provide(service: string, implementation: ControlService): void {
    this.services.set(service, implementation);
  }

  allocateRegionId(): number {
    return this.regionIds++;
  }

  call(reactor: number, service: string, method: string, params?: unknown): Promise<unknown> {
    const seat = this.seats[reactor];
    if (seat === undefined) return Promise.reject(new RangeError(`there is no reactor ${reactor}`));
    return seat.link.call(service, method, params);
  }

  broadcast(service: string, method: string, params?: unknown): Promise<unknown[]> {
    return Promise.all(this.seats.map((seat) => seat.link.call(service, method, params)));
  }

  async load(url: string): Promise<void> {
    await this.broadcast('reactor', 'load', url);
  }

  async stop(): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    clearInterval(this.watch);
    const late = (await this.broadcast('reactor', 'exit')) as string[][];
    late.forEach((names, reactor) => {
      if (names.length > 0) this.log.warn(`reactor ${reactor}: threads did not end: ${names.join(', ')}`);
    });
    await Promise.all(
      this.seats.map(async (seat) => {
        const timer = setTimeout(() => void seat.worker.terminate(), EXIT_TIMEOUT_MS);
        await seat.worker.terminate();
        await seat.exited;
        clearTimeout(timer);
      }),
    );
  }
}
