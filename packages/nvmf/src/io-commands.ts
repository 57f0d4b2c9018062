import { type BdevChannel, type BdevIo, type BdevIoOwner, Errno, IoStatus, IoType } from '@spdk-ts/bdev';
import { NSID_ALL, nvmOpcode, oncs } from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import { copy } from './copy.ts';
import { Counter } from './counters.ts';
import { datasetManagement } from './dataset-management.ts';
import { FlushAll } from './flush-all.ts';
import { FusedCommands } from './fused.ts';
import { stopsAtAnyGate, stopsAtGate } from './gated-commands.ts';
import { blocksOf, DTYPE, FUA, FUSE, PSDT, slbaOf } from './io-fields.ts';
import { IoSlots } from './io-slots.ts';
import { KvCommands } from './kv-commands.ts';
import { NamespaceKind } from './namespace-kind.ts';
import { PassthruCommands } from './passthru-commands.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import { executeProtected } from './protected-commands.ts';
import { writeUncorrectable, writeZeroes } from './range-commands.ts';
import type { NvmfRequest } from './request.ts';
import { executeReservation, hasReservations, isReservation } from './reservation-commands.ts';
import { isMediaError, Status, statusOfErrno, statusOfIo } from './status.ts';
import type { NamespaceView, SubsystemView } from './subsystem-view.ts';
import { verify } from './verify.ts';
import { WaitingCommands } from './waiting-commands.ts';
import { ZnsCommands } from './zns-commands.ts';

/**
 * Commands of I/O queues (NVM Command Set 1.0, 3): checks each, makes a bdev I/O of it, and turns the I/O's end
 * into the command's. One for each poll group. What plain blocks are read and written with is here; the rest, and what
 * namespaces of other kinds have beside or instead of it, has files of its own.
 */
export class IoCommands implements BdevIoOwner {
  readonly group: NvmfPollGroup;
  /** Requests that a bdev I/O serves; the I/O's ownerIndex is the slot. */
  readonly slots = new IoSlots();
  /** Requests that found no I/O object, or no memory to put data in. */
  readonly waiting: WaitingCommands;
  readonly fused: FusedCommands;
  private readonly zns: ZnsCommands;
  private readonly kv: KvCommands;
  private readonly passthru: PassthruCommands;

  constructor(group: NvmfPollGroup) {
    this.group = group;
    this.waiting = new WaitingCommands(this);
    this.fused = new FusedCommands(this);
    this.zns = new ZnsCommands(this);
    this.kv = new KvCommands(this);
    this.passthru = new PassthruCommands(this);
  }

  /** Commands that wait for an I/O object. */
  get pending(): number {
    return this.waiting.count;
  }

  /** A command of an I/O queue of an enabled controller. */
  execute(request: NvmfRequest, controller: NvmfController): void {
    const subsystem = controller.subsystem;
    if (subsystem.paused) {
      subsystem.queued.push(request);
      return;
    }
    subsystem.outstanding++;
    this.start(request, controller);
  }

  /** A command that is counted: for the first time, or again after it has waited. */
  start(request: NvmfRequest, controller: NvmfController): void {
    const ns = controller.subsystem.find(request.nsid);
    if (ns === null) this.withoutNamespace(request, controller);
    else if (controller.gates[request.nsid]! !== 0 && stopsAtGate(this, request, controller)) return;
    else if (((request.cdw(0) & FUSE) | ns.kind) !== 0 || (request.cdw(0) & PSDT) === PSDT)
      this.executeOther(request, ns, controller);
    else this.executeNvm(request, ns, controller);
  }

  private withoutNamespace(request: NvmfRequest, controller: NvmfController): void {
    const flush = request.nsid === NSID_ALL && request.opcode === nvmOpcode.flush;
    if (!flush) this.end(request, Status.INVALID_NAMESPACE);
    else if ((request.cdw(0) & FUSE) !== 0 || (request.cdw(0) & PSDT) === PSDT)
      this.end(request, Status.INVALID_FIELD);
    else if (!stopsAtAnyGate(this, request, controller)) new FlushAll(this, request, controller).begin();
  }

  /** A command that is part of two, or at a namespace that is not plain blocks. */
  private executeOther(request: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    const fuse = request.cdw(0) & FUSE;
    if ((request.cdw(0) & PSDT) === PSDT || fuse === FUSE) this.end(request, Status.INVALID_FIELD);
    else if (fuse !== 0) this.fused.execute(request, ns, controller);
    else if (ns.kind === NamespaceKind.PROTECTED) executeProtected(this, request, ns, controller);
    else if (!controller.state.allCommandSets) this.end(request, Status.INVALID_NAMESPACE);
    else if (ns.kind === NamespaceKind.ZONED) this.zns.execute(request, ns, controller);
    else this.kv.execute(request, ns, controller);
  }

