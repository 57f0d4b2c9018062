import {
  type BdevChannel,
  BdevError,
  type BdevIo,
  Errno,
  getBdevService,
  IoStatus,
  IoType,
} from '@spdk-ts/bdev';
import type { Reactor, Thread } from '@spdk-ts/reactor';
import { Committer } from './committer.ts';
import type { StoredZones } from './context.ts';
import { SUPERBLOCKS } from './layout.ts';
import { ZoneStore } from './zone-store.ts';

type Then = (status: number) => void;

/** Writes a block to where the superblocks are, with force unit access. */
function writeSuperblocks(base: BdevChannel, region: number, offset: number, then: Then): void {
  const write = (at: number): void => {
    const io = base.getIo() ?? base.getIoBeyond();
    io.type = IoType.WRITE;
    io.offset_blocks = at;
    io.num_blocks = 1;
    io.region = region;
    io.offset = offset;
    io.length = base.block_size;
    io.fua = true;
    io.owner = {
      bdevIoDone(ended: BdevIo): void {
        const { status } = ended;
        ended.free();
        if (status === IoStatus.SUCCESS && at + 1 < SUPERBLOCKS) write(at + 1);
        else then(status);
      },
    };
    if (base.submit(io) === 0) return;
    io.free();
    then(IoStatus.FAILED);
  };
  write(0);
}

/** One step after another, as long as they succeed. */
function inOrder(steps: readonly ((then: Then) => void)[], then: Then): void {
  const [step, ...rest] = steps;
  if (step === undefined) then(IoStatus.SUCCESS);
  else step((status) => (status === IoStatus.SUCCESS ? inOrder(rest, then) : then(status)));
}

function write(thread: Thread, base: BdevChannel, store: ZoneStore, format: boolean, then: Then): void {
  const { zeroRegion } = getBdevService(thread.reactor);
  const pages = (done: Then): void =>
    new Committer<null>(thread, base, store, (_item, status) => done(status)).request(null);
  // In this order a power failure finds the old state, none, or the new one.
  const formatting = [
    (done: Then) => writeSuperblocks(base, zeroRegion, 0, done),
    pages,
    (done: Then) => writeSuperblocks(base, store.region, store.superblock(), done),
  ];
  inOrder(format ? formatting : [pages], then);
}

function threadOf(reactor: Reactor): Thread {
  const thread = reactor.threads[0];
  if (thread === undefined)
    throw new BdevError(Errno.ENODEV, `reactor ${reactor.index} has no thread to write on; ask reactor 0`);
  return thread;
}

/** Runs `work` on a thread, as everything else that touches its channels. Resolves with the status that it tells of. */
function onThread(thread: Thread, work: (then: Then) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    thread.send(() => {
      try {
        work(resolve);
      } catch (error) {
        reject(error);
      }
    });
  });
}

function checkEnd(status: number): void {
  if (status !== IoStatus.SUCCESS)
    throw new BdevError(Errno.EIO, `writing the state of zones ended with bdev status ${status}`);
}

/**
 * For the control thread, while no reactor has the bdev: brings what has changed to the base. `format`: the base has
 * no state of zones, or is to lose it. Rejects with BdevError: ENODEV if the base is gone, EIO.
 */
export async function writeState(reactor: Reactor, stored: StoredZones, format: boolean): Promise<void> {
  const thread = threadOf(reactor);
  const store = new ZoneStore(stored, reactor);
  try {
    const status = await onThread(thread, (then) => {
      const base = getBdevService(reactor).getChannel(stored.base_id, thread);
      write(thread, base, store, format, (end) => {
        base.put();
        then(end);
      });
    });
    checkEnd(status);
  } finally {
    store.close();
  }
}

/** For the control thread, while the bdev is in use: a flush of it, which makes what has changed stable. Rejects with BdevError. */
export async function commitState(reactor: Reactor, id: number): Promise<void> {
  const thread = threadOf(reactor);
  const status = await onThread(thread, (then) => {
    const channel = getBdevService(reactor).getChannel(id, thread);
    const io = channel.getIo() ?? channel.getIoBeyond();
    io.type = IoType.FLUSH;
    io.offset_blocks = 0;
    io.num_blocks = channel.num_blocks;
    const end = (ended: BdevIo, how: number): void => {
      ended.free();
      channel.put();
      then(how);
    };
    io.owner = { bdevIoDone: (ended) => end(ended, ended.status) };
    if (channel.submit(io) !== 0) end(io, IoStatus.FAILED);
  });
  checkEnd(status);
}
