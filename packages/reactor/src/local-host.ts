import {
  BufferPool,
  type BufferPoolOptions,
  type Clock,
  FIRST_SHARED_REGION,
  MessageRing,
  Random,
  RegionTable,
} from '@spdk-ts/env';
import { native, nativeUnavailable } from '@spdk-ts/native';
import { allocateBuffers } from './buffer-memory.ts';
import { RemoteError } from './call-link.ts';
import type { ControlService, ReactorPlugin } from './control-link.ts';
import type { ReactorHost, ReactorInfo } from './host.ts';
import { Reactor } from './reactor.ts';
import { callService, startServices } from './reactor-service.ts';
import { Uring } from './uring.ts';
import { lockableBytes } from './worker-memory.ts';

const RING_CAPACITY = 256;

export interface LocalHostOptions {
  readonly count?: number;
  readonly clock: Clock;
  readonly seed?: number;
  readonly pool?: BufferPoolOptions;
  /** Buffers are memory with a descriptor, for controllers over vfio-user. Needs the addon. */
  readonly shareableBuffers?: boolean;
  /** Each reactor has an io_uring, entered once in each {@link LocalHost.poll}. Throws where there can be none. */
  readonly uring?: boolean;
  readonly plugins: readonly ReactorPlugin[];
}

const smallPool: BufferPoolOptions = {
  small_count: 256,
  small_bytes: 8 * 1024,
  large_count: 32,
  large_bytes: 132 * 1024,
};

/** Small: rings live until they are collected, and count against the limit of locked memory. */
const localRing = { entries: 256, cq_entries: 512 };

function openRing(regions: RegionTable, count: number, onWake: () => void): Uring {
  if (native === null) throw new Error(`no io_uring: the addon is ${nativeUnavailable}`);
  return new Uring(native, onWake, { regions, lockable_bytes: lockableBytes() / count }, localRing);
}

/**
 * Reactors that share the caller's thread and do nothing until they are polled: what tests and the simulator
 * drive, in virtual time if they like.
 */
export class LocalHost implements ReactorHost {
  readonly reactors: readonly ReactorInfo[];
  readonly local: readonly Reactor[];
  private readonly services = new Map<string, ControlService>();
  private regionIds = FIRST_SHARED_REGION;
  private stopped = false;

  static async start(options: LocalHostOptions): Promise<LocalHost> {
    const host = new LocalHost(options);
    for (const reactor of host.local) {
      if (reactor.index === 0) reactor.createThread('app_thread');
      await startServices(reactor, options.plugins, {
        tid: 0,
        uringUnavailable: reactor.ring === null ? 'reactors that share a thread have none' : '',
        uringFeatures: [],
        notPinned: 'reactors that share a thread are not pinned',
        shareableBuffers: options.shareableBuffers ?? false,
        sleeps: () => false,
        setMode: () => {},
        delay: async () => {
          for (let i = 0; i < 8; i++) host.poll();
          await Promise.resolve();
        },
      });
    }
    return host;
  }

  private constructor(options: LocalHostOptions) {
    const count = options.count ?? 1;
    const pool = options.pool ?? smallPool;
    const indices = Array.from({ length: count }, (_, index) => index);
    const rings = indices.map((from) =>
      indices.map((to) => (from === to ? undefined : new MessageRing(MessageRing.allocate(RING_CAPACITY)))),
    );
    let threadIds = 0;
    this.local = indices.map((index) => {
      const regions = new RegionTable();
      const memory = allocateBuffers(pool, options.shareableBuffers ?? false);
      regions.add(index, memory);
      const ring = options.uring ? openRing(regions, count, () => this.local[index]!.wake()) : null;
      const serve = async (service: string, method: string, params: unknown): Promise<unknown> => {
        const fn = this.services.get(service)?.[method];
        if (fn === undefined) throw new Error(`the control thread has no ${service}.${method}`);
        return await fn.call(this.services.get(service), params, index);
      };
      return new Reactor({
        index,
        count,
        lcore: index,
        clock: options.clock,
        random: new Random((options.seed ?? 1) + index),
        regions,
        buffers: new BufferPool(index, memory, pool),
        ring,
        control: { call: serve, notify: (s, m, p) => void serve(s, m, p) },
        inbound: rings.map((row) => row[index]),
        outbound: rings[index]!,
        wakeOther: () => {},
        nextThreadId: () => ++threadIds,
      });
    });
    this.reactors = this.local.map(({ index, lcore }) => ({ index, lcore }));
  }

  /** One iteration of every reactor. Returns the work done. */
  poll(): number {
    let work = 0;
    for (const reactor of this.local) {
      if (reactor.ring !== null) work += reactor.ring.enter();
      work += reactor.pollOnce();
    }
    return work;
  }

  provide(service: string, implementation: ControlService): void {
    this.services.set(service, implementation);
  }

  allocateRegionId(): number {
    return this.regionIds++;
  }

  async call(reactor: number, service: string, method: string, params?: unknown): Promise<unknown> {
    const found = this.local[reactor];
    if (found === undefined) throw new RangeError(`there is no reactor ${reactor}`);
    try {
      return await callService(found, service, method, params);
    } catch (error) {
      const { message, code } = error as Error & { code?: number | string };
      throw new RemoteError(message, code);
    }
  }

  broadcast(service: string, method: string, params?: unknown): Promise<unknown[]> {
    return Promise.all(this.local.map((reactor) => this.call(reactor.index, service, method, params)));
  }

  async load(url: string): Promise<void> {
    await this.broadcast('reactor', 'load', url);
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    await this.broadcast('reactor', 'exit');
  }
}
