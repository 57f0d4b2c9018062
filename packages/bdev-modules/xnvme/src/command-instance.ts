import { type BdevDescription, BdevError, type BdevInstance, Errno, type ModuleChannel } from '@spdk-ts/bdev';
import { sideRing } from '@spdk-ts/file-io';
import type { Logger } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import { type Reactor, type Thread, type Uring, UringOp } from '@spdk-ts/reactor';
import { CommandChannel } from './command-channel.ts';
import type { CommandTarget } from './command-sender.ts';
import type { CommandContext } from './context.ts';

/** A wide ring that has passthrough, or BdevError ENOTSUP. */
function passthroughRing(reactor: Reactor, { filename, polled }: CommandContext): Uring {
  let ring: Uring;
  try {
    ring = sideRing(native!, reactor, { polled, wide: true });
  } catch (error) {
    throw new BdevError(
      Errno.ENOTSUP,
      `${filename}: this kernel has no ring for passthrough, which Linux 5.19 brought (${(error as Error).message}); ` +
        'give io_mechanism io_uring and the block device',
    );
  }
  if (ring.operations()(UringOp.URING_CMD)) return ring;
  throw new BdevError(
    Errno.ENOTSUP,
    `${filename}: this kernel has no IORING_OP_URING_CMD, which Linux 5.19 brought; ` +
      'give io_mechanism io_uring and the block device',
  );
}

/** An NVMe namespace on a reactor. */
class CommandInstance implements BdevInstance {
  private readonly description: BdevDescription;
  private readonly log: Logger;
  private readonly target: CommandTarget;

  constructor(description: BdevDescription, reactor: Reactor, log: Logger) {
    const context = description.context as CommandContext;
    const ring = passthroughRing(reactor, context);
    this.description = description;
    this.log = log;
    this.target = {
      ...{ native: native!, ring, regions: reactor.regions, fd: context.fd, fixed: ring.deferred },
      place: ring.files.add(context.fd),
    };
  }

  createChannel(thread: Thread): ModuleChannel {
    const { target } = this;
    const poller = thread.registerPoller('bdev_xnvme_poll', () => target.ring.enter());
    return new CommandChannel(this.description, target, thread, this.log, () => poller.unregister());
  }

  destroy(): void {
    const { ring, place } = this.target;
    if (place >= 0) ring.files.remove(place);
  }
}

/** A namespace's instance on a reactor that has a ring. Throws BdevError ENOTSUP where the kernel has no passthrough. */
export function commandInstance(description: BdevDescription, reactor: Reactor, log: Logger): BdevInstance {
  return new CommandInstance(description, reactor, log);
}
