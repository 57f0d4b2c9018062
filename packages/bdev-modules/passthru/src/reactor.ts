import { registerReactorModule } from '@spdk-ts/bdev';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import { StackedChannel, stackedReactorModule } from '@spdk-ts/vbdev';

/** Hands every I/O to its base: the least that a stacked module can be. */
const module = stackedReactorModule('passthru', (base) => new StackedChannel(base, 0));

const plugin: ReactorPlugin = {
  name: 'bdev_passthru',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
