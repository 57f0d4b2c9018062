import { type BdevIo, IoStatus } from '@spdk-ts/bdev';
import { hostStatus, NvmeRequest, type NvmeRequestOwner } from '@spdk-ts/nvme';
import {
  dataTransfer,
  fuse,
  genericStatus,
  mediaStatus,
  nvmOpcode,
  rwFlag,
  status,
  statusCode,
  statusSc,
  statusSct,
  statusType,
} from '@spdk-ts/nvme-spec';

const COMPARE_FAILURE = status(statusType.media, mediaStatus.compareFailure);
const FAILED_FUSED = status(statusType.generic, genericStatus.abortedFailedFused);
const isFusedFailure = (ended: number): boolean => statusCode(ended) === FAILED_FUSED;
const FUSE_SHIFT = 8;

/** Sends two commands in a row, over one queue. */
export interface PairSender {
  beginPair(first: NvmeRequest, second: NvmeRequest): void;
}

/** One I/O under way: its two commands, and how many of them have not ended. */
class Pair {
  readonly compare: NvmeRequest;
  readonly write: NvmeRequest;
  io: BdevIo | null = null;
  left = 0;

  constructor(owner: NvmeRequestOwner, index: number) {
    this.compare = new NvmeRequest(owner);
    this.write = new NvmeRequest(owner);
    this.compare.ownerIndex = index;
    this.write.ownerIndex = index;
  }
}

/**
 * Compares and writes as one: the fused operation Compare and Write (Base 2.0, 3.4.2; NVM Command Set 1.0, 3.1.1), which the controller
 * carries out as a whole, whoever else uses the namespace. A pair whose connection is lost is not sent again.
 */
export class FusedWrites implements NvmeRequestOwner {
  private readonly sender: PairSender;
  private readonly nsid: number;
  private readonly pairs: Pair[] = [];
  private readonly free: Pair[] = [];

  constructor(sender: PairSender, nsid: number) {
    this.sender = sender;
    this.nsid = nsid;
  }

  begin(io: BdevIo): void {
    const pair = this.free.pop() ?? this.grow();
    const { compare, write } = pair;
    const bytes = io.num_blocks * io.channel!.block_size;
    pair.io = io;
    pair.left = 2;
    compare.begin(nvmOpcode.compare, this.nsid);
    compare.sqe[0]! |= fuse.first << FUSE_SHIFT;
    compare.range(io.offset_blocks, io.num_blocks);
    compare.place(dataTransfer.hostToController, io.region, io.offset, bytes);
    compare.iovs = io.iovs;
    write.begin(nvmOpcode.write, this.nsid);
    write.sqe[0]! |= fuse.second << FUSE_SHIFT;
    write.range(io.offset_blocks, io.num_blocks, io.fua ? rwFlag.fua : 0);
    write.place(dataTransfer.hostToController, io.write_region, io.write_offset, bytes);
    write.iovs = io.write_iovs;
    this.sender.beginPair(compare, write);
  }

  private grow(): Pair {
    const pair = new Pair(this, this.pairs.length);
    this.pairs.push(pair);
    return pair;
  }

  nvmeDone(request: NvmeRequest): void {
    const pair = this.pairs[request.ownerIndex]!;
    if (--pair.left > 0) return;
    const io = pair.io!;
    pair.io = null;
    this.free.push(pair);
    // What keeps one from being carried out is told of that one; the other is then only aborted.
    const { compare, write } = pair;
    const ended = compare.status !== 0 && !isFusedFailure(compare.status) ? compare.status : write.status;
    if (ended === 0) io.complete(IoStatus.SUCCESS);
    else if (ended === hostStatus.ABORTED) io.complete(IoStatus.ABORTED);
    else if (statusCode(ended) === COMPARE_FAILURE) io.complete(IoStatus.MISCOMPARE);
    else io.completeNvme(statusSct(ended), statusSc(ended));
  }
}