  /** A command of the NVM Command Set, for namespaces with blocks. */
  executeNvm(request: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    switch (request.opcode) {
      case nvmOpcode.read:
        this.withData(request, ns, IoType.READ, controller);
        break;
      case nvmOpcode.write:
        this.withData(request, ns, IoType.WRITE, controller);
        break;
      case nvmOpcode.flush:
        this.flush(request, ns);
        break;
      case nvmOpcode.compare:
        if (ns.compares && (controller.masked_oncs & oncs.compare) === 0)
          this.withData(request, ns, IoType.COMPARE, controller);
        else this.unknown(request);
        break;
      case nvmOpcode.writeZeroes:
        writeZeroes(this, request, ns, controller);
        break;
      case nvmOpcode.datasetManagement:
        datasetManagement(this, request, ns, controller);
        break;
      case nvmOpcode.verify:
        verify(this, request, ns);
        break;
      case nvmOpcode.copy:
        copy(this, request, ns, controller);
        break;
      case nvmOpcode.writeUncorrectable:
        writeUncorrectable(this, request, ns);
        break;
      default:
        this.executeCommon(request, ns, controller);
    }
  }

  /** For the command sets: a command that all of them have, or that the target does not know. */
  executeCommon(request: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    if (isReservation(request.opcode)) {
      if (hasReservations(controller)) this.reservation(request, controller);
      else this.unknown(request);
    } else if (ns.takes_commands && controller.hands_on) this.passthru.execute(request, ns);
    else this.unknown(request);
  }

  /** For commands: the namespace has no such command. */
  unknown(request: NvmfRequest): void {
    this.end(request, Status.INVALID_OPCODE);
  }

  /** For commands: one that is counted waits until a change of a namespace is over. */
  waitForChange(request: NvmfRequest, { subsystem }: NvmfController): void {
    subsystem.queued.push(request);
    this.uncount(subsystem);
  }

  private reservation(request: NvmfRequest, controller: NvmfController): void {
    this.group.completed_nvme_io++;
    this.uncount(controller.subsystem);
    executeReservation(this.group, request, controller);
  }

  /** A command does not use the subsystem, for now or any more. */
  private uncount(subsystem: SubsystemView): void {
    subsystem.outstanding--;
    if (subsystem.paused) subsystem.drained();
  }

  /** Read, Write, Compare. */
  private withData(request: NvmfRequest, ns: NamespaceView, type: number, controller: NvmfController): void {
    const cdw12 = request.cdw(12);
    const slba = slbaOf(request);
    const blocks = blocksOf(request);
    const bytes = blocks * ns.block_size;
    if (bytes > request.qpair.maxIoSize || (type === IoType.WRITE && (cdw12 & DTYPE) !== 0)) {
      this.end(request, Status.INVALID_FIELD);
      return;
    }
    if (slba + blocks > ns.channel.num_blocks) {
      this.end(request, Status.LBA_OUT_OF_RANGE);
      return;
    }
    if (bytes !== request.length) {
      this.end(request, Status.SGL_LENGTH_INVALID);
      return;
    }
    const io = ns.channel.getIo();
    if (io === null) {
      this.wait(request, ns.channel);
      return;
    }
    io.type = type;
    io.offset_blocks = slba;
    io.num_blocks = blocks;
    io.region = request.region;
    io.offset = request.offset;
    io.length = bytes;
    io.iovs = request.iovs;
    io.fua = (cdw12 & FUA) !== 0 || (type === IoType.WRITE && !controller.state.writeCache);
    this.submit(request, io);
  }

  flush(request: NvmfRequest, ns: NamespaceView): void {
    if (ns.flushes) this.withoutData(request, ns, IoType.FLUSH, 0, ns.channel.num_blocks, false);
    else this.end(request, Status.SUCCESS);
  }

  /** For commands: one I/O on a range of blocks. */
  withoutData(
    request: NvmfRequest,
    ns: NamespaceView,
    type: number,
    slba: number,
    blocks: number,
    fua: boolean,
  ): void {
    const io = ns.channel.getIo();
    if (io === null) {
      this.wait(request, ns.channel);
      return;
    }
    io.type = type;
    io.offset_blocks = slba;
    io.num_blocks = blocks;
    io.fua = fua;
    this.submit(request, io);
  }

