import { allocateIndex, KvIndex, tryLock, unlock } from '@spdk-ts/kv';
import { type LogFormat, recordBytes } from './layout.ts';

/** Words of the index's user area. */
const LOCK = 0;
const HEAD = 1;
const HEAD_BYTES = 2;
const READY = 3;
const TAIL = 4;
const MAINTAINER = 5;
const LIVE_UNITS = 6;
const CLAIMED_KEYS = 7;
const RECLAIMED = 8;
const FAILURE = 9;
/** What the index keeps of a value: bytes, and the generation and byte offset in its segment of its record. */
export const BYTES = 0;
export const GENERATION = 1;
export const OFFSET = 2;
/** Segments that only the moving of live records may begin: see {@link LogState.reserve}. */
export const SPARE_SEGMENTS = 5;
/** Of what then remains so much is offered: the rest keeps the moving of live records cheap. */
const OFFERED = 0.8;
const KEY_LOCKS = 4096;
/** Keys that stores left which were told to have failed: they are found at a start, whatever the limit. */
const KEYS_MORE = 4096;

/** What all reactors share of a log: its index, and where it ends and begins. */
export interface SharedLog {
  readonly index: SharedArrayBuffer;
  /** For each segment: writes to it that are under way, then reads. */
  readonly users: SharedArrayBuffer;
  /** Keys that are being changed, by hash. */
  readonly keys: SharedArrayBuffer;
}

export function allocateShared(format: LogFormat): SharedLog {
  return {
    index: allocateIndex(format.max_num_keys + KEYS_MORE),
    users: new SharedArrayBuffer(format.segments * 8),
    keys: new SharedArrayBuffer(KEY_LOCKS * 4),
  };
}

/** Bytes of records that a log may hold, each rounded up to units. */
export function capacityOf(format: LogFormat): number {
  const { unit, segment_bytes, segments, max_value_len } = format;
  // A segment's head, and what remains at its end because the next record is longer.
  const usable = segment_bytes - unit - recordBytes(unit, max_value_len);
  return Math.max(0, Math.floor((OFFERED * (segments - SPARE_SEGMENTS) * usable) / unit) * unit);
}

/** One thread's view of {@link SharedLog}. Generations count segments: from `tail` on to `head` they hold records. */
export class LogState {
  readonly format: LogFormat;
  readonly index: KvIndex;
  readonly capacity_units: number;
  private readonly words: Int32Array;
  private readonly at: number;
  private readonly users: Int32Array;
  private readonly keys: Int32Array;
  /** Where the last {@link reserve} found room. */
  generation = 0;
  offset = 0;

  constructor(format: LogFormat, shared: SharedLog) {
    const { salt } = format;
    const seed = salt[0]! | (salt[1]! << 8) | (salt[2]! << 16) | (salt[3]! << 24);
    this.format = format;
    this.index = new KvIndex(shared.index, format.max_num_keys + KEYS_MORE, seed);
    this.words = this.index.words;
    this.at = this.index.user;
    this.users = new Int32Array(shared.users);
    this.keys = new Int32Array(shared.keys);
    this.capacity_units = capacityOf(format) / format.unit;
  }

  /** At start: what was found on the base. */
  begin(tail: number, head: number, head_bytes: number, live_units: number): void {
    const { words, at } = this;
    words[at + TAIL] = tail;
    words[at + HEAD] = head;
    words[at + READY] = head;
    words[at + HEAD_BYTES] = head_bytes;
    words[at + LIVE_UNITS] = live_units;
    words[at + CLAIMED_KEYS] = this.index.num_keys;
  }

  private load(word: number): number {
    return Atomics.load(this.words, this.at + word);
  }
  get head(): number {
    return this.load(HEAD);
  }
  get ready(): number {
    return this.load(READY);
  }
  get tail(): number {
    return this.load(TAIL);
  }
  get reclaimed(): number {
    return this.load(RECLAIMED);
  }
  get live_bytes(): number {
    return this.load(LIVE_UNITS) * this.format.unit;
  }

  // --- room in the log ---

