import type { Random } from '@spdk-ts/env';

/** What a disk writes as a whole: less is never torn. */
export const SECTOR = 512;

/** A write: what it puts into each of its sectors. A hole or zeroes have no data. */
export interface DiskWrite {
  readonly at: number;
  readonly bytes: number;
  readonly data: Uint8Array | null;
}

/** One in the cache, and its place in the order of writes. */
interface Cached extends DiskWrite {
  readonly order: number;
}

/**
 * A disk with a volatile write cache, as unkind as one may be. What was written is read back at once, but is stable
 * only after a flush that began later, or with force unit access. When the power goes, each sector that was written
 * since holds its last stable data or those of any write since: writes are lost, torn between sectors and put in
 * another order. All offsets and lengths are bytes, multiples of {@link SECTOR}.
 */
export class SimDisk {
  readonly bytes: number;
  /** What is on the medium. */
  private readonly stable: Uint8Array;
  /** What reads see. */
  private readonly visible: Uint8Array;
  private cached: Cached[] = [];
  private orders = 0;
  /** Counted, for who wants to see that something happened. */
  writes = 0;
  flushes = 0;
  crashes = 0;
  /** Sectors that crashes took back. */
  lost = 0;

  constructor(bytes: number) {
    this.bytes = bytes;
    this.stable = new Uint8Array(bytes);
    this.visible = new Uint8Array(bytes);
  }

  read(at: number, to: Uint8Array): void {
    to.set(this.visible.subarray(at, at + to.length));
  }

  /** Writes data, or zeroes (null) of so many bytes. */
  write(at: number, bytes: number, data: Uint8Array | null): void {
    this.check(at, bytes);
    this.writes++;
    this.put(this.visible, { at, bytes, data });
    this.cached.push({ at, bytes, data: data === null ? null : data.slice(), order: ++this.orders });
  }

  /** Writes so that it is stable at once: as with force unit access. */
  writeStable(at: number, bytes: number, data: Uint8Array | null): void {
    this.check(at, bytes);
    this.writes++;
    this.put(this.visible, { at, bytes, data });
    this.put(this.stable, { at, bytes, data });
    // What the cache holds of these sectors is older.
    this.cached = this.cached.flatMap((old) => without(old, at, bytes));
  }

  /** A point in the order of writes: for {@link flush}. */
  mark(): number {
    return this.orders;
  }

  /** Makes everything stable that was written up to a mark, and nothing else. */
  flush(mark: number): void {
    this.flushes++;
    for (const write of this.cached) if (write.order <= mark) this.put(this.stable, write);
    this.cached = this.cached.filter(({ order }) => order > mark);
  }

  /**
   * The power goes. `underWay`: writes that were asked for and not answered: they, too, may have got to any of
   * their sectors.
   */
  crash(random: Random, underWay: readonly DiskWrite[] = []): void {
    this.crashes++;
    const pending = [...this.cached, ...underWay];
    this.cached = [];
    const sectors = new Set<number>();
    for (const { at, bytes } of pending) for (let s = at; s < at + bytes; s += SECTOR) sectors.add(s);
    for (const sector of sectors) {
      const candidates = pending.filter(({ at, bytes }) => sector >= at && sector < at + bytes);
      const chosen = random.below(candidates.length + 1);
      if (chosen === candidates.length) this.lost++;
      else {
        const { at, data } = candidates[chosen]!;
        this.put(this.stable, {
          at: sector,
          bytes: SECTOR,
          data: data === null ? null : data.subarray(sector - at, sector - at + SECTOR),
        });
      }
    }
    this.visible.set(this.stable);
  }

  private check(at: number, bytes: number): void {
    if (at % SECTOR !== 0 || bytes % SECTOR !== 0 || at < 0 || at + bytes > this.bytes)
      throw new RangeError(`a write of ${bytes} bytes at ${at} to a disk of ${this.bytes} bytes`);
  }

  private put(image: Uint8Array, { at, bytes, data }: DiskWrite): void {
    if (data === null) image.fill(0, at, at + bytes);
    else image.set(data, at);
  }
}

/** What is left of a cached write without a range. */
function without(old: Cached, at: number, bytes: number): Cached[] {
  const end = old.at + old.bytes;
  const kept: Cached[] = [];
  const keep = (from: number, to: number): void => {
    if (from >= to) return;
    const data = old.data === null ? null : old.data.subarray(from - old.at, to - old.at);
    kept.push({ at: from, bytes: to - from, data, order: old.order });
  };
  keep(old.at, Math.min(end, at));
  keep(Math.max(old.at, at + bytes), end);
  return kept;
}