  /** For commands: one I/O, set up, whose end is the command's. */
  submit(request: NvmfRequest, io: BdevIo): void {
    io.owner = this;
    io.ownerIndex = this.slots.take(request);
    request.io = io;
    const result = io.channel!.submit(io);
    if (result === 0) return;
    this.slots.give(io.ownerIndex);
    this.refused(request, io, result);
  }

  /** For commands: the bdev has not taken their only I/O. */
  refused(request: NvmfRequest, io: BdevIo, errno: number): void {
    const channel = io.channel!;
    request.io = null;
    io.free();
    if (errno === Errno.ENOMEM) this.wait(request, channel);
    else this.end(request, statusOfErrno(errno));
  }

  bdevIoDone(io: BdevIo): void {
    const request = this.slots.give(io.ownerIndex);
    const type = io.type;
    const subsystem = request.qpair.controller!.subsystem;
    if (io.status !== IoStatus.SUCCESS) {
      this.failed(request, io);
      return;
    }
    if (type === IoType.READ) {
      subsystem.counters.add(Counter.READ_COMMANDS, 1);
      subsystem.counters.add(Counter.BYTES_READ, request.length);
      if (request.region < 0 && request.iovs === null) {
        // The data lies where the bdev put it: the I/O goes when the request does.
        request.region = io.region;
        request.offset = io.offset;
        request.iovs = io.iovs;
        subsystem.held++;
        this.end(request, Status.SUCCESS);
        return;
      }
    } else if (type === IoType.WRITE) {
      subsystem.counters.add(Counter.WRITE_COMMANDS, 1);
      subsystem.counters.add(Counter.BYTES_WRITTEN, request.length);
    }
    request.io = null;
    io.free();
    this.end(request, Status.SUCCESS);
  }

  /** For commands: their only I/O has failed. */
  failed(request: NvmfRequest, io: BdevIo): void {
    const status = statusOfIo(io);
    this.countFailure(request, status);
    request.io = null;
    io.free();
    this.end(request, status);
  }

  /** For commands: an I/O has ended with a status other than success. */
  countFailure(request: NvmfRequest, status: number): void {
    if (isMediaError(status)) request.qpair.controller!.subsystem.counters.add(Counter.MEDIA_ERRORS, 1);
  }

  /** A write whose data have come to their place executes: the bdev takes them over. */
  executePlaced(request: NvmfRequest, controller: NvmfController): void {
    controller.subsystem.outstanding++;
    request.placed!.commit();
  }

  /** For {@link PlacedWrites}: its I/O has ended. */
  placedEnded(request: NvmfRequest, status: number): void {
    const { counters } = request.qpair.controller!.subsystem;
    if (status === Status.SUCCESS) {
      counters.add(Counter.WRITE_COMMANDS, 1);
      counters.add(Counter.BYTES_WRITTEN, request.length);
    } else this.countFailure(request, status);
    this.end(request, status);
  }

  /** The command has ended: for this class and its commands. */
  end(request: NvmfRequest, status: number): void {
    const subsystem = request.qpair.controller!.subsystem;
    subsystem.outstanding--;
    this.group.completed_nvme_io++;
    this.group.complete(request, status);
    if (subsystem.paused) subsystem.drained();
  }

  /** For commands: the request waits until there is an I/O object, and then goes on, or is started anew. */
  wait(request: NvmfRequest, channel: BdevChannel): void {
    this.waiting.add(request, channel);
  }

  /**
   * For commands that put data together for their host: true if there is memory for them. If not, the request is started
   * anew when there is.
   */
  hasPlace(request: NvmfRequest): boolean {
    return this.waiting.hasPlace(request);
  }

  /** The subsystem's pause is over: what has waited executes, in order. */
  resume(subsystem: SubsystemView): void {
    const requests = subsystem.queued.splice(0);
    for (const request of requests) this.execute(request, request.qpair.controller!);
  }

  /** For Abort: ends a command that no bdev has yet. False if it is not one that waits here. */
  abortWaiting(request: NvmfRequest): boolean {
    const { queued } = request.qpair.controller!.subsystem;
    const inPause = queued.indexOf(request);
    if (inPause >= 0) {
      queued.splice(inPause, 1);
      this.group.complete(request, Status.ABORTED);
      return true;
    }
    return this.waiting.abort(request);
  }
}
