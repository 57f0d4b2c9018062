import { type BdevIo, IoType } from '@spdk-ts/bdev';
import { ZONE_SEND_ALL, ZONE_SEND_OPTION, znsOpcode, zoneSendAction } from '@spdk-ts/nvme-spec';
import { ZoneAction } from '@spdk-ts/zones';
import type { NvmfController } from './controller.ts';
import { Counter } from './counters.ts';
import { blocksOf, DTYPE, FUA, slbaOf } from './io-fields.ts';
import type { NvmfRequest } from './request.ts';
import { SingleIoCommands } from './single-io-commands.ts';
import { Status } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';
import { zoneReceive } from './zone-receive.ts';

const TWO_32 = 0x1_0000_0000;

/** What the bdev layer calls each Zone Send Action. */
const actions: ReadonlyMap<number, number> = new Map([
  [zoneSendAction.close, ZoneAction.CLOSE],
  [zoneSendAction.finish, ZoneAction.FINISH],
  [zoneSendAction.open, ZoneAction.OPEN],
  [zoneSendAction.reset, ZoneAction.RESET],
  [zoneSendAction.offline, ZoneAction.OFFLINE],
]);

/**
 * What the Zoned Namespace Command Set (1.1, 3.4) adds to that of blocks; the zones themselves, with their states and
 * limits, are the bdev's. Zones have no descriptor extensions and no random write areas.
 */
export class ZnsCommands extends SingleIoCommands {
  execute(request: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    switch (request.opcode) {
      case znsOpcode.zoneAppend:
        this.append(request, ns, controller);
        break;
      case znsOpcode.zoneManagementSend:
        this.send(request, ns);
        break;
      case znsOpcode.zoneManagementReceive:
        zoneReceive(this.commands, request, ns);
        break;
      default:
        this.commands.executeNvm(request, ns, controller);
    }
  }

  /** Zone Append: the completion tells where the data are. */
  private append(request: NvmfRequest, ns: NamespaceView, controller: NvmfController): void {
    const { commands } = this;
    const { description } = ns.channel.device;
    const slba = slbaOf(request);
    const blocks = blocksOf(request);
    const bytes = blocks * ns.block_size;
    const most = description.max_zone_append_size || description.zone_size;
    if (bytes > request.qpair.maxIoSize || bytes > ns.append_bytes || (request.cdw(12) & DTYPE) !== 0)
      commands.end(request, Status.INVALID_FIELD);
    else if (slba >= ns.channel.num_blocks) commands.end(request, Status.LBA_OUT_OF_RANGE);
    else if (slba % description.zone_size !== 0) commands.end(request, Status.INVALID_FIELD);
    else if (bytes !== request.length) commands.end(request, Status.SGL_LENGTH_INVALID);
    else if (blocks > most) commands.end(request, Status.ZONE_BOUNDARY);
    else {
      const io = ns.channel.getIo();
      if (io === null) {
        commands.wait(request, ns.channel);
        return;
      }
      io.type = IoType.ZONE_APPEND;
      io.offset_blocks = slba;
      io.num_blocks = blocks;
      io.region = request.region;
      io.offset = request.offset;
      io.length = bytes;
      io.iovs = request.iovs;
      io.fua = (request.cdw(12) & FUA) !== 0 || !controller.state.writeCache;
      this.submit(request, io);
    }
  }

  /** An append's. */
  protected override succeeded(request: NvmfRequest, io: BdevIo): void {
    const { counters } = request.qpair.controller!.subsystem;
    counters.add(Counter.WRITE_COMMANDS, 1);
    counters.add(Counter.BYTES_WRITTEN, request.length);
    request.dw0 = io.append_location >>> 0;
    request.dw1 = Math.floor(io.append_location / TWO_32);
  }

  /** Zone Management Send. */
  private send(request: NvmfRequest, ns: NamespaceView): void {
    const { commands } = this;
    const { zone_size } = ns.channel.device.description;
    const { num_blocks } = ns.channel;
    const cdw13 = request.cdw(13);
    const action = actions.get(cdw13 & 0xff);
    const all = (cdw13 & ZONE_SEND_ALL) !== 0;
    const slba = all ? 0 : slbaOf(request);
    const with_area = action === ZoneAction.OPEN && (cdw13 & ZONE_SEND_OPTION) !== 0;
    if (action === undefined || with_area) commands.end(request, Status.INVALID_FIELD);
    else if (slba >= num_blocks) commands.end(request, Status.LBA_OUT_OF_RANGE);
    else if (slba % zone_size !== 0) commands.end(request, Status.INVALID_FIELD);
    else {
      const io = ns.channel.getIo();
      if (io === null) {
        commands.wait(request, ns.channel);
        return;
      }
      io.type = IoType.ZONE_MANAGEMENT;
      io.offset_blocks = slba;
      io.num_blocks = all ? num_blocks : zone_size;
      io.zone_action = action;
      io.zone_all = all;
      commands.submit(request, io);
    }
  }
}
