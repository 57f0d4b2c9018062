import {
  type BdevInstance,
  type BdevIo,
  type BdevModule,
  IoStatus,
  IoType,
  ioTypeMask,
  registerReactorModule,
  ZcopyPhase,
} from '@spdk-ts/bdev';
import { mediaStatus, statusType } from '@spdk-ts/nvme-spec';
import type { ReactorPlugin } from '@spdk-ts/reactor';

/** Memory of a test bdev, and the I/O that the test holds back. */
export interface MemoryContext {
  readonly region: number;
  readonly memory: SharedArrayBuffer;
}

export const ALL_TYPES = ioTypeMask(
  IoType.READ,
  IoType.WRITE,
  IoType.UNMAP,
  IoType.FLUSH,
  IoType.WRITE_ZEROES,
  IoType.ABORT,
);

/** Shared by all reactors of a test: what the bdevs are told to do. */
export const control = {
  /** I/O stays with the module until {@link release}. */
  hold: false,
  /** I/O of this type ends with this status. */
  failType: -1,
  failStatus: 0,
  /** ... if it begins at this block; -1: at any. */
  failAt: -1,
  held: [] as BdevIo[],
  seen: [] as { type: number; fua: boolean; offset_blocks: number; num_blocks: number }[],
};

/** Blocks of any bdev that Write Uncorrectable was for, until they are written again: `ID BLOCK`. */
const unreadable = new Set<string>();

export function resetControl(): void {
  Object.assign(control, { hold: false, failType: -1, failStatus: 0, failAt: -1, held: [], seen: [] });
  unreadable.clear();
}

/** Lets the I/O that is held back go on. */
export function release(): void {
  control.hold = false;
  for (const io of control.held.splice(0)) serve(io);
}

/** Does what Write Uncorrectable and the state that it leaves ask for. True: the I/O has ended. */
function ofUnreadable(io: BdevIo): boolean {
  if (unreadable.size === 0 && io.type !== IoType.WRITE_UNCORRECTABLE) return false;
  const { id } = io.channel!.device.description;
  const names = Array.from({ length: io.num_blocks }, (_, i) => `${id} ${io.offset_blocks + i}`);
  if (io.type === IoType.WRITE_UNCORRECTABLE) {
    for (const name of names) unreadable.add(name);
    io.complete(IoStatus.SUCCESS);
    return true;
  }
  if (io.type === IoType.READ && names.some((name) => unreadable.has(name))) {
    io.sct = statusType.media;
    io.sc = mediaStatus.unrecoveredReadError;
    io.complete(IoStatus.NVME_ERROR);
    return true;
  }
  if (io.type === IoType.WRITE || io.type === IoType.WRITE_ZEROES)
    for (const name of names) unreadable.delete(name);
  return false;
}

let serve: (io: BdevIo) => void = () => {};
const contexts = new Map<number, { context: MemoryContext; block_size: number }>();

export const memoryBdevPlugin: ReactorPlugin = {
  name: 'bdev_memory',
  start(reactor) {
    const run = (io: BdevIo): void => {
      const { context, block_size } = contexts.get(io.channel!.device.description.id)!;
      const { regions } = io.channel!.reactor;
      const memory = regions.bytes(context.region);
      const at = io.offset_blocks * block_size;
      const length = io.num_blocks * block_size;
      if (io.type === control.failType && (control.failAt < 0 || control.failAt === io.offset_blocks)) {
        io.complete(control.failStatus);
        return;
      }
      if (ofUnreadable(io)) return;
      if (io.type === IoType.ZCOPY) {
        if (io.zcopy_phase === ZcopyPhase.START) Object.assign(io, { region: context.region, offset: at });
      } else if (io.type === IoType.READ && io.region < 0) {
        io.region = context.region;
        io.offset = at;
      } else if (io.type === IoType.READ)
        regions.bytes(io.region).set(memory.subarray(at, at + length), io.offset);
      else if (io.type === IoType.WRITE)
        memory.set(regions.bytes(io.region).subarray(io.offset, io.offset + length), at);
      else if (io.type !== IoType.FLUSH) memory.fill(0, at, at + length);
      io.complete(IoStatus.SUCCESS);
    };
    serve = run;
    registerReactorModule(reactor, {
      name: 'memory',
      instantiate(description): BdevInstance {
        const context = description.context as MemoryContext;
        contexts.set(description.id, { context, block_size: description.block_size });
        reactor.regions.add(context.region, new Uint8Array(context.memory));
        return {
          createChannel: () => ({
            submit(io) {
              const { type, fua, offset_blocks, num_blocks } = io;
              control.seen.push({ type, fua, offset_blocks, num_blocks });
              if (control.hold) control.held.push(io);
              else run(io);
            },
            abort(io) {
              const at = control.held.indexOf(io);
              if (at < 0) return false;
              control.held.splice(at, 1);
              io.complete(IoStatus.ABORTED);
              return true;
            },
            destroy() {},
          }),
          destroy: () => reactor.regions.remove(context.region),
        };
      },
    });
    return {};
  },
};

export const memoryModule: BdevModule = { name: 'memory', destroy() {}, config: () => [] };
