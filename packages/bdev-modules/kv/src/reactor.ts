import {
  type BdevDescription,
  type BdevInstance,
  type BdevReactorModule,
  getBdevService,
  registerReactorModule,
} from '@spdk-ts/bdev';
import type { Reactor, ReactorPlugin } from '@spdk-ts/reactor';
import { BaseIo } from './base-io.ts';
import type { LogContext } from './context.ts';
import { LogChannel } from './log-channel.ts';
import {
  type FormatRequest,
  type LogRequest,
  makeLog,
  probe,
  type RecoverRequest,
  recover,
} from './log-loader.ts';
import { LogState } from './log-state.ts';

/** The logs' channels on one reactor, by base: those, too, that still end what they do there when they are destroyed. */
class Channels {
  private readonly counts = new Map<number, number>();
  private waiting: { readonly base_id: number; readonly resolve: () => void }[] = [];

  change(base_id: number, by: number): void {
    this.counts.set(base_id, (this.counts.get(base_id) ?? 0) + by);
    if (this.counts.get(base_id) !== 0) return;
    this.counts.delete(base_id);
    for (const waiter of this.waiting) if (waiter.base_id === base_id) waiter.resolve();
    this.waiting = this.waiting.filter((waiter) => waiter.base_id !== base_id);
  }

  /** Resolves when there is none. */
  gone(base_id: number): Promise<void> {
    if (!this.counts.has(base_id)) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ base_id, resolve }));
  }
}

function moduleWith(channels: Channels): BdevReactorModule {
  return {
    name: 'kv',
    instantiate(description: BdevDescription, reactor: Reactor): BdevInstance {
      const { base_id, format, shared } = description.context as LogContext;
      const service = getBdevService(reactor);
      return {
        createChannel(thread) {
          const base = new BaseIo(service.getChannel(base_id, thread));
          channels.change(base_id, 1);
          const gone = (): void => channels.change(base_id, -1);
          return new LogChannel(thread, base, new LogState(format, shared), service.zeroRegion, gone);
        },
      };
    },
  };
}

const plugin: ReactorPlugin = {
  name: 'bdev_kv',
  start(reactor) {
    const channels = new Channels();
    registerReactorModule(reactor, moduleWith(channels));
    return {
      probe: (request: LogRequest) => probe(reactor, request),
      format: (request: FormatRequest) => makeLog(reactor, request),
      gone: ({ base_id }: LogRequest) => channels.gone(base_id),
      recover: (request: RecoverRequest) => recover(reactor, request),
    };
  },
};
export default plugin;
