import { type BdevIo, type BdevIoOwner, Errno, IoStatus, IoType } from '@spdk-ts/bdev';
import { DSM_RANGE_SIZE, dsmAttribute } from '@spdk-ts/nvme-spec';
import type { IoCommands } from './io-commands.ts';
import { IoSlots } from './io-slots.ts';
import { gather } from './memory-queue.ts';
import type { NvmfRequest } from './request.ts';
import { Status, statusOfErrno, statusOfIo } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

const TWO_32 = 0x1_0000_0000;

/**
 * Dataset Management (NVM Command Set 1.0, 3.2.3): an unmap for each range to deallocate; the hints about
 * integral ranges are taken and ignored. The first error is the command's.
 */
export class DatasetManagement implements BdevIoOwner {
  private readonly commands: IoCommands;
  private readonly slots = new IoSlots();
  /** Commands that ran out of I/O objects: how many of their ranges have been seen. */
  private readonly resumeAt = new Map<NvmfRequest, number>();

  constructor(commands: IoCommands) {
    this.commands = commands;
  }

  execute(request: NvmfRequest, ns: NamespaceView): void {
    const from = this.resumeAt.get(request) ?? 0;
    this.resumeAt.delete(request);
    if (from > 0) {
      // The count that stood for the wait.
      request.pending--;
      this.deallocate(request, ns, from);
      return;
    }
    const ranges = (request.cdw(10) & 0xff) + 1;
    if (request.length < ranges * DSM_RANGE_SIZE) this.commands.end(request, Status.SGL_LENGTH_INVALID);
    else if ((request.cdw(11) & dsmAttribute.deallocate) === 0) this.commands.end(request, Status.SUCCESS);
    else if (!ns.unmaps) this.commands.end(request, Status.INVALID_OPCODE);
    else this.deallocate(request, ns, 0);
  }

  private deallocate(request: NvmfRequest, ns: NamespaceView, from: number): void {
    const count = (request.cdw(10) & 0xff) + 1;
    const regions = this.commands.group.reactor.regions;
    const data = gather(regions, request, count * DSM_RANGE_SIZE);
    const ranges = new Uint32Array(data.buffer, 0, count * 4);
    const { dmrsl } = request.qpair.controller!.subsystem.snapshot;
    if (from === 0) {
      for (let at = 0; at < count * 4; at += 4) {
        const blocks = ranges[at + 1]!;
        const slba = ranges[at + 2]! + ranges[at + 3]! * TWO_32;
        let status: number = Status.SUCCESS;
        if (slba + blocks > ns.channel.num_blocks) status = Status.LBA_OUT_OF_RANGE;
        else if (dmrsl > 0 && blocks > dmrsl) status = Status.SIZE_LIMIT_EXCEEDED;
        if (status === Status.SUCCESS) continue;
        this.commands.end(request, status);
        return;
      }
    }
    // One count for this loop: no unmap that ends early ends the command.
    request.pending++;
    for (let i = from; i < count && request.status === 0 && !request.abortRequested; i++) {
      const blocks = ranges[i * 4 + 1]!;
      if (blocks === 0) continue;
      const slba = ranges[i * 4 + 2]! + ranges[i * 4 + 3]! * TWO_32;
      const result = this.unmap(request, ns, slba, blocks);
      if (result === Errno.ENOMEM) {
        // The loop's count stands until it goes on. Range 0 with nothing done starts anew.
        if (i === 0) request.pending--;
        else this.resumeAt.set(request, i);
        this.commands.wait(request, ns);
        return;
      }
      if (result !== 0) request.status = statusOfErrno(result);
    }
    this.finish(request);
  }

  private unmap(request: NvmfRequest, ns: NamespaceView, slba: number, blocks: number): number {
    const io = ns.channel.getIo();
    if (io === null) return Errno.ENOMEM;
    io.type = IoType.UNMAP;
    io.offset_blocks = slba;
    io.num_blocks = blocks;
    io.owner = this;
    io.ownerIndex = this.slots.take(request);
    const result = ns.channel.submit(io);
    if (result === 0) request.pending++;
    else {
      this.slots.give(io.ownerIndex);
      io.free();
    }
    return result;
  }

  bdevIoDone(io: BdevIo): void {
    const request = this.slots.give(io.ownerIndex);
    if (io.status !== IoStatus.SUCCESS && request.status === 0) request.status = statusOfIo(io);
    io.free();
    this.finish(request);
  }

  private finish(request: NvmfRequest): void {
    if (--request.pending > 0) return;
    const aborted = request.abortRequested && request.status === 0;
    this.commands.end(request, aborted ? Status.ABORTED : request.status);
  }
}
