import { type BdevReactorModule, registerReactorModule } from '@spdk-ts/bdev';
import { fileInstance } from '@spdk-ts/file-io';
import { Logger } from '@spdk-ts/log';
import type { ReactorPlugin } from '@spdk-ts/reactor';

const log = new Logger('bdev_file');
const module: BdevReactorModule = {
  name: 'file',
  instantiate: (description, reactor) => fileInstance(description, reactor, log),
};

const plugin: ReactorPlugin = {
  name: 'bdev_file',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
