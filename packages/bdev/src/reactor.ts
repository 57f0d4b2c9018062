import type { Reactor, ReactorPlugin } from '@spdk-ts/reactor';
import { BdevService } from './bdev-service.ts';

/** The block device layer's entry on each reactor. */
const plugin: ReactorPlugin = {
  name: 'bdev',
  start: (reactor: Reactor) => new BdevService(reactor).calls(),
};
export default plugin;
