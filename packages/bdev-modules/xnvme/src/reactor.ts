import {
  type BdevDescription,
  BdevError,
  type BdevInstance,
  type BdevReactorModule,
  Errno,
  registerReactorModule,
} from '@spdk-ts/bdev';
import { aioInstance, fileInstance } from '@spdk-ts/file-io';
import { Logger } from '@spdk-ts/log';
import type { Reactor, ReactorPlugin } from '@spdk-ts/reactor';
import { commandInstance } from './command-instance.ts';
import type { XnvmeFileContext } from './context.ts';

const log = new Logger('bdev_xnvme');

/** Over the ring, polled if that is wanted and turns out to be possible. */
function ringInstance(description: BdevDescription, reactor: Reactor): BdevInstance {
  const { polled } = description.context as XnvmeFileContext;
  try {
    return fileInstance(description, reactor, log, polled ? 'polled' : 'own');
  } catch (error) {
    if (!polled || !(error instanceof BdevError) || error.code !== Errno.ENOTSUP) throw error;
    log.notice(`bdev ${description.name} is not polled on reactor ${reactor.index}: ${error.message}`);
    return fileInstance(description, reactor, log);
  }
}

const module: BdevReactorModule = {
  name: 'xnvme',
  instantiate(description, reactor) {
    const { io_mechanism } = description.context as XnvmeFileContext;
    if (io_mechanism === 'libaio') return aioInstance(description, log);
    // The control half has looked: this is for who builds devices without it.
    if (reactor.ring === null)
      throw new BdevError(
        Errno.ENOTSUP,
        `bdev ${description.name}: reactor ${reactor.index} has no io_uring`,
      );
    if (io_mechanism === 'io_uring') return ringInstance(description, reactor);
    return commandInstance(description, reactor, log);
  },
};

const plugin: ReactorPlugin = {
  name: 'bdev_xnvme',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
