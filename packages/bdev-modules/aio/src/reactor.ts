import { type BdevReactorModule, registerReactorModule } from '@spdk-ts/bdev';
import { aioInstance } from '@spdk-ts/file-io';
import { Logger } from '@spdk-ts/log';
import type { ReactorPlugin } from '@spdk-ts/reactor';

const log = new Logger('bdev_aio');
const module: BdevReactorModule = {
  name: 'aio',
  instantiate: (description) => aioInstance(description, log),
};

const plugin: ReactorPlugin = {
  name: 'bdev_aio',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
