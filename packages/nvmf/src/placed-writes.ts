import { type BdevIo, type BdevIoOwner, IoType } from '@spdk-ts/bdev';
import { nvmOpcode } from '@spdk-ts/nvme-spec';
import { blocksOf, DTYPE, FUA, FUSE, PSDT, slbaOf } from './io-fields.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfRequest } from './request.ts';
import { statusOfIo } from './status.ts';
import type { NamespaceView, SubsystemView } from './subsystem-view.ts';

type Granted = (request: NvmfRequest) => void;

const nothing: Granted = () => {};

/** One write on its way, and its bdev I/O; pooled. */
export class PlacedWrite implements BdevIoOwner {
  private readonly group: NvmfPollGroup;
  private readonly pool: PlacedWrite[];
  private subsystem: SubsystemView | null = null;
  private ns: NamespaceView | null = null;
  private io: BdevIo | null = null;
  /** Null: it is gone, and its I/O is to go too. */
  private request: NvmfRequest | null = null;
  private granted: Granted = nothing;
  private committed = false;

  constructor(group: NvmfPollGroup, pool: PlacedWrite[]) {
    this.group = group;
    this.pool = pool;
  }

  /** Starts an I/O that was set up. False if it was refused: it is still the caller's. */
  start(
    request: NvmfRequest,
    io: BdevIo,
    subsystem: SubsystemView,
    ns: NamespaceView,
    granted: Granted,
  ): boolean {
    io.owner = this;
    if (io.channel!.submit(io) !== 0) return false;
    this.request = request;
    this.io = io;
    this.subsystem = subsystem;
    this.ns = ns;
    this.granted = granted;
    this.committed = false;
    request.placed = this;
    subsystem.held++;
    ns.loose++;
    return true;
  }

  /** All data of the request have come: the bdev takes them over. */
  commit(): void {
    this.committed = true;
    this.io!.channel!.zcopyEnd(this.io!, true);
  }

  /** The request goes without having been committed: whatever has come of its data stays where it is. */
  drop(): void {
    this.request!.placed = null;
    this.request = null;
    if (this.io!.zcopy_open) this.io!.channel!.zcopyEnd(this.io!, false);
  }

  bdevIoDone(io: BdevIo): void {
    const { request } = this;
    if (!io.zcopy_open) this.ended(io);
    else if (request === null) io.channel!.zcopyEnd(io, false);
    else {
      request.region = io.region;
      request.offset = io.offset;
      request.iovs = io.iovs;
      this.granted(request);
    }
  }

  /** There was no place, or it is given back. */
  private ended(io: BdevIo): void {
    const { request, granted, committed } = this;
    const subsystem = this.subsystem!;
    const status = statusOfIo(io);
    this.io = null;
    this.request = null;
    this.ns!.loose--;
    this.subsystem = null;
    this.ns = null;
    this.pool.push(this);
    io.free();
    subsystem.held--;
    if (request !== null) {
      request.placed = null;
      if (committed) this.group.io.placedEnded(request, status);
      else {
        request.status = status;
        granted(request);
      }
    }
    if (subsystem.paused) subsystem.drained();
  }
}

/**
 * Writes whose data go straight to where the bdev keeps them: the bdev names the place (zero-copy start) before the
 * transport fetches the data, and takes them over (zero-copy end) when all have come. One for each poll group.
 *
 * Until then the blocks hold some of the new data and some of the old, within a block too. NVMe leaves that to the
 * command: what its blocks hold is not defined before it completes, or if it never does.
 */
export class PlacedWrites {
  private readonly group: NvmfPollGroup;
  private readonly pool: PlacedWrite[] = [];

  constructor(group: NvmfPollGroup) {
    this.group = group;
  }

  /**
   * Asks for the place of a write's data. True: `granted` is called later, when the request has its place, or a status
   * that it is to fail with. False: it is no such write, or a wrong one, and goes the usual way.
   */
  begin(request: NvmfRequest, granted: Granted): boolean {
    const { qid, controller } = request.qpair;
    if (request.opcode !== nvmOpcode.write || qid <= 0 || controller === null) return false;
    const { subsystem, state } = controller;
    const ns = subsystem.find(request.nsid);
    if (ns?.places_writes !== true || subsystem.paused || !state.ready) return false;
    if (controller.gates[ns.nsid] !== 0) return false;
    const slba = slbaOf(request);
    const blocks = blocksOf(request);
    if (blocks * ns.block_size !== request.length || slba + blocks > ns.channel.num_blocks) return false;
    const cdw12 = request.cdw(12);
    if ((request.cdw(0) & FUSE) !== 0 || (request.cdw(0) & PSDT) === PSDT || (cdw12 & DTYPE) !== 0)
      return false;
    const io = ns.channel.getIo();
    if (io === null) return false;
    io.type = IoType.ZCOPY;
    io.offset_blocks = slba;
    io.num_blocks = blocks;
    io.populate = false;
    io.fua = (cdw12 & FUA) !== 0 || !state.writeCache;
    const write = this.pool.pop() ?? new PlacedWrite(this.group, this.pool);
    if (write.start(request, io, subsystem, ns, granted)) return true;
    this.pool.push(write);
    io.free();
    return false;
  }
}
