import {
  type BdevChannel,
  type BdevControlPlugin,
  type BdevDescription,
  BdevRegistry,
  bdevReactorEntry,
  getBdevService,
  registerBdevRpcs,
} from '@spdk-ts/bdev';
import { ManualClock } from '@spdk-ts/env';
import { LocalHost, type Reactor, type ReactorPlugin } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { type Method, registerSchema } from '@spdk-ts/rpc-schema';

/** A call of JSON-RPC that makes a bdev. */
export interface BdevCall {
  readonly method: string;
  readonly params?: Record<string, unknown>;
}

/** I/O objects of the bench: all of them are counted before and after. */
export const IO_OBJECTS = 1024;
/** Buffers of each reactor: few, so that there are too few at times. */
export const pool = { small_count: 96, small_bytes: 8 * 1024, large_count: 24, large_bytes: 132 * 1024 };

const TICKS_PER_POLL = 10_000;
const TICKS_WHEN_IDLE = 1_000_000;
/** Iterations without work after which time goes faster. */
const IDLE_POLLS = 64;
/** How long anything may take in the end, ms: the kernel may be slow, what never ends is an error. */
const PATIENCE_MS = 30_000;

async function reactorPlugin(url: string): Promise<ReactorPlugin> {
  return ((await import(url)) as { default: ReactorPlugin }).default;
}

/** Makes the methods known that a module describes itself, beside those of the tree. */
export function registerMethods(module: BdevControlPlugin): void {
  const { methods = [] } = module as { methods?: readonly Method[] };
  registerSchema(...methods);
}

/** Two reactors in virtual time on the caller's thread, with every bdev module. */
export class Bench {
  readonly clock = new ManualClock();
  readonly rpc = new RpcServer({ checkResults: true });
  readonly host: LocalHost;
  readonly bdevs: BdevRegistry;
  /** What modules keep on its reactors for good is there. */
  warm = false;
  private idle = 0;

  /** `uring`: the reactors have rings. */
  static async start(modules: readonly BdevControlPlugin[], uring: boolean): Promise<Bench> {
    const clock = new ManualClock();
    const plugins = await Promise.all(
      [bdevReactorEntry, ...modules.map((module) => module.reactorEntry)].map(reactorPlugin),
    );
    const bench = new Bench(await LocalHost.start({ clock, plugins, uring, count: 2, pool }), clock);
    const { host, bdevs, rpc } = bench;
    registerBdevRpcs(rpc, bdevs, host, clock);
    for (const module of modules) {
      registerMethods(module);
      await module.setup({ host, bdevs, rpc });
    }
    host.local[1]!.createThread('second_thread');
    return bench;
  }

  private constructor(host: LocalHost, clock: ManualClock) {
    this.host = host;
    this.clock = clock;
    this.bdevs = new BdevRegistry(host, { bdev_io_pool_size: IO_OBJECTS });
  }

  reactor(index: number): Reactor {
    return this.host.local[index]!;
  }

  channel(description: BdevDescription, index: number): BdevChannel {
    const reactor = this.reactor(index);
    const { id, hides_metadata } = description;
    return getBdevService(reactor).getChannel(id, reactor.threads[0]!, hides_metadata);
  }

  /** One iteration of the reactors. */
  step(): void {
    this.idle = this.host.poll() > 0 ? 0 : this.idle + 1;
    this.clock.advance(this.idle > IDLE_POLLS ? TICKS_WHEN_IDLE : TICKS_PER_POLL);
  }

  /** Some iterations, and the event loop's turn. */
  async poll(): Promise<void> {
    for (let i = 0; i < 4; i++) this.step();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets go what the event loop or the kernel still holds, such as the answers to cancelled requests. */
  async quiet(): Promise<void> {
    for (let i = 0; i < 4; i++) await this.poll();
  }

  /** Polls until something is so. Throws an Error that names it if it never is. */
  async until(what: string, so: () => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!so()) {
      if (performance.now() > end) throw new Error(`waited ${PATIENCE_MS / 1000} s for ${what}`);
      await this.poll();
    }
  }

  /** Polls until a promise has settled. */
  async settled<T>(what: string, promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    await this.until(what, () => settled);
    return await promise;
  }

  call(method: string, params?: Record<string, unknown>): Promise<unknown> {
    return this.settled(`the answer of ${method}`, this.rpc.call(method, params));
  }

  has(method: string): boolean {
    return this.rpc.methods().includes(method);
  }

  async stop(): Promise<void> {
    await this.settled('the end of every bdev', this.bdevs.stop());
    await this.settled('the end of the reactors', this.host.stop());
  }
}
