/** Entry of a reactor's worker thread. */
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { BufferPool, MessageRing, Random, RegionTable, systemClock } from '@spdk-ts/env';
import { adoptLogState, Logger } from '@spdk-ts/log';
import { native, nativeUnavailable } from '@spdk-ts/native';
import { allocateBuffers } from './buffer-memory.ts';
import { CallLink, type CallPort } from './call-link.ts';
import { loadPlugin } from './load-plugin.ts';
import { NodeLoop, type ReactorMode, wakeLoop } from './node-loop.ts';
import { Reactor } from './reactor.ts';
import { callService, startServices } from './reactor-service.ts';
import { Uring, type UringOptions } from './uring.ts';
import { explainRefusal, uringFeatures } from './uring-features.ts';
import { lockableBytes } from './worker-memory.ts';

/** What the control thread hands to a reactor's worker, as its first message. */
export interface ReactorWorkerData {
  readonly index: number;
  readonly count: number;
  readonly lcore: number;
  readonly pin: boolean;
  readonly mode: ReactorMode;
  readonly epoch_ms: number;
  readonly seed: number;
  readonly pool: import('@spdk-ts/env').BufferPoolOptions;
  readonly shareableBuffers: boolean;
  /** rings[from][to] */
  readonly rings: (SharedArrayBuffer | null)[][];
  readonly states: SharedArrayBuffer[];
  /** Sizes of the reactor's io_uring; null: the portable path. */
  readonly uring: UringOptions | null;
  readonly threadIds: SharedArrayBuffer;
  readonly log: SharedArrayBuffer;
  /** URLs of modules whose default export is a ReactorPlugin. */
  readonly plugins: readonly string[];
}

/** The reactor's ring, or why it has none. */
function openRing(
  data: ReactorWorkerData,
  regions: RegionTable,
  onWake: () => void,
): { ring: Uring | null; why: string } {
  if (data.uring === null) return { ring: null, why: 'switched off' };
  if (native === null) return { ring: null, why: `needs the native addon, which is ${nativeUnavailable}` };
  try {
    const memory = { regions, lockable_bytes: lockableBytes() / data.count };
    return { ring: new Uring(native, onWake, memory, data.uring), why: '' };
  } catch (error) {
    return { ring: null, why: explainRefusal(error as Error & { code?: string }) };
  }
}

/** Binds the thread to its core: why that could not be, or an empty text. */
function pin(data: ReactorWorkerData): string {
  if (native === null) return `needs the native addon, which is ${nativeUnavailable}`;
  if (!data.pin) return `core ${data.lcore} is not one that this process may use`;
  try {
    native.pinThread(data.lcore);
    return '';
  } catch (error) {
    return `core ${data.lcore}: ${(error as Error).message}`;
  }
}

async function main(): Promise<void> {
  const [data] = (await once(parentPort!, 'message')) as [ReactorWorkerData];
  adoptLogState(data.log);
  const log = new Logger('reactor');
  native?.nameThread(`reactor_${data.lcore}`);
  const notPinned = pin(data);
  if (data.pin && native !== null && notPinned !== '')
    log.warn(`reactor ${data.index} is not pinned to its core: ${notPinned}`);
  const states = data.states.map((memory) => new Int32Array(memory));
  const threadIds = new Int32Array(data.threadIds);
  const ringAt = (memory: SharedArrayBuffer | null | undefined): MessageRing | undefined =>
    memory == null ? undefined : new MessageRing(memory);

  const regions = new RegionTable();
  const memory = allocateBuffers(data.pool, data.shareableBuffers);
  regions.add(data.index, memory);

  let reactor: Reactor;
  const { ring, why: uringUnavailable } = openRing(data, regions, () => reactor.wake());
  const link = new CallLink(parentPort as CallPort, (service, method, params) => {
    reactor.wake(); // a call may give pollers work, and one that takes too long must not look like sleep
    return callService(reactor, service, method, params);
  });
  reactor = new Reactor({
    index: data.index,
    count: data.count,
    lcore: data.lcore,
    clock: systemClock(data.epoch_ms),
    random: new Random(data.seed + data.index),
    regions,
    buffers: new BufferPool(data.index, memory, data.pool),
    control: link,
    ring,
    inbound: data.rings.map((row) => ringAt(row[data.index])),
    outbound: data.rings[data.index]!.map(ringAt),
    wakeOther: (other) => wakeLoop(states[other]!),
    nextThreadId: () => Atomics.add(threadIds, 0, 1) + 1,
  });
  const loop = new NodeLoop(reactor, data.mode, states[data.index]!);
  const plugins = await Promise.all(data.plugins.map(loadPlugin));
  if (data.index === 0) reactor.createThread('app_thread');
  await startServices(reactor, plugins, {
    // "<pid>/task/<tid>": the calling thread's, with or without the addon
    tid: Number(readlinkSync('/proc/thread-self').split('/').at(-1)),
    uringUnavailable,
    uringFeatures: ring === null ? [] : uringFeatures(ring),
    notPinned,
    shareableBuffers: data.shareableBuffers,
    sleeps: () => loop.mode === 'interrupt',
    setMode: (mode) => {
      loop.mode = mode as ReactorMode;
      reactor.wake();
    },
    delay: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  });
  loop.start();
  parentPort!.postMessage({ ready: true });
}

await main();
