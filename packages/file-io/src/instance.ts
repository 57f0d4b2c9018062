import { type BdevDescription, type BdevInstance, getBdevService, type ModuleChannel } from '@spdk-ts/bdev';
import type { Logger } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import type { Reactor, Thread, Uring } from '@spdk-ts/reactor';
import type { AioFileContext } from './aio-context.ts';
import { AioEngine } from './aio-engine.ts';
import type { FileContext } from './context.ts';
import type { EngineFactory } from './engine.ts';
import { FileChannel } from './file-channel.ts';
import { NodeEngine } from './node-engine.ts';
import { RingEngine, type RingFile } from './ring-engine.ts';
import { polledRing, threadedRing } from './side-ring.ts';
import { ZonedFileChannel } from './zoned-file-channel.ts';

/** Which ring a file's data go through: the reactor's, one that polls the device, or one whose submissions a kernel thread takes. */
export type DataRing = 'own' | 'polled' | 'threaded';

/** A file on a reactor with a ring. */
class RingInstance implements BdevInstance {
  private readonly description: BdevDescription;
  private readonly log: Logger;
  private readonly file: RingFile;

  constructor(description: BdevDescription, reactor: Reactor, log: Logger, data: DataRing) {
    const context = description.context as FileContext;
    const { fd, direct } = context;
    const ring = reactor.ring!;
    this.description = description;
    this.log = log;
    this.file = {
      ...{ native: native!, ring, regions: reactor.regions, fd, direct },
      zeroRegion: getBdevService(reactor).zeroRegion,
      data: data === 'own' ? null : this.dataRing(reactor, context, data === 'polled'),
      place: ring.files.add(fd),
    };
  }

  private dataRing(reactor: Reactor, context: FileContext, polled: boolean): Uring {
    if (!polled) return threadedRing(native!, reactor);
    return polledRing(native!, reactor, context, this.description.block_size);
  }

  createChannel(thread: Thread): ModuleChannel {
    const { data } = this.file;
    const poller = data === null ? null : thread.registerPoller('bdev_uring_poll', () => data.enter());
    const done = (): void => poller?.unregister();
    const engine: EngineFactory = (owner) => new RingEngine(this.file, owner);
    const { description, log } = this;
    const { zones } = description.context as FileContext;
    if (zones === null) return new FileChannel(description, log, engine, done);
    return new ZonedFileChannel(description, zones, native!, thread, log, engine, done);
  }

  destroy(): void {
    const { ring, place } = this.file;
    if (place >= 0) ring.files.remove(place);
  }
}

/**
 * A file's instance on a reactor: over the reactor's ring where there is one, else over node:fs. Throws BdevError ENOTSUP if its
 * data cannot go through the ring that is wanted.
 */
export function fileInstance(
  description: BdevDescription,
  reactor: Reactor,
  log: Logger,
  data: DataRing = 'own',
): BdevInstance {
  if (reactor.ring !== null) return new RingInstance(description, reactor, log, data);
  const { fd } = description.context as FileContext;
  return {
    createChannel: (thread: Thread) =>
      new FileChannel(
        description,
        log,
        (owner) => new NodeEngine(fd, thread, getBdevService(reactor).zeroRegion, owner),
      ),
  };
}

/** A file's instance over kernel AIO, for a description whose context is an {@link AioFileContext}. */
export function aioInstance(description: BdevDescription, log: Logger): BdevInstance {
  const context = description.context as AioFileContext;
  return {
    createChannel: (thread: Thread) =>
      new FileChannel(description, log, (owner) => new AioEngine(context, thread, owner)),
  };
}