  /**
   * Room for a record in the segment at the log's head, or in the next one if it is ready; a write to it is under way
   * from now on. `moving`: the record was live in the oldest segment; only such get into the last segments, so that
   * there is always room to free the oldest. False: there is none now.
   */
  reserve(bytes: number, moving: boolean): boolean {
    const { words, at } = this;
    const { segment_bytes, segments, unit } = this.format;
    while (!tryLock(words, at + LOCK));
    let found = false;
    const tail = words[at + TAIL]!;
    const most = moving ? segments : segments - SPARE_SEGMENTS;
    if (words[at + HEAD]! - tail < most) {
      if (words[at + HEAD_BYTES]! + bytes <= segment_bytes) found = true;
      else if (words[at + HEAD]! < words[at + READY]! && words[at + HEAD]! + 1 - tail < most) {
        words[at + HEAD]++;
        words[at + HEAD_BYTES] = unit;
        found = true;
      }
    }
    if (found) {
      this.generation = words[at + HEAD]!;
      this.offset = words[at + HEAD_BYTES]!;
      words[at + HEAD_BYTES] += bytes;
      Atomics.add(this.users, this.generation % segments, 1);
    }
    unlock(words, at + LOCK);
    return found;
  }

  written(generation: number): void {
    Atomics.sub(this.users, generation % this.format.segments, 1);
  }
  beginRead(generation: number): void {
    const { segments } = this.format;
    Atomics.add(this.users, segments + (generation % segments), 1);
  }
  endRead(generation: number): void {
    const { segments } = this.format;
    Atomics.sub(this.users, segments + (generation % segments), 1);
  }
  isWritten(generation: number): boolean {
    return Atomics.load(this.users, generation % this.format.segments) > 0;
  }
  isRead(generation: number): boolean {
    const { segments } = this.format;
    return Atomics.load(this.users, segments + (generation % segments)) > 0;
  }

  // --- for who maintains the log ---

  /** True: the caller does so from now on. */
  becomeMaintainer(): boolean {
    return Atomics.compareExchange(this.words, this.at + MAINTAINER, 0, 1) === 0;
  }
  resign(): void {
    Atomics.store(this.words, this.at + MAINTAINER, 0);
  }
  get maintained(): boolean {
    return this.load(MAINTAINER) !== 0;
  }
  /** The next segment can be used. */
  opened(generation: number): void {
    Atomics.store(this.words, this.at + READY, generation);
  }
  /** The oldest segment holds nothing any more that is needed. */
  reclaim(): void {
    const { words, at } = this;
    while (!tryLock(words, at + LOCK));
    words[at + TAIL]++;
    unlock(words, at + LOCK);
    Atomics.add(words, at + RECLAIMED, 1);
  }
  /** Segments that hold records, if one more is begun. */
  get usedWithNext(): number {
    return this.ready + 2 - this.tail;
  }
  /** A step of maintenance failed (its NVMe status code + 1), or has succeeded again (0): what waits for room is told. */
  setFailure(failure: number): void {
    Atomics.store(this.words, this.at + FAILURE, failure);
  }
  get failure(): number {
    return this.load(FAILURE);
  }

  // --- space and keys ---

  /** Accounts for `units` more, or less. False: there is not as much space. */
  claim(units: number): boolean {
    const before = Atomics.add(this.words, this.at + LIVE_UNITS, units);
    if (units <= 0 || before + units <= this.capacity_units) return true;
    Atomics.sub(this.words, this.at + LIVE_UNITS, units);
    return false;
  }
  claimKey(): boolean {
    if (Atomics.add(this.words, this.at + CLAIMED_KEYS, 1) < this.format.max_num_keys) return true;
    this.unclaimKey();
    return false;
  }
  unclaimKey(): void {
    Atomics.sub(this.words, this.at + CLAIMED_KEYS, 1);
  }

  /** Keeps others from changing keys of a hash. False: somebody does so now. */
  lockKey(hash: number): boolean {
    return Atomics.compareExchange(this.keys, hash & (KEY_LOCKS - 1), 0, 1) === 0;
  }
  unlockKey(hash: number): void {
    Atomics.store(this.keys, hash & (KEY_LOCKS - 1), 0);
  }
}
