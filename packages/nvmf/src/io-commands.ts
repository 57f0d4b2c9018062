import { type BdevIo, type BdevIoOwner, Errno, IoStatus, IoType } from '@spdk-ts/bdev';
import { nvmOpcode } from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import { Counter } from './counters.ts';
import { DatasetManagement } from './dataset-management.ts';
import { blocksOf, DEAC, DTYPE, FUA, FUSE, PSDT, slbaOf } from './io-fields.ts';
import { IoSlots } from './io-slots.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfRequest } from './request.ts';
import { Status, statusOfErrno, statusOfIo } from './status.ts';
import type { NamespaceView, SubsystemView } from './subsystem-view.ts';

/**
 * Commands of I/O queues (NVM Command Set 1.0, 3): checks each, makes a bdev I/O of it, and turns the I/O's end
 * into the command's. One for each poll group.
 */
export class IoCommands implements BdevIoOwner {
  readonly group: NvmfPollGroup;
  /** Requests that a bdev I/O serves; the I/O's ownerIndex is the slot. */
  readonly slots = new IoSlots();
  /** Requests that found no I/O object, in order. */
  private readonly waiting: NvmfRequest[] = [];
  private asked = false;
  private readonly dataset: DatasetManagement;

  constructor(group: NvmfPollGroup) {
    this.group = group;
    this.dataset = new DatasetManagement(this);
  }

  /** Commands that wait for an I/O object. */
  get pending(): number {
    return this.waiting.length;
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
  private start(request: NvmfRequest, controller: NvmfController): void {
    const ns = controller.subsystem.find(request.nsid);
    if (ns === null) this.end(request, Status.INVALID_NAMESPACE);
    else if ((request.cdw(0) & FUSE) !== 0 || (request.cdw(0) & PSDT) === PSDT)
      this.end(request, Status.INVALID_FIELD);
    else {
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
          if (ns.compares) this.withData(request, ns, IoType.COMPARE, controller);
          else this.end(request, Status.INVALID_OPCODE);
          break;
        case nvmOpcode.writeZeroes:
          this.writeZeroes(request, ns, controller);
          break;
        case nvmOpcode.datasetManagement:
          this.dataset.execute(request, ns);
          break;
        default:
          this.end(request, Status.INVALID_OPCODE);
      }
    }
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
      this.wait(request, ns);
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

  private flush(request: NvmfRequest, ns: NamespaceView): void {
    if (ns.flushes) this.withoutData(request, ns, IoType.FLUSH, 0, ns.channel.num_blocks, false);
    else this.end(request, Status.SUCCESS);
  }

  private writeZeroes(request: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    const cdw12 = request.cdw(12);
    const slba = slbaOf(request);
    const blocks = blocksOf(request);
    const { wzsl } = controller.subsystem.snapshot;
    if (!ns.zeroes) this.end(request, Status.INVALID_OPCODE);
    else if ((cdw12 & (DEAC | DTYPE)) !== 0) this.end(request, Status.INVALID_FIELD);
    else if (wzsl > 0 && blocks * ns.block_size > 4096 * 2 ** wzsl) this.end(request, Status.INVALID_FIELD);
    else if (slba + blocks > ns.channel.num_blocks) this.end(request, Status.LBA_OUT_OF_RANGE);
    else {
      const fua = (cdw12 & FUA) !== 0 || !controller.state.writeCache;
      this.withoutData(request, ns, IoType.WRITE_ZEROES, slba, blocks, fua);
    }
  }

  private withoutData(
    request: NvmfRequest,
    ns: NamespaceView,
    type: number,
    slba: number,
    blocks: number,
    fua: boolean,
  ): void {
    const io = ns.channel.getIo();
    if (io === null) {
      this.wait(request, ns);
      return;
    }
    io.type = type;
    io.offset_blocks = slba;
    io.num_blocks = blocks;
    io.fua = fua;
    this.submit(request, io);
  }

  private submit(request: NvmfRequest, io: BdevIo): void {
    io.owner = this;
    io.ownerIndex = this.slots.take(request);
    request.io = io;
    const result = io.channel!.submit(io);
    if (result !== 0) this.refused(request, io, result);
  }

  private refused(request: NvmfRequest, io: BdevIo, errno: number): void {
    this.slots.give(io.ownerIndex);
    request.io = null;
    const channel = io.channel!;
    io.free();
    if (errno === Errno.ENOMEM) {
      this.waiting.push(request);
      this.ask(channel);
    } else this.end(request, statusOfErrno(errno));
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

  private failed(request: NvmfRequest, io: BdevIo): void {
    const status = statusOfIo(io);
    const media = io.status !== IoStatus.ABORTED && io.status !== IoStatus.MISCOMPARE;
    if (media) request.qpair.controller!.subsystem.counters.add(Counter.MEDIA_ERRORS, 1);
    request.io = null;
    io.free();
    this.end(request, status);
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
    } else if (status !== Status.ABORTED) counters.add(Counter.MEDIA_ERRORS, 1);
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

  /** The request waits until there is an I/O object, and is then started anew. */
  wait(request: NvmfRequest, ns: NamespaceView): void {
    this.waiting.push(request);
    this.ask(ns.channel);
  }

  private ask(channel: { queueWait(waiter: { bdevIoAvailable(): void }): void }): void {
    if (this.asked) return;
    this.asked = true;
    channel.queueWait(this);
  }

  bdevIoAvailable(): void {
    this.asked = false;
    const count = this.waiting.length;
    for (let i = 0; i < count && !this.asked; i++) {
      const request = this.waiting.shift()!;
      this.start(request, request.qpair.controller!);
    }
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
    const at = this.waiting.indexOf(request);
    if (at < 0 || request.pending > 0) return false;
    this.waiting.splice(at, 1);
    this.end(request, Status.ABORTED);
    return true;
  }
}
