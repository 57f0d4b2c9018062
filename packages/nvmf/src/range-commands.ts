import { IoType } from '@spdk-ts/bdev';
import { oncs } from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import type { IoCommands } from './io-commands.ts';
import { blocksOf, DEAC, DTYPE, FUA, slbaOf } from './io-fields.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

/*
 * Commands on a range of blocks that bring no data.
 */

/** The status that Write Zeroes (NVM Command Set 1.0, 3.2.8) is refused with before any block is touched, or 0. */
export function checkWriteZeroes(
  request: NvmfRequest,
  ns: NamespaceView,
  controller: NvmfController,
): number {
  const cdw12 = request.cdw(12);
  const blocks = blocksOf(request);
  const { wzsl } = controller.subsystem.snapshot;
  if (!ns.zeroes || (controller.masked_oncs & oncs.writeZeroes) !== 0) return Status.INVALID_OPCODE;
  if ((cdw12 & DTYPE) !== 0 || ((cdw12 & DEAC) !== 0 && !ns.zeroes_deallocate)) return Status.INVALID_FIELD;
  if (wzsl > 0 && blocks * ns.block_size > 4096 * 2 ** wzsl) return Status.INVALID_FIELD;
  return slbaOf(request) + blocks > ns.channel.num_blocks ? Status.LBA_OUT_OF_RANGE : Status.SUCCESS;
}

/**
 * Write Zeroes. Blocks that may be deallocated are unmapped, where those read as zeroes; but not where the zeroes are to be
 * on the medium at once, as an unmap knows no force unit access.
 */
export function writeZeroes(
  commands: IoCommands,
  request: NvmfRequest,
  ns: NamespaceView,
  controller: NvmfController,
): void {
  const status = checkWriteZeroes(request, ns, controller);
  if (status !== Status.SUCCESS) {
    commands.end(request, status);
    return;
  }
  const cdw12 = request.cdw(12);
  const fua = (cdw12 & FUA) !== 0 || !controller.state.writeCache;
  const type = (cdw12 & DEAC) !== 0 && !fua ? IoType.UNMAP : IoType.WRITE_ZEROES;
  commands.withoutData(request, ns, type, slbaOf(request), blocksOf(request), fua);
}

/** Write Uncorrectable (NVM Command Set 1.0, 3.2.7): for bdevs that can make blocks unreadable. */
export function writeUncorrectable(commands: IoCommands, request: NvmfRequest, ns: NamespaceView): void {
  const slba = slbaOf(request);
  const blocks = blocksOf(request);
  if (!ns.makes_uncorrectable) commands.unknown(request);
  else if ((request.cdw(12) & DTYPE) !== 0) commands.end(request, Status.INVALID_FIELD);
  else if (slba + blocks > ns.channel.num_blocks) commands.end(request, Status.LBA_OUT_OF_RANGE);
  else commands.withoutData(request, ns, IoType.WRITE_UNCORRECTABLE, slba, blocks, false);
}
