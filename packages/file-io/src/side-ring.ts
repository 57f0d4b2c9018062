import { BdevError, Errno } from '@spdk-ts/bdev';
import { allocateSharedMemory, attachSharedMemory, releaseSharedMemory, TICKS_PER_MS } from '@spdk-ts/env';
import type { Native } from '@spdk-ts/native';
import { type Reactor, type Sleeper, Uring, UringOp } from '@spdk-ts/reactor';
import type { FileContext } from './context.ts';

const SIZES = { entries: 1024, cq_entries: 2048 };
/** How long a device may take for the read that tells whether it can be polled. */
const PROBE_TICKS = 1000 * TICKS_PER_MS;
const EOPNOTSUPP = -95;

/** What a ring beside a reactor's own is for. */
export interface SideRingKind {
  /** Completions are found by looking into the devices: for direct reads and writes, and passthrough. */
  readonly polled: boolean;
  /** A thread of the kernel takes submissions: for data of files. */
  readonly threaded?: boolean;
  /** Entries and completions of twice the size: for passthrough. */
  readonly wide: boolean;
}

/** A ring beside the reactor's own, entered at each poll by whoever uses it. */
class SideRing implements Sleeper {
  readonly ring: Uring;
  private readonly polled: boolean;

  constructor(native: Native, reactor: Reactor, kind: SideRingKind) {
    this.ring = new Uring(native, () => reactor.wake(), reactor.ring!.memory, { ...SIZES, ...kind });
    this.polled = kind.polled;
    reactor.addSleeper(this);
  }

  /** Nothing wakes for what is under way in a polled ring: the reactor has to stay awake for it. */
  armSleep(): boolean {
    return this.polled ? this.ring.inflight > 0 : this.ring.armSleep();
  }
  disarmSleep(): void {
    if (this.ring.armed) this.ring.disarmSleep();
  }
}

const rings = new WeakMap<Reactor, Map<string, SideRing>>();

/**
 * The reactor's ring of a kind, made when it is first asked for; the reactor has one of its own. Throws an Error with
 * the errno as its code where the kernel does not allow it.
 */
export function sideRing(native: Native, reactor: Reactor, kind: SideRingKind): Uring {
  const ofReactor = rings.get(reactor) ?? new Map<string, SideRing>();
  rings.set(reactor, ofReactor);
  const name = `${kind.polled} ${kind.wide} ${kind.threaded ?? false}`;
  const found = ofReactor.get(name) ?? new SideRing(native, reactor, kind);
  ofReactor.set(name, found);
  return found.ring;
}

/** The reactor's polled ring. Throws BdevError ENOTSUP if the file's device cannot be polled. */
export function polledRing(native: Native, reactor: Reactor, file: FileContext, block_size: number): Uring {
  const ring = sideRing(native, reactor, { polled: true, wide: false });
  const result = probe(native, reactor, ring, file.fd, block_size);
  if (result === EOPNOTSUPP)
    throw new BdevError(
      Errno.ENOTSUP,
      `the device of ${file.filename} cannot be polled (an NVMe device needs the kernel parameter nvme.poll_queues); ` +
        'leave io_poll out',
    );
  if (result < 0) throw new BdevError(result, `the first polled read of ${file.filename} failed`);
  return ring;
}

/** The reactor's ring whose submissions a thread of the kernel takes. Throws BdevError ENOTSUP where the kernel does not allow it. */
export function threadedRing(native: Native, reactor: Reactor): Uring {
  try {
    return sideRing(native, reactor, { polled: false, wide: false, threaded: true });
  } catch (error) {
    const { message } = error as Error;
    throw new BdevError(
      Errno.ENOTSUP,
      `there is no thread of the kernel for submissions (${message}); leave sq_poll out`,
    );
  }
}

/** Reads the first block: bytes, or a negative errno. */
function probe(native: Native, reactor: Reactor, ring: Uring, fd: number, block_size: number): number {
  const memory = allocateSharedMemory(block_size);
  const address = native.addressOf(attachSharedMemory(memory));
  let result: number | null = null;
  const handler = ring.addHandler({
    uringComplete(_tag, value) {
      result = value;
    },
  });
  ring.prepare(UringOp.READ, fd, address, block_size, handler, 0);
  const end = reactor.clock.now() + PROBE_TICKS;
  while (result === null && reactor.clock.now() < end) ring.enter();
  if (result === null) return Errno.EIO; // its handler and memory stay: the answer may still come
  ring.removeHandler(handler);
  releaseSharedMemory(memory);
  return result;
}
