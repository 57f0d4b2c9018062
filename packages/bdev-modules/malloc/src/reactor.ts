import {
  type BdevDescription,
  type BdevInstance,
  type BdevReactorModule,
  getBdevService,
  type ModuleChannel,
  registerReactorModule,
  ZonedChannel,
} from '@spdk-ts/bdev';
import { attachSharedMemory } from '@spdk-ts/env';
import type { Reactor, ReactorPlugin, Thread } from '@spdk-ts/reactor';
import { DISCARD_BYTES, MallocChannel, UNMAP_SLICE_BYTES } from './channel.ts';
import type { MallocContext } from './context.ts';
import { KvMallocInstance } from './kv-instance.ts';
import { MallocMetadataChannel } from './metadata-channel.ts';
import { Segments } from './segments.ts';

class MallocInstance implements BdevInstance {
  private readonly reactor: Reactor;
  private readonly description: BdevDescription;
  private readonly segments: Segments;
  private readonly md_segments: Segments;
  private regions: readonly number[] = [];

  constructor(description: BdevDescription, reactor: Reactor) {
    const { segments, md_segments } = description.context as MallocContext;
    const { memory } = getBdevService(reactor);
    this.reactor = reactor;
    this.description = description;
    this.segments = new Segments(memory, segments);
    this.md_segments = new Segments(memory, md_segments);
    this.addRegions(description);
  }

  private addRegions(description: BdevDescription): void {
    const context = description.context as MallocContext;
    const segments = [...context.segments, ...context.md_segments];
    for (const { region, memory } of segments)
      if (!this.regions.includes(region)) {
        this.reactor.regions.add(region, attachSharedMemory(memory));
        // Unmap gives pages back: a ring that had them pinned would go on with those.
        this.reactor.regions.neverPin(region);
      }
    const kept = segments.map(({ region }) => region);
    for (const region of this.regions) if (!kept.includes(region)) this.reactor.regions.remove(region);
    this.regions = kept;
  }

  createChannel(thread: Thread): ModuleChannel {
    const { memory } = getBdevService(this.reactor);
    const { description, segments, md_segments } = this;
    const { block_size } = description;
    if (description.md_size > 0)
      return new MallocMetadataChannel(thread, memory, segments, description, md_segments);
    const channel = new MallocChannel(thread, memory, segments, block_size);
    const { zones } = description.context as MallocContext;
    if (zones === null) return channel;
    const clear = (block: number, blocks: number): void => {
      const bytes = blocks * block_size;
      if (bytes >= DISCARD_BYTES) segments.discard(block * block_size, bytes);
      else segments.clear(block * block_size, bytes);
    };
    return new ZonedChannel(thread, memory, channel, zones, clear, UNMAP_SLICE_BYTES / block_size);
  }

  update(description: BdevDescription): void {
    this.addRegions(description);
    const { segments, md_segments } = description.context as MallocContext;
    this.segments.set(segments);
    this.md_segments.set(md_segments);
  }

  destroy(): void {
    for (const region of this.regions) this.reactor.regions.remove(region);
  }
}

const module: BdevReactorModule = {
  name: 'malloc',
  instantiate: (description, reactor) =>
    description.kv === null
      ? new MallocInstance(description, reactor)
      : new KvMallocInstance(description, reactor),
};

const plugin: ReactorPlugin = {
  name: 'bdev_malloc',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
