import { registerReactorModule } from '@spdk-ts/bdev';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import type { StoredZones } from './context.ts';
import { ZoneBlockDevice } from './device.ts';
import { commitState, writeState } from './write-state.ts';

const plugin: ReactorPlugin = {
  name: 'bdev_zone_block',
  start(reactor) {
    registerReactorModule(reactor, {
      name: 'zone_block',
      instantiate: (description) => new ZoneBlockDevice(description, reactor),
    });
    return {
      format: (stored: StoredZones) => writeState(reactor, stored, true),
      commit: ({ id }: { id: number }) => commitState(reactor, id),
      save: (stored: StoredZones) => writeState(reactor, stored, false),
    };
  },
};
export default plugin;
