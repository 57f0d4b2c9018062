import { BdevError, Errno } from '@spdk-ts/bdev';
import { allocateSharedMemory, attachSharedMemory, releaseSharedMemory, TICKS_PER_MS } from '@spdk-ts/env';
import type { Native } from '@spdk-ts/native';
import { type Reactor, type Sleeper, Uring, UringOp } from '@spdk-ts/reactor';
import type { FileContext } from './context.ts';

const POLLED = { entries: 1024, cq_entries: 2048, polled: true };
/** How long a device may take for the read that tells whether it can be polled. */
const PROBE_TICKS = 1000 * TICKS_PER_MS;
const EOPNOTSUPP = -95;

/** A ring whose completions are found by looking into the devices: beside the reactor's own, entered at each poll. */
class PolledRing implements Sleeper {
  readonly ring: Uring;

  constructor(native: Native, reactor: Reactor) {
    this.ring = new Uring(native, () => {}, reactor.ring!.memory, POLLED);
    reactor.addSleeper(this);
  }

  /** Nothing wakes for what is under way here: the reactor has to stay awake for it. */
  armSleep(): boolean {
    return this.ring.inflight > 0;
  }
  disarmSleep(): void {}
}

const rings = new WeakMap<Reactor, PolledRing>();

/** The reactor's polled ring. Throws BdevError ENOTSUP if the file's device cannot be polled. */
export function polledRing(native: Native, reactor: Reactor, file: FileContext, block_size: number): Uring {
  let found = rings.get(reactor);
  if (found === undefined) {
    found = new PolledRing(native, reactor);
    rings.set(reactor, found);
  }
  const result = probe(native, reactor, found.ring, file.fd, block_size);
  if (result === EOPNOTSUPP)
    throw new BdevError(
      Errno.ENOTSUP,
      `the device of ${file.filename} cannot be polled (an NVMe device needs the kernel parameter nvme.poll_queues); ` +
        'leave io_poll out',
    );
  if (result < 0) throw new BdevError(result, `the first polled read of ${file.filename} failed`);
  return found.ring;
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
