import { type BdevDescription, type BdevInstance, getBdevService, type ModuleChannel } from '@spdk-ts/bdev';
import { attachSharedMemory } from '@spdk-ts/env';
import { KvIndex } from '@spdk-ts/kv';
import type { Reactor, Thread } from '@spdk-ts/reactor';
import type { KvMallocContext } from './context.ts';
import { KvMallocChannel } from './kv-channel.ts';
import { KvPages } from './kv-pages.ts';
import { Segments } from './segments.ts';

/** A key-value bdev in memory on one reactor. */
export class KvMallocInstance implements BdevInstance {
  private readonly reactor: Reactor;
  private readonly description: BdevDescription;
  private readonly context: KvMallocContext;

  constructor(description: BdevDescription, reactor: Reactor) {
    this.reactor = reactor;
    this.description = description;
    this.context = description.context as KvMallocContext;
    for (const { region, memory } of this.context.segments)
      reactor.regions.add(region, attachSharedMemory(memory));
  }

  createChannel(thread: Thread): ModuleChannel {
    const { segments, index, next, seed } = this.context;
    const { kv, block_size } = this.description;
    const { memory } = getBdevService(this.reactor);
    const keys = new KvIndex(index, kv!.max_num_keys, seed);
    const space = new Segments(memory, segments);
    const pages = new KvPages(keys.words, keys.user, new Int32Array(next), block_size, memory, space);
    return new KvMallocChannel(thread, keys, pages);
  }

  destroy(): void {
    for (const { region } of this.context.segments) this.reactor.regions.remove(region);
  }
}
