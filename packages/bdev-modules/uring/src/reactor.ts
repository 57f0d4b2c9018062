import { BdevError, type BdevReactorModule, Errno, registerReactorModule } from '@spdk-ts/bdev';
import { fileInstance } from '@spdk-ts/file-io';
import { Logger } from '@spdk-ts/log';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import type { UringContext } from './context.ts';

const log = new Logger('bdev_uring');
const module: BdevReactorModule = {
  name: 'uring',
  instantiate(description, reactor) {
    // The control half has looked: this is for who builds devices without it.
    if (reactor.ring === null)
      throw new BdevError(
        Errno.ENOTSUP,
        `bdev ${description.name}: reactor ${reactor.index} has no io_uring`,
      );
    const { io_poll, sq_poll } = description.context as UringContext;
    return fileInstance(description, reactor, log, io_poll ? 'polled' : sq_poll ? 'threaded' : 'own');
  },
};

const plugin: ReactorPlugin = {
  name: 'bdev_uring',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
