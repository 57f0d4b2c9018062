import { type BdevDescription, getBdevService } from '@spdk-ts/bdev';
import type { Reactor } from '@spdk-ts/reactor';
import { StackedDevice } from '@spdk-ts/vbdev';
import { ZoneBlockChannel } from './channel.ts';
import type { ZoneBlockContext } from './context.ts';
import { ZoneStore } from './zone-store.ts';

/** A zone_block bdev on one reactor. */
export class ZoneBlockDevice extends StackedDevice<ZoneBlockChannel> {
  private readonly store: ZoneStore;

  constructor(description: BdevDescription, reactor: Reactor) {
    const store = new ZoneStore(description.context as ZoneBlockContext, reactor);
    super(description, reactor, (base, _device, thread) => {
      const { memory, zeroRegion } = getBdevService(reactor);
      return new ZoneBlockChannel(base, store, thread, memory, zeroRegion);
    });
    this.store = store;
  }

  destroy(): void {
    this.store.close();
  }
}
