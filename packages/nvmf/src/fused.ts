import { type BdevIo, type BdevIoOwner, IoStatus, IoType } from '@spdk-ts/bdev';
import { nvmOpcode } from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import { Counter } from './counters.ts';
import { refusalOf } from './gates.ts';
import type { IoCommands } from './io-commands.ts';
import { blocksOf, DTYPE, FUA, FUSE, FUSE_FIRST, FUSE_SECOND, slbaOf } from './io-fields.ts';
import { IoSlots } from './io-slots.ts';
import type { NvmfQpair } from './qpair.ts';
import type { NvmfRequest } from './request.ts';
import { Status, statusOfErrno, statusOfIo } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

/** {@link NvmfQpair.fusing}: of the last command that arrived. */
const Fusing = { NO: 0, FIRST: 1, FIRST_FAILED: 2 } as const;
/** {@link NvmfRequest.fused}: the other half is on its way or there; never was; has failed. */
const Half = { OK: 0, ALONE: 1, LOST: 2 } as const;

/**
 * Fused operations (Base 2.0, 3.4.2), of which there is one: Compare and Write (NVM Command Set 1.0, 2.1.3.1). Two commands
 * belong together if they arrive one after the other on a queue; their data may come in any order, so the half that is
 * complete first is held until the other is. While it is held it counts neither as executing nor for its subsystem: nothing
 * that changes waits for a host that may never send the rest.
 *
 * If one half fails, the other ends with Command Aborted due to Failed Fused Command, and one without the other with
 * Command Aborted due to Missing Fused Command.
 */
export class FusedCommands implements BdevIoOwner {
  private readonly commands: IoCommands;
  /** Halves that have been executed and wait for the other. */
  private readonly held = new Set<NvmfRequest>();
  /** Second halves whose operation is with the bdev. */
  private readonly slots = new IoSlots();

  constructor(commands: IoCommands) {
    this.commands = commands;
  }

  /**
   * A command has arrived on a queue where the one before it was the first of two, or is one of two itself: finds its
   * other half. True if it is part of a fused operation.
   */
  arrived(request: NvmfRequest): boolean {
    const { qpair } = request;
    if (qpair.qid <= 0) return false;
    const fuse = request.cdw(0) & FUSE;
    const first = qpair.fusedFirst;
    const before = qpair.fusing;
    qpair.fusing = Fusing.NO;
    qpair.fusedFirst = null;
    if (fuse === FUSE_SECOND) {
      request.partner = first;
      request.fused = before === Fusing.FIRST ? Half.OK : before === Fusing.NO ? Half.ALONE : Half.LOST;
      if (first !== null) first.partner = request;
      return true;
    }
    if (first !== null) this.leftAlone(first);
    if (fuse !== FUSE_FIRST) return fuse !== 0;
    request.partner = null;
    request.fused = Half.OK;
    qpair.fusing = Fusing.FIRST;
    qpair.fusedFirst = request;
    return true;
  }

  /** What arrived behind the first of two is not the second. */
  private leftAlone(first: NvmfRequest): void {
    if (this.held.has(first)) this.endHeld(first, Status.FUSED_MISSING);
    else first.fused = Half.ALONE;
  }

  /** A command with FUSE 01b or 10b executes. */
  execute(request: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    const { partner } = request;
    if (!ns.fuses || controller.masks_fused) this.commands.end(request, Status.INVALID_FIELD);
    else if (request.fused === Half.ALONE) this.commands.end(request, Status.FUSED_MISSING);
    else if (request.fused === Half.LOST) this.commands.end(request, Status.FUSED_FAILED);
    else if (partner === null || !this.held.has(partner)) this.hold(request);
    else if ((request.cdw(0) & FUSE) === FUSE_FIRST) this.run(request, partner, ns, controller);
    else this.run(partner, request, ns, controller);
  }

  private hold(request: NvmfRequest): void {
    const { subsystem } = request.qpair.controller!;
    this.held.add(request);
    request.executing = false;
    subsystem.outstanding--;
    if (subsystem.paused) subsystem.drained();
  }

  /** A half that was held counts again. */
  private release(request: NvmfRequest): void {
    this.held.delete(request);
    request.executing = true;
    request.qpair.controller!.subsystem.outstanding++;
  }

  private endHeld(request: NvmfRequest, status: number): void {
    this.release(request);
    this.commands.end(request, status);
  }

  private run(compare: NvmfRequest, write: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    const same =
      compare.nsid === write.nsid &&
      slbaOf(compare) === slbaOf(write) &&
      blocksOf(compare) === blocksOf(write) &&
      compare.opcode === nvmOpcode.compare &&
      write.opcode === nvmOpcode.write;
    if (!same) {
      this.endBoth(compare, write, Status.INVALID_FIELD, Status.INVALID_FIELD);
      return;
    }
    const gate = controller.gates[ns.nsid]!;
    const of_compare = check(compare, ns, gate);
    const of_write = (write.cdw(12) & DTYPE) === 0 ? check(write, ns, gate) : Status.INVALID_FIELD;
    if ((of_compare | of_write) !== Status.SUCCESS) this.endBoth(compare, write, of_compare, of_write);
    else this.submit(compare, write, ns, controller);
  }

