import type { BufferPoolOptions } from '@spdk-ts/env';
import { allocateBuffers } from './buffer-memory.ts';
import type { ReactorPlugin, ReactorService } from './control-link.ts';
import { loadPlugin } from './load-plugin.ts';
import type { Reactor } from './reactor.ts';
import { reactorStats, threadChannels, threadPollers, threadStats } from './statistics.ts';
import type { UringFeature } from './uring-features.ts';

/** How long a logical thread may take to end, ms: what SPDK gives it. */
export const THREAD_EXIT_TIMEOUT_MS = 5000;

/** What the loop around a reactor tells and does for its own service. */
export interface ReactorEnvironment {
  readonly tid: number;
  /** Why the reactor has no io_uring; empty if it has one. */
  readonly uringUnavailable: string;
  /** What its io_uring can do; empty without one. */
  readonly uringFeatures: readonly UringFeature[];
  /** Why the reactor is not bound to its core; empty if it is. */
  readonly notPinned: string;
  /** Its buffers are memory that other processes can map. */
  readonly shareableBuffers: boolean;
  /** True if the reactor sleeps when idle. */
  sleeps(): boolean;
  setMode(mode: string): void;
  /** Resolves after some milliseconds. */
  delay(ms: number): Promise<void>;
}

/** Starts the plugins' services in order; {@link stopServices} ends them in the opposite order. */
export async function startServices(
  reactor: Reactor,
  plugins: readonly ReactorPlugin[],
  environment: ReactorEnvironment,
): Promise<void> {
  reactor.services.set('reactor', builtin(reactor, environment));
  for (const plugin of plugins) await startService(reactor, plugin);
}

async function startService(reactor: Reactor, plugin: ReactorPlugin): Promise<void> {
  if (reactor.services.has(plugin.name)) throw new Error(`two plugins are called ${plugin.name}`);
  reactor.services.set(plugin.name, await plugin.start(reactor));
}

async function stopServices(reactor: Reactor, environment: ReactorEnvironment): Promise<string[]> {
  const names = [...reactor.services.keys()].reverse().filter((name) => name !== 'reactor');
  for (const name of names) await reactor.services.get(name)?.['stop']?.(undefined);
  const left = new Set(reactor.threads);
  for (const thread of left) if (!thread.exited) thread.exit(() => left.delete(thread));
  for (let waited = 0; left.size > 0 && waited < THREAD_EXIT_TIMEOUT_MS; waited += 5)
    await environment.delay(5);
  return [...left].map((thread) => thread.name);
}

function builtin(reactor: Reactor, environment: ReactorEnvironment): ReactorService {
  let ending = false;
  return {
    uringUnavailable: () => environment.uringUnavailable,
    uringFeatures: () => environment.uringFeatures,
    notPinned: () => environment.notPinned,
    stats: () => reactorStats(reactor, environment.tid, environment.sleeps()),
    threadStats: () => reactor.threads.map(threadStats),
    threadPollers: () => reactor.threads.map(threadPollers),
    threadChannels: () => reactor.threads.map(threadChannels),
    setMode: (mode: string) => environment.setMode(mode),
    load: async (url: string) => {
      const plugin = await loadPlugin(url);
      if (ending) throw new Error(`reactor ${reactor.index} is ending: ${plugin.name} is not started`);
      await startService(reactor, plugin);
    },
    buffers: () => ({
      small_free: reactor.buffers.smallFree,
      large_free: reactor.buffers.largeFree,
      small_retry: reactor.buffers.smallRetries,
      large_retry: reactor.buffers.largeRetries,
      small_gets: reactor.buffers.smallGets,
      large_gets: reactor.buffers.largeGets,
      ...reactor.buffers.options,
    }),
    setPool: (options: BufferPoolOptions) => {
      const memory = allocateBuffers(options, environment.shareableBuffers);
      reactor.buffers.reconfigure(memory, options);
      reactor.regions.remove(reactor.index);
      reactor.regions.add(reactor.index, memory);
    },
    setCpumask: ({ id, cores }: { id: number; cores: number[] }) => {
      const thread = reactor.threads.find((other) => other.id === id);
      if (thread === undefined) return false;
      thread.cpumask = [...cores];
      return true;
    },
    /** Ends all services and threads; the names of threads that did not end in time. */
    exit: () => {
      ending = true;
      return stopServices(reactor, environment);
    },
  };
}

/** Asks one of the reactor's services. Throws if there is no such service or method. */
export async function callService(
  reactor: Reactor,
  service: string,
  method: string,
  params: unknown,
): Promise<unknown> {
  const found = reactor.services.get(service);
  if (found === undefined) throw new Error(`reactor ${reactor.index} has no service ${service}`);
  const fn = found[method];
  if (fn === undefined) throw new Error(`service ${service} has no method ${method}`);
  return await fn.call(found, params);
}
