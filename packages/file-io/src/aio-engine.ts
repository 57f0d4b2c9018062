import { getBdevService, IoType } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import type { Reactor, Thread } from '@spdk-ts/reactor';
import type { AioFileContext } from './aio-context.ts';
import { type AioGroup, type AioHandler, AioOp, acquireGroup, releaseGroup } from './aio-group.ts';
import {
  type EngineOwner,
  type FileEngine,
  PUNCH_HOLE,
  RWF_DSYNC,
  TRANSFER_BYTES_MAX,
  ZERO_RANGE,
} from './engine.ts';
import { KernelIoVec } from './kernel-iovec.ts';
import { syncFile } from './node-sync.ts';
import { type FileOperation, Phase } from './operation.ts';
import { RingEngine } from './ring-engine.ts';

const RWF_NOWAIT = 8;
const EAGAIN = -11;
const EINVAL = -22;
const EOPNOTSUPP = -95;

/**
 * Requests as kernel AIO. What AIO has no request for is done otherwise: ranges by the reactor's ring, or else by a
 * call that blocks; a sync, on kernels before 4.18, by node:fs. With `nowait`, what would wait in the kernel goes to
 * the ring, whose workers wait; without a ring it waits after all: trying again may never help, as with a write into
 * a hole.
 */
export class AioEngine implements FileEngine, AioHandler {
  readonly writesThrough = true;
  readonly punches: boolean;
  readonly zeroesRanges: boolean;
  private readonly fd: number;
  private readonly nowait: boolean;
  private readonly reactor: Reactor;
  private readonly regions: RegionTable;
  private readonly thread: Thread;
  private readonly zeroRegion: number;
  private readonly owner: EngineOwner;
  private readonly group: AioGroup;
  /** The reactor's ring, for what it does better. */
  private readonly helper: RingEngine | null;
  /** Operations by slot. */
  private readonly operations: (FileOperation | null)[] = [];

  constructor(context: AioFileContext, thread: Thread, owner: EngineOwner) {
    this.fd = context.fd;
    this.nowait = context.nowait;
    this.punches = context.fallocate;
    this.zeroesRanges = context.fallocate;
    this.reactor = thread.reactor;
    this.regions = thread.reactor.regions;
    this.thread = thread;
    this.zeroRegion = getBdevService(thread.reactor).zeroRegion;
    this.owner = owner;
    this.group = acquireGroup(thread);
    this.helper = context.fallocate || context.nowait ? this.ringEngine(context) : null;
  }

  private ringEngine({ fd, direct }: AioFileContext): RingEngine | null {
    const { ring, regions } = this.reactor;
    if (ring === null) return null;
    const place = { fd, place: -1, data: null, direct };
    const file = { native: native!, ring, regions, zeroRegion: this.zeroRegion, ...place };
    return new RingEngine(file, this.owner);
  }

  begin(operation: FileOperation): boolean {
    const slot = this.group.take(this);
    if (slot < 0) return false;
    operation.slot = slot;
    while (this.operations.length <= slot) this.operations.push(null);
    this.operations[slot] = operation;
    return true;
  }

  end(operation: FileOperation): void {
    this.operations[operation.slot] = null;
    this.group.give(operation.slot);
  }

  transfer(operation: FileOperation): void {
    this.transferWith(operation, this.nowait ? RWF_NOWAIT : 0);
  }

  private transferWith(operation: FileOperation, wait_flag: number): void {
    const io = operation.io!;
    const reads = io.type === IoType.READ;
    const flags = io.fua && !reads ? wait_flag | RWF_DSYNC : wait_flag;
    const at = operation.at + operation.done;
    if (io.iovs === null) {
      const address = this.regions.address(io.region, io.offset + operation.done);
      const count = Math.min(operation.length - operation.done, TRANSFER_BYTES_MAX);
      const opcode = reads ? AioOp.PREAD : AioOp.PWRITE;
      this.group.prepare(operation.slot, opcode, this.fd, address, count, at, flags);
      return;
    }
    if (operation.iovec === null) operation.iovec = new KernelIoVec(native!);
    const pieces = operation.iovec.fill(this.regions, io.iovs, operation.done);
    const opcode = reads ? AioOp.PREADV : AioOp.PWRITEV;
    this.group.prepare(operation.slot, opcode, this.fd, operation.iovec.address, pieces, at, flags);
  }

  writeZeroes(operation: FileOperation): void {
    const zeroes = this.regions.bytes(this.zeroRegion).length;
    const count = Math.min(zeroes, operation.length - operation.done);
    const at = operation.at + operation.done;
    const address = this.regions.address(this.zeroRegion, 0);
    this.group.prepare(operation.slot, AioOp.PWRITE, this.fd, address, count, at, 0);
  }

  allocate(operation: FileOperation): void {
    if (this.helper !== null) this.helper.allocate(operation);
    else this.group.later({ run: () => this.allocateNow(operation) });
  }

  private allocateNow({ phase, index, at, done, count }: FileOperation): void {
    const mode = phase === Phase.PUNCH ? PUNCH_HOLE : ZERO_RANGE;
    this.owner.answered(index, native!.allocateFile(this.fd, mode, at + done, count));
  }

  sync(operation: FileOperation): void {
    this.group.prepare(operation.slot, AioOp.FDSYNC, this.fd, 0, 0, 0, 0);
  }

  aioEnded(slot: number, result: number, submitted: boolean): void {
    const operation = this.operations[slot]!;
    const would_wait = this.nowait && (result === EAGAIN || result === EOPNOTSUPP);
    if (would_wait && operation.phase === Phase.TRANSFER) {
      if (this.helper !== null) this.helper.transfer(operation);
      else this.transferWith(operation, 0);
    } else if (result === EINVAL && !submitted && operation.phase === Phase.SYNC)
      this.syncElsewhere(operation);
    else this.owner.answered(operation.index, result);
  }

  private syncElsewhere({ index }: FileOperation): void {
    // Told in the event loop: the thread takes it from there.
    syncFile(this.fd, (result) => this.thread.send(() => this.owner.answered(index, result)));
  }

  /** The kernel can cancel next to none of its AIO. */
  cancel(): boolean {
    return false;
  }

  destroy(): void {
    this.helper?.destroy();
    releaseGroup(this.group, this.thread);
  }
}
