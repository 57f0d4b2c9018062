import { type BdevChannel, type BdevIo, IoType } from '@spdk-ts/bdev';
import { DSM_MAX_RANGES, DSM_RANGE_SIZE, dsmAttribute, oncs } from '@spdk-ts/nvme-spec';
import { CommandSeries } from './command-series.ts';
import type { NvmfController } from './controller.ts';
import type { IoCommands } from './io-commands.ts';
import { gather } from './memory-queue.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

const TWO_32 = 0x1_0000_0000;
/** Words of a range: context, length, first block. */
const WORDS = DSM_RANGE_SIZE / 4;

/**
 * Dataset Management (NVM Command Set 1.0, 3.2.3): an unmap for each range to deallocate; the hints about
 * integral ranges are taken and ignored. The first error is the command's.
 */
export function datasetManagement(
  commands: IoCommands,
  request: NvmfRequest,
  ns: NamespaceView,
  controller: NvmfController,
): void {
  const count = (request.cdw(10) & 0xff) + 1;
  if ((controller.masked_oncs & oncs.datasetManagement) !== 0) commands.unknown(request);
  else if (request.length < count * DSM_RANGE_SIZE) commands.end(request, Status.SGL_LENGTH_INVALID);
  else if ((request.cdw(11) & dsmAttribute.deallocate) === 0) commands.end(request, Status.SUCCESS);
  else if (!ns.unmaps) commands.unknown(request);
  else {
    const data = gather(commands.group.reactor.regions, request, count * DSM_RANGE_SIZE);
    const ranges = new Uint32Array(data.buffer, 0, count * WORDS);
    const status = check(ranges, ns, controller.subsystem.snapshot.dmrsl);
    if (status !== Status.SUCCESS) commands.end(request, status);
    else new Deallocation(commands, request, ns.channel, ranges).begin();
  }
}

/** `dmrsl`: most blocks of a range; 0: any number. */
function check(ranges: Uint32Array, ns: NamespaceView, dmrsl: number): number {
  for (let at = 0; at < ranges.length; at += WORDS) {
    const blocks = ranges[at + 1]!;
    const slba = ranges[at + 2]! + ranges[at + 3]! * TWO_32;
    if (slba + blocks > ns.channel.num_blocks) return Status.LBA_OUT_OF_RANGE;
    if (dmrsl > 0 && blocks > dmrsl) return Status.SIZE_LIMIT_EXCEEDED;
  }
  return Status.SUCCESS;
}

class Deallocation extends CommandSeries {
  private readonly channel: BdevChannel;
  private readonly ranges: Uint32Array;
  private at = 0;

  constructor(commands: IoCommands, request: NvmfRequest, channel: BdevChannel, ranges: Uint32Array) {
    super(commands, request, DSM_MAX_RANGES);
    this.channel = channel;
    this.ranges = ranges;
  }

  protected override next(): BdevChannel | null {
    while (this.at < this.ranges.length && this.ranges[this.at + 1] === 0) this.at += WORDS;
    return this.at < this.ranges.length ? this.channel : null;
  }

  protected override setUp(io: BdevIo): void {
    const { at, ranges } = this;
    io.type = IoType.UNMAP;
    io.offset_blocks = ranges[at + 2]! + ranges[at + 3]! * TWO_32;
    io.num_blocks = ranges[at + 1]!;
    this.at += WORDS;
  }
}
