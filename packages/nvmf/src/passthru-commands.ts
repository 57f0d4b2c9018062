import { type BdevIo, IoType } from '@spdk-ts/bdev';
import { clearFrom } from './memory-queue.ts';
import { type NvmfRequest, Transfer } from './request.ts';
import { SingleIoCommands } from './single-io-commands.ts';
import type { NamespaceView } from './subsystem-view.ts';

/** Commands that the target does not know, at a bdev that is an NVMe namespace: they are handed on as they are. */
export class PassthruCommands extends SingleIoCommands {
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
    this.submit(request, io);
  }

  protected override succeeded(request: NvmfRequest, io: BdevIo): void {
    request.dw0 = io.cdw0 >>> 0;
  }
}
