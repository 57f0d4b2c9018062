import { type BdevReactorModule, registerReactorModule } from '@spdk-ts/bdev';
import { FileChannel } from '@spdk-ts/file-io';
import { Logger } from '@spdk-ts/log';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import { AioEngine } from './aio-engine.ts';
import type { AioContext } from './context.ts';

const log = new Logger('bdev_aio');
const module: BdevReactorModule = {
  name: 'aio',
  instantiate: (description) => ({
    createChannel: (thread) =>
      new FileChannel(
        description,
        log,
        (owner) => new AioEngine(description.context as AioContext, thread, owner),
      ),
  }),
};

const plugin: ReactorPlugin = {
  name: 'bdev_aio',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
