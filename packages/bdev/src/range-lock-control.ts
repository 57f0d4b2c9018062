import type { ReactorHost } from '@spdk-ts/reactor';
import type { RangeLockDescription } from './range-lock.ts';

interface Lock extends RangeLockDescription {
  readonly released: Promise<void>;
  release(): void;
}

function overlap(a: RangeLockDescription, b: RangeLockDescription): boolean {
  return a.offset_blocks < b.offset_blocks + b.num_blocks && b.offset_blocks < a.offset_blocks + a.num_blocks;
}

/** The locked ranges of all bdevs, on the control thread: those that overlap are held one after another, as asked for. */
export class RangeLocks {
  private readonly host: ReactorHost;
  /** By the bdev's id: held, or waiting for an earlier one. */
  private readonly locks = new Map<number, Lock[]>();
  private ids = 0;

  constructor(host: ReactorHost) {
    this.host = host;
  }

  /** Locks a range on every reactor. Resolves with the lock's number when no I/O is in the way any more. */
  async lock(range: Omit<RangeLockDescription, 'lock'>): Promise<number> {
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const description: RangeLockDescription = { ...range, lock: ++this.ids };
    const before = this.locks.get(range.id) ?? [];
    this.locks.set(range.id, [...before, { ...description, released, release }]);
    await Promise.all(before.filter((other) => overlap(other, description)).map((other) => other.released));
    try {
      await this.host.broadcast('bdev', 'lockRange', description);
    } catch (error) {
      await this.unlock(range.id, description.lock);
      throw error;
    }
    return description.lock;
  }

  /** Gives a range up on every reactor. A lock that is not there is none of ours: nothing happens. */
  async unlock(id: number, lock: number): Promise<void> {
    const found = this.locks.get(id)?.find((other) => other.lock === lock);
    if (found === undefined) return;
    await this.host.broadcast('bdev', 'unlockRange', { id, lock });
    const left = this.locks.get(id)!.filter((other) => other !== found);
    if (left.length > 0) this.locks.set(id, left);
    else this.locks.delete(id);
    found.release();
  }
}
