import { type BdevIo, type BdevIoOwner, IoVec } from '@spdk-ts/bdev';

const PIECES = 8;

/** Who is told of the end of an operation's I/O on the base. */
export interface OperationOwner {
  baseDone(operation: LogOperation, base: BdevIo): void;
}

/** One key-value I/O at work on the base. Pooled, every field set here. */
export class LogOperation implements BdevIoOwner {
  /** Place in its channel's list. */
  readonly index: number;
  /** In the channel's scratch region: room for a record's head, and behind it for what fills a unit up. */
  readonly scratch: number;
  private readonly owner: OperationOwner;
  io: BdevIo | null = null;
  iovs = new IoVec(PIECES);
  hash = 0;
  /** Where the record is, or is to be. */
  generation = 0;
  offset = 0;
  /** Bytes of the whole value; bytes that are read. */
  value_bytes = 0;
  room = 0;
  /** Units that the store takes more than what it replaces, and whether its key is new. */
  delta_units = 0;
  new_key = false;

  constructor(index: number, scratch: number, owner: OperationOwner) {
    this.index = index;
    this.scratch = scratch;
    this.owner = owner;
  }

  bdevIoDone(base: BdevIo): void {
    this.owner.baseDone(this, base);
  }

  /** An empty gather list with room for an I/O's data and two pieces more. */
  emptyIovs(io: BdevIo): IoVec {
    const pieces = (io.iovs === null ? 1 : io.iovs.count) + 2;
    if (pieces > this.iovs.capacity) this.iovs = new IoVec(2 ** Math.ceil(Math.log2(pieces)));
    this.iovs.clear();
    return this.iovs;
  }
}

/** Appends the first bytes of an I/O's data to a gather list. */
export function pushData(iovs: IoVec, io: BdevIo, length: number): void {
  if (io.iovs === null) {
    if (length > 0) iovs.push(io.region, io.offset, length);
    return;
  }
  let left = length;
  for (let i = 0; i < io.iovs.count && left > 0; i++) {
    const count = Math.min(left, io.iovs.length[i]!);
    if (count > 0) iovs.push(io.iovs.region[i]!, io.iovs.offset[i]!, count);
    left -= count;
  }
}
