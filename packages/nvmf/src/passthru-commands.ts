import { type BdevIo, type BdevIoOwner, IoStatus, IoType } from '@spdk-ts/bdev';
import type { IoCommands } from './io-commands.ts';
import { IoSlots } from './io-slots.ts';
import { clearFrom } from './memory-queue.ts';
import { type NvmfRequest, Transfer } from './request.ts';
import { Status, statusOfErrno } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

/** Commands that the target does not know, at a bdev that is an NVMe namespace: they are handed on as they are. */
export class PassthruCommands implements BdevIoOwner {
  private readonly commands: IoCommands;
  private readonly slots = new IoSlots();

  constructor(commands: IoCommands) {
    this.commands = commands;
  }

  execute(request: NvmfRequest, ns: NamespaceView): void {
    const { commands } = this;
    if (!commands.hasPlace(request)) return;
    const io = ns.channel.getIo();
    if (io === null) {
      commands.wait(request, ns.channel);
      return;
    }
    // A controller may return less than the host has room for.
    if (request.transfer === Transfer.CONTROLLER_TO_HOST)
      clearFrom(commands.group.reactor.regions, request, 0);
    io.type = IoType.NVME_IO;
    io.command = request.sqe32;
    io.region = request.region;
    io.offset = request.offset;
    io.length = request.length;
    io.iovs = request.iovs;
    io.owner = this;
    io.ownerIndex = this.slots.take(request);
    request.io = io;
    const result = ns.channel.submit(io);
    if (result === 0) return;
    this.slots.give(io.ownerIndex);
    request.io = null;
    io.free();
    commands.end(request, statusOfErrno(result));
  }

  bdevIoDone(io: BdevIo): void {
    const request = this.slots.give(io.ownerIndex);
    if (io.status !== IoStatus.SUCCESS) {
      this.commands.failed(request, io);
      return;
    }
    request.dw0 = io.cdw0 >>> 0;
    request.io = null;
    io.free();
    this.commands.end(request, Status.SUCCESS);
  }
}
