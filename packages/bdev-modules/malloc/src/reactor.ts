import {
  type BdevDescription,
  type BdevInstance,
  type BdevReactorModule,
  getBdevService,
  type ModuleChannel,
  registerReactorModule,
} from '@spdk-ts/bdev';
import { attachSharedMemory } from '@spdk-ts/env';
import type { Reactor, ReactorPlugin, Thread } from '@spdk-ts/reactor';
import { MallocChannel } from './channel.ts';
import type { MallocContext } from './context.ts';
import { Segments } from './segments.ts';

class MallocInstance implements BdevInstance {
  private readonly reactor: Reactor;
  private readonly segments: Segments;
  private readonly block_size: number;
  private regions: readonly number[] = [];

  constructor(description: BdevDescription, reactor: Reactor) {
    const { segments } = description.context as MallocContext;
    this.reactor = reactor;
    this.block_size = description.block_size;
    this.segments = new Segments(getBdevService(reactor).memory, segments);
    this.addRegions(description);
  }

  private addRegions(description: BdevDescription): void {
    const { segments } = description.context as MallocContext;
    for (const { region, memory } of segments)
      if (!this.regions.includes(region)) this.reactor.regions.add(region, attachSharedMemory(memory));
    const kept = segments.map(({ region }) => region);
    for (const region of this.regions) if (!kept.includes(region)) this.reactor.regions.remove(region);
    this.regions = kept;
  }

  createChannel(thread: Thread): ModuleChannel {
    return new MallocChannel(thread, getBdevService(this.reactor).memory, this.segments, this.block_size);
  }

  update(description: BdevDescription): void {
    this.addRegions(description);
    this.segments.set((description.context as MallocContext).segments);
  }

  destroy(): void {
    for (const region of this.regions) this.reactor.regions.remove(region);
  }
}

const module: BdevReactorModule = {
  name: 'malloc',
  instantiate: (description, reactor) => new MallocInstance(description, reactor),
};

const plugin: ReactorPlugin = {
  name: 'bdev_malloc',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
