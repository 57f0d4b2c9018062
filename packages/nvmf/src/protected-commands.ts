import { type BdevChannel, type BdevIo, IoType, ZERO_BYTES } from '@spdk-ts/bdev';
import { DifType } from '@spdk-ts/dif';
import { nvmOpcode, oncs } from '@spdk-ts/nvme-spec';
import { CommandSeries } from './command-series.ts';
import type { NvmfController } from './controller.ts';
import { datasetManagement } from './dataset-management.ts';
import type { IoCommands } from './io-commands.ts';
import { blocksOf, DTYPE, FUA, slbaOf } from './io-fields.ts';
import { CHECK_NOTHING, ProtectedTransfer } from './protected-transfer.ts';
import { checkWriteZeroes } from './range-commands.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';
import { Verification } from './verify.ts';

/** A command at a namespace with protection information. */
export function executeProtected(
  commands: IoCommands,
  request: NvmfRequest,
  ns: NamespaceView,
  controller: NvmfController,
): void {
  if (ns.protection!.is_extended && !controller.state.extendedLbaFormats) {
    commands.end(request, Status.INVALID_NAMESPACE);
    return;
  }
  switch (request.opcode) {
    case nvmOpcode.read:
      transfer(commands, request, ns, IoType.READ, false);
      break;
    case nvmOpcode.write: {
      const fua = (request.cdw(12) & FUA) !== 0 || !controller.state.writeCache;
      transfer(commands, request, ns, IoType.WRITE, fua);
      break;
    }
    case nvmOpcode.compare:
      if (ns.compares && (controller.masked_oncs & oncs.compare) === 0)
        transfer(commands, request, ns, IoType.COMPARE, false);
      else commands.unknown(request);
      break;
    case nvmOpcode.flush:
      commands.flush(request, ns);
      break;
    case nvmOpcode.writeZeroes:
      writeZeroes(commands, request, ns, controller);
      break;
    case nvmOpcode.datasetManagement:
      datasetManagement(commands, request, ns, controller);
      break;
    case nvmOpcode.verify:
      verify(commands, request, ns);
      break;
    default:
      commands.executeCommon(request, ns, controller);
  }
}

/** Read, Write, Compare. */
function transfer(
  commands: IoCommands,
  request: NvmfRequest,
  ns: NamespaceView,
  type: number,
  fua: boolean,
): void {
  const protection = ns.protection!;
  const slba = slbaOf(request);
  const blocks = blocksOf(request);
  const status = protection.parse(request, slba);
  const { acts } = protection.fields;
  const data_only = acts && protection.is_all_metadata;
  const bytes = blocks * (data_only ? protection.dif.layout.data_block_size : ns.block_size);
  if (bytes > request.qpair.maxIoSize || (type === IoType.WRITE && (request.cdw(12) & DTYPE) !== 0))
    commands.end(request, Status.INVALID_FIELD);
  else if (slba + blocks > ns.channel.num_blocks) commands.end(request, Status.LBA_OUT_OF_RANGE);
  else if (bytes !== request.length) commands.end(request, Status.SGL_LENGTH_INVALID);
  else if (status !== Status.SUCCESS) commands.end(request, status);
  else if (!data_only && !(acts && type === IoType.WRITE)) asItIs(commands, request, ns, type, fua);
  else if (commands.hasPlace(request)) new ProtectedTransfer(commands, request, ns, type, fua).begin();
}

/** What hosts transfer is what the bdev has: it checks what it is told to. */
function asItIs(
  commands: IoCommands,
  request: NvmfRequest,
  ns: NamespaceView,
  type: number,
  fua: boolean,
): void {
  const io = ns.channel.getIo();
  if (io === null) {
    commands.wait(request, ns.channel);
    return;
  }
  io.type = type;
  io.offset_blocks = slbaOf(request);
  io.num_blocks = blocksOf(request);
  io.region = request.region;
  io.offset = request.offset;
  io.length = request.length;
  io.iovs = request.iovs;
  io.fua = fua;
  setChecks(io, ns, 0);
  commands.submit(request, io);
}

