import { type BdevChannel, type BdevIo, IoType } from '@spdk-ts/bdev';
import { CommandSeries } from './command-series.ts';
import type { IoCommands } from './io-commands.ts';
import { blocksOf, slbaOf } from './io-fields.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

/** Reads that are under way at once. */
const READS = 2;

/** Verify (NVM Command Set 1.0, 3.2.6): reads the blocks, and lets nobody see them. */
export function verify(commands: IoCommands, request: NvmfRequest, ns: NamespaceView): void {
  if (!ns.verifies) commands.unknown(request);
  else if (slbaOf(request) + blocksOf(request) > ns.channel.num_blocks)
    commands.end(request, Status.LBA_OUT_OF_RANGE);
  else new Verification(commands, request, ns).begin();
}

/** A Verify that is under way: reads that leave the place of their data to the bdev layer, each no longer than a buffer. */
export class Verification extends CommandSeries {
  private readonly channel: BdevChannel;
  private readonly piece_blocks: number;
  private readonly slba: number;
  private readonly blocks: number;
  private done = 0;

  constructor(commands: IoCommands, request: NvmfRequest, ns: NamespaceView) {
    super(commands, request, READS);
    this.channel = ns.channel;
    this.piece_blocks = Math.max(1, Math.floor(commands.group.reactor.buffers.max_bytes / ns.block_size));
    this.slba = slbaOf(request);
    this.blocks = blocksOf(request);
  }

  protected override next(): BdevChannel | null {
    return this.done < this.blocks ? this.channel : null;
  }

  protected override setUp(io: BdevIo): void {
    io.type = IoType.READ;
    io.offset_blocks = this.slba + this.done;
    io.num_blocks = Math.min(this.piece_blocks, this.blocks - this.done);
    this.setChecks(io, this.done);
    this.done += io.num_blocks;
  }

  /** What of their protection information is checked. `skip`: blocks from the command's first. */
  protected setChecks(_io: BdevIo, _skip: number): void {}
}
