import { type BdevReactorModule, registerReactorModule } from '@spdk-ts/bdev';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import { FileChannel } from './node-file-channel.ts';

const module: BdevReactorModule = {
  name: 'file',
  instantiate: (description) => ({ createChannel: (thread) => new FileChannel(description, thread) }),
};

const plugin: ReactorPlugin = {
  name: 'bdev_file',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
