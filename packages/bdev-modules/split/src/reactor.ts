import { registerReactorModule } from '@spdk-ts/bdev';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import { partChannel, stackedReactorModule } from '@spdk-ts/vbdev';

const module = stackedReactorModule('split', (base, { description }) => partChannel(base, description));

const plugin: ReactorPlugin = {
  name: 'bdev_split',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
