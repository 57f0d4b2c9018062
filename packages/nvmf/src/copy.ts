import { type BdevChannel, type BdevIo, IoType } from '@spdk-ts/bdev';
import { copyRangeBlocks, copyRangeSize, copyRangeSlba, oncs, viewOf } from '@spdk-ts/nvme-spec';
import { CommandSeries } from './command-series.ts';
import type { NvmfController } from './controller.ts';
import type { IoCommands } from './io-commands.ts';
import { DTYPE, FUA, slbaOf } from './io-fields.ts';
import { gather } from './memory-queue.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

/** Formats 0h and 1h: OCFS of Identify Controller. */
export const COPY_FORMATS = 0x3;
/** Source ranges, and bytes, of one command. */
const RANGES_MAX = 128;
const BYTES_MAX = 64 * 1024 * 1024;

/** What a Copy may have at most, as Identify Namespace tells it: MSSRL and MCL in blocks, MSRC 0's based. */
export function copyLimits(ns: NamespaceView): { mssrl: number; mcl: number; msrc: number } {
  if (!ns.copies) return { mssrl: 0, mcl: 0, msrc: 0 };
  const mcl = Math.floor(BYTES_MAX / ns.block_size);
  return { mssrl: Math.min(mcl, 0xffff), mcl, msrc: RANGES_MAX - 1 };
}

/**
 * Copy (NVM Command Set 1.0, 3.2.2): the source ranges one after another, each by the bdev's copy or what the layer makes of
 * reads and writes. Tags of the ranges mean nothing where there is no protection information.
 */
export function copy(
  commands: IoCommands,
  request: NvmfRequest,
  ns: NamespaceView,
  controller: NvmfController,
): void {
  const cdw12 = request.cdw(12);
  const count = (cdw12 & 0xff) + 1;
  const size = copyRangeSize((cdw12 >>> 8) & 0xf);
  if (!ns.copies || (controller.masked_oncs & oncs.copy) !== 0) commands.unknown(request);
  else if (size === 0 || (cdw12 & DTYPE) !== 0) commands.end(request, Status.INVALID_FIELD);
  else if (count > RANGES_MAX) commands.end(request, Status.SIZE_LIMIT_EXCEEDED);
  else if (request.length < count * size) commands.end(request, Status.SGL_LENGTH_INVALID);
  else {
    const view = viewOf(gather(commands.group.reactor.regions, request, count * size));
    const status = check(view, size, ns, slbaOf(request));
    const stable = ((cdw12 & FUA) !== 0 || !controller.state.writeCache) && ns.flushes;
    if (status !== Status.SUCCESS) commands.end(request, status);
    else new Copying(commands, request, ns.channel, view, size, stable).begin();
  }
}

function check(view: DataView, size: number, ns: NamespaceView, sdlba: number): number {
  const { mssrl, mcl } = copyLimits(ns);
  const { num_blocks } = ns.channel;
  let total = 0;
  let outside = false;
  for (let at = 0; at < view.byteLength; at += size) {
    const blocks = copyRangeBlocks(view, at);
    if (blocks > mssrl) return Status.SIZE_LIMIT_EXCEEDED;
    if (copyRangeSlba(view, at) + blocks > num_blocks) outside = true;
    total += blocks;
  }
  if (total > mcl) return Status.SIZE_LIMIT_EXCEEDED;
  return outside || sdlba + total > num_blocks ? Status.LBA_OUT_OF_RANGE : Status.SUCCESS;
}

class Copying extends CommandSeries {
  private readonly channel: BdevChannel;
  private readonly ranges: DataView;
  private readonly size: number;
  private readonly sdlba: number;
  /** All of it is to be on the medium when the command completes. */
  private readonly stable: boolean;
  /** Byte of the next range, and blocks of those before it. */
  private at = 0;
  private blocks = 0;
  private copied = 0;
  private flushed = false;

  constructor(
    commands: IoCommands,
    request: NvmfRequest,
    channel: BdevChannel,
    ranges: DataView,
    size: number,
    stable: boolean,
  ) {
    super(commands, request, 1);
    this.channel = channel;
    this.ranges = ranges;
    this.size = size;
    this.sdlba = slbaOf(request);
    this.stable = stable;
  }

  protected override next(): BdevChannel | null {
    const more = this.at < this.ranges.byteLength || (this.stable && !this.flushed);
    return more ? this.channel : null;
  }

  protected override setUp(io: BdevIo): void {
    if (this.at === this.ranges.byteLength) {
      io.type = IoType.FLUSH;
      io.offset_blocks = this.sdlba;
      io.num_blocks = this.blocks;
      this.flushed = true;
      return;
    }
    io.type = IoType.COPY;
    io.offset_blocks = this.sdlba + this.blocks;
    io.src_offset_blocks = copyRangeSlba(this.ranges, this.at);
    io.num_blocks = copyRangeBlocks(this.ranges, this.at);
    this.blocks += io.num_blocks;
    this.at += this.size;
  }

  protected override succeeded(io: BdevIo): number {
    if (io.type === IoType.COPY) this.copied++;
    return Status.SUCCESS;
  }

  /** Dword 0 of a Copy that failed: the first range that was not copied. */
  protected override ended(status: number): void {
    const last = this.ranges.byteLength / this.size - 1;
    if (status !== Status.SUCCESS) this.request.dw0 = Math.min(this.copied, last);
  }
}
