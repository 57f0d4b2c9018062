import type { BdevIo, BdevIoOwner } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { IoType, ioTypeMask, MODIFYING_TYPES } from './io-type.ts';
import { PASSTHRU_TYPES } from './nvme-passthru.ts';

/** A lock of a range of blocks, as the control thread tells every reactor of it. */
export interface RangeLockDescription {
  /** The bdev's. */
  readonly id: number;
  /** The lock's own. */
  readonly lock: number;
  readonly offset_blocks: number;
  readonly num_blocks: number;
  /** Reads wait, too. */
  readonly quiesce: boolean;
  /** Who asked for it, and the number that this reactor knows the holder by. -1: the control thread. */
  readonly reactor: number;
  readonly holder: number;
}

/** A range of blocks that one owner of a channel has for itself. */
export interface LbaRangeLock {
  /** Gives the range up: what waits for it goes on. Resolves when every reactor knows. */
  release(): Promise<void>;
}

/** Who asked a reactor for a lock. */
export interface RangeLockHolder {
  readonly channel: BdevChannel;
  readonly owner: BdevIoOwner;
}

const CHANGING = MODIFYING_TYPES | ioTypeMask(IoType.ZCOPY);
const READING = ioTypeMask(IoType.READ, IoType.COMPARE, IoType.SEEK_DATA, IoType.SEEK_HOLE);

/** A locked range on one reactor. */
export class RangeLock {
  readonly lock: number;
  private readonly start: number;
  private readonly end: number;
  private readonly quiesce: boolean;
  private readonly types: number;
  private readonly holder: RangeLockHolder | null;
  /** I/Os that were under way when the lock came: it is held once they have ended. */
  readonly blockers = new Set<BdevIo>();
  private drained: (() => void) | null = null;

  constructor(description: RangeLockDescription, holder: RangeLockHolder | null) {
    this.lock = description.lock;
    this.start = description.offset_blocks;
    this.end = this.start + description.num_blocks;
    this.quiesce = description.quiesce;
    this.types = description.quiesce ? CHANGING | READING : CHANGING;
    this.holder = holder;
  }

  /** True if an I/O may not be under way while the range is locked. */
  excludes(io: BdevIo): boolean {
    const type = 1 << io.type;
    if (io.owner.inLayer === true) return false;
    if (this.holder !== null && this.holder.channel === io.channel && this.holder.owner === io.owner)
      return false;
    // Nobody knows which blocks these touch.
    if ((PASSTHRU_TYPES & type) !== 0) return true;
    if ((this.types & type) === 0) return false;
    if (this.overlaps(io.offset_blocks, io.num_blocks)) return true;
    return this.quiesce && io.type === IoType.COPY && this.overlaps(io.src_offset_blocks, io.num_blocks);
  }

  private overlaps(offset_blocks: number, num_blocks: number): boolean {
    return offset_blocks < this.end && this.start < offset_blocks + num_blocks;
  }

  /** Resolves when no I/O is in the way any more. */
  held(): Promise<void> {
    if (this.blockers.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.drained = resolve;
    });
  }

  /** An I/O has ended. */
  ended(io: BdevIo): void {
    if (!this.blockers.delete(io) || this.blockers.size > 0) return;
    this.drained?.();
    this.drained = null;
  }
}
