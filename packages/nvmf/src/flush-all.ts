import { type BdevChannel, type BdevIo, IoType } from '@spdk-ts/bdev';
import { CommandSeries } from './command-series.ts';
import type { NvmfController } from './controller.ts';
import type { IoCommands } from './io-commands.ts';
import type { NvmfRequest } from './request.ts';

/** Flushes that are under way at once. */
const FLUSHES = 32;

/** Flush with NSID FFFFFFFFh (Base 2.0, 7.1): flushes every namespace of the controller that its host sees. */
export class FlushAll extends CommandSeries {
  private readonly channels: BdevChannel[];
  private at = 0;

  constructor(commands: IoCommands, request: NvmfRequest, controller: NvmfController) {
    super(commands, request, FLUSHES);
    this.channels = controller.nsids
      .map((nsid) => controller.find(nsid)!)
      .flatMap((ns) => (ns.flushes ? [ns.channel] : []));
  }

  protected override next(): BdevChannel | null {
    return this.channels[this.at] ?? null;
  }

  protected override setUp(io: BdevIo): void {
    const channel = this.channels[this.at++]!;
    io.type = IoType.FLUSH;
    io.offset_blocks = 0;
    io.num_blocks = channel.num_blocks;
  }
}