  private submit(
    compare: NvmfRequest,
    write: NvmfRequest,
    ns: NamespaceView,
    controller: NvmfController,
  ): void {
    const io = ns.channel.getIo();
    if (io === null) {
      // The one that is not held is executed again.
      this.commands.wait(this.held.has(compare) ? write : compare, ns.channel);
      return;
    }
    this.release(this.held.has(compare) ? compare : write);
    io.type = IoType.COMPARE_AND_WRITE;
    io.offset_blocks = slbaOf(write);
    io.num_blocks = blocksOf(write);
    io.region = compare.region;
    io.offset = compare.offset;
    io.length = compare.length;
    io.iovs = compare.iovs;
    io.write_region = write.region;
    io.write_offset = write.offset;
    io.write_iovs = write.iovs;
    io.fua = (write.cdw(12) & FUA) !== 0 || !controller.state.writeCache;
    io.owner = this;
    io.ownerIndex = this.slots.take(write);
    compare.io = io;
    write.io = io;
    const result = ns.channel.submit(io);
    if (result === 0) return;
    this.slots.give(io.ownerIndex);
    compare.io = null;
    write.io = null;
    io.free();
    this.endBoth(compare, write, statusOfErrno(result), Status.SUCCESS);
  }

  bdevIoDone(io: BdevIo): void {
    const write = this.slots.give(io.ownerIndex);
    const compare = write.partner!;
    const status = statusOfIo(io);
    const aborted = io.status === IoStatus.ABORTED;
    compare.io = null;
    write.io = null;
    io.free();
    if (status === Status.SUCCESS) {
      const { counters } = write.qpair.controller!.subsystem;
      counters.add(Counter.WRITE_COMMANDS, 1);
      counters.add(Counter.BYTES_WRITTEN, write.length);
      this.endBoth(compare, write, Status.SUCCESS, Status.SUCCESS);
      return;
    }
    this.commands.countFailure(write, status);
    // Of two of which one was aborted that one says so.
    if (aborted && write.abortRequested && !compare.abortRequested)
      this.endBoth(compare, write, Status.SUCCESS, status);
    else this.endBoth(compare, write, status, Status.SUCCESS);
  }

  /** Both end; if only one has failed, so has the other because of it. */
  private endBoth(compare: NvmfRequest, write: NvmfRequest, of_compare: number, of_write: number): void {
    const failed = of_compare !== Status.SUCCESS || of_write !== Status.SUCCESS;
    const because = failed ? Status.FUSED_FAILED : Status.SUCCESS;
    for (const request of [compare, write]) {
      request.partner = null;
      if (this.held.has(request)) this.release(request);
    }
    this.commands.end(compare, of_compare !== Status.SUCCESS ? of_compare : because);
    this.commands.end(write, of_write !== Status.SUCCESS ? of_write : because);
  }

  /** For the poll group: a command with FUSE set has failed, wherever on its way. */
  failed(request: NvmfRequest): void {
    const { qpair, partner } = request;
    if (qpair.fusedFirst === request) {
      qpair.fusing = Fusing.FIRST_FAILED;
      qpair.fusedFirst = null;
    }
    if (partner === null) return;
    request.partner = null;
    partner.partner = null;
    if (this.held.has(partner)) this.endHeld(partner, Status.FUSED_FAILED);
    else partner.fused = Half.LOST;
  }

  /** For Abort: ends a half that is held. False if it is none. */
  abort(request: NvmfRequest): boolean {
    if (!this.held.has(request)) return false;
    this.endHeld(request, Status.ABORTED);
    return true;
  }

  /** For transports: it waits for its other half, and uses its memory only once that is there. */
  isHeld(request: NvmfRequest): boolean {
    return this.held.has(request);
  }

  /** For transports: the memory of a half that is held goes, and no second half may use it any more. */
  memoryGone(request: NvmfRequest): void {
    if (this.held.has(request)) this.endHeld(request, Status.FUSED_MISSING);
  }

  /** For the poll group: a queue is ending, and no second half comes any more. */
  closing(qpair: NvmfQpair): void {
    for (const request of [...this.held])
      if (request.qpair === qpair && this.held.has(request))
        this.endHeld(request, Status.ABORTED_SQ_DELETION);
  }
}

/** What is wrong with one half of a Compare and Write, or 0. The one that was held was let in by an earlier gate. */
function check(request: NvmfRequest, ns: NamespaceView, gate: number): number {
  const refusal = refusalOf(gate, request.opcode);
  if (refusal !== Status.SUCCESS) return refusal;
  const blocks = blocksOf(request);
  const bytes = blocks * ns.block_size;
  if (bytes > request.qpair.maxIoSize) return Status.INVALID_FIELD;
  if (slbaOf(request) + blocks > ns.channel.num_blocks) return Status.LBA_OUT_OF_RANGE;
  if (bytes !== request.length) return Status.SGL_LENGTH_INVALID;
  return blocks > ns.acwu ? Status.ATOMIC_UNIT_EXCEEDED : Status.SUCCESS;
}