/** Tells the bdev what to check. `skip`: blocks from the command's first. */
function setChecks(io: BdevIo, ns: NamespaceView, skip: number): void {
  const { checks, tags } = ns.protection!.fields;
  io.dif_exclude = CHECK_NOTHING & ~checks;
  io.dif_app_tag = tags.app_tag;
  io.dif_app_tag_mask = tags.app_tag_mask;
  io.dif_ref_tag = tags.ref_tag + (ns.protection!.description.dif_type === DifType.TYPE_3 ? 0 : skip);
}

/** Verify: the controller cannot act on what nobody transfers. */
function verify(commands: IoCommands, request: NvmfRequest, ns: NamespaceView): void {
  const slba = slbaOf(request);
  const status = ns.protection!.parse(request, slba);
  if (!ns.verifies) commands.unknown(request);
  else if (ns.protection!.fields.acts) commands.end(request, Status.INVALID_FIELD);
  else if (slba + blocksOf(request) > ns.channel.num_blocks) commands.end(request, Status.LBA_OUT_OF_RANGE);
  else if (status !== Status.SUCCESS) commands.end(request, status);
  else new ProtectedVerification(commands, request, ns).begin();
}

class ProtectedVerification extends Verification {
  private readonly ns: NamespaceView;

  constructor(commands: IoCommands, request: NvmfRequest, ns: NamespaceView) {
    super(commands, request, ns);
    this.ns = ns;
  }

  protected override setChecks(io: BdevIo, skip: number): void {
    this.ns.protection!.parse(this.request, slbaOf(this.request));
    setChecks(io, this.ns, skip);
  }
}

/**
 * Write Zeroes: with PRACT the blocks get protection information of the command's tags, without it zeroes there as well,
 * which no check will let pass.
 */
function writeZeroes(
  commands: IoCommands,
  request: NvmfRequest,
  ns: NamespaceView,
  controller: NvmfController,
): void {
  const refused = checkWriteZeroes(request, ns, controller);
  const status = refused !== Status.SUCCESS ? refused : ns.protection!.parse(request, slbaOf(request));
  const fua = (request.cdw(12) & FUA) !== 0 || !controller.state.writeCache;
  if (status !== Status.SUCCESS) commands.end(request, status);
  else if (ns.protection!.fields.acts) generateZeroes(commands, request, ns, fua);
  else new ZeroBlocks(commands, request, ns, fua).begin();
}

function generateZeroes(commands: IoCommands, request: NvmfRequest, ns: NamespaceView, fua: boolean): void {
  const io = ns.channel.getIo();
  if (io === null) {
    commands.wait(request, ns.channel);
    return;
  }
  io.type = IoType.WRITE_ZEROES;
  io.offset_blocks = slbaOf(request);
  io.num_blocks = blocksOf(request);
  io.fua = fua;
  setChecks(io, ns, 0);
  io.dif_exclude = CHECK_NOTHING;
  commands.submit(request, io);
}

/** Blocks that are zeroes altogether. */
class ZeroBlocks extends CommandSeries {
  private readonly channel: BdevChannel;
  private readonly block_size: number;
  private readonly slba: number;
  private readonly blocks: number;
  private readonly fua: boolean;
  private done = 0;

  constructor(commands: IoCommands, request: NvmfRequest, ns: NamespaceView, fua: boolean) {
    super(commands, request, 1);
    this.channel = ns.channel;
    this.block_size = ns.block_size;
    this.slba = slbaOf(request);
    this.blocks = blocksOf(request);
    this.fua = fua;
  }

  protected override next(): BdevChannel | null {
    return this.done < this.blocks ? this.channel : null;
  }

  protected override setUp(io: BdevIo): void {
    const blocks = Math.min(Math.floor(ZERO_BYTES / this.block_size), this.blocks - this.done);
    io.type = IoType.WRITE;
    io.offset_blocks = this.slba + this.done;
    io.num_blocks = blocks;
    io.region = this.channel.device.zeroRegion;
    io.offset = 0;
    io.length = blocks * this.block_size;
    io.fua = this.fua;
    io.dif_exclude = CHECK_NOTHING;
    this.done += blocks;
  }
}
