import { type BdevIo, type BdevIoOwner, IoStatus } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import { NO_NODE } from '@spdk-ts/kv';
import type { BaseIo } from './base-io.ts';
import { crcOf } from './crc.ts';
import {
  isRecordHead,
  RECORD_CRC,
  recordBytes,
  recordCrc,
  recordIsDelete,
  recordKeyLength,
  recordKeyWord,
  recordValueBytes,
  segmentAt,
  setRecordCrc,
  setRecordGeneration,
} from './layout.ts';
import { GENERATION, type LogState, OFFSET } from './log-state.ts';

/** Records that are moved at once. */
const MOVES = 16;

/** One record on its way to the log's end. */
class Move implements BdevIoOwner {
  private readonly mover: SegmentMover;
  /** Its place in the segment; -1: none is moved. */
  at = -1;
  bytes = 0;
  hash = 0;
  generation = 0;
  offset = 0;
  /** PENDING until the write has ended. */
  status: number = IoStatus.PENDING;
  sc = 0;

  constructor(mover: SegmentMover) {
    this.mover = mover;
  }

  bdevIoDone(io: BdevIo): void {
    this.status = io.status;
    this.sc = io.status === IoStatus.NVME_ERROR && io.sct === 0 ? io.sc : 0;
    this.mover.giveSpare(io);
  }
}

/**
 * Moves what is live in the log's oldest segment: walks over its records, and writes those that the index leads to at the
 * log's end, each while its key is locked. Notes of deletion are dropped: what they are about was in older segments, or
 * in this one.
 */
export class SegmentMover {
  private readonly regions: RegionTable;
  private readonly base: BaseIo;
  private readonly state: LogState;
  /** Region of the segment's bytes, behind room for a segment's head. */
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  private readonly moves: readonly Move[];
  private generation = 0;
  private at = 0;
  private moving = 0;
  /** A segment is missing at the log's end. */
  wantsSegment = false;
  /** The NVMe status code, or 0, of a write that failed; -1: none has. */
  failure = -1;

  constructor(regions: RegionTable, base: BaseIo, state: LogState) {
    this.regions = regions;
    this.base = base;
    this.state = state;
    this.start = state.format.unit;
    this.bytes = new Uint8Array(this.start + state.format.segment_bytes);
    this.id = regions.addLocal(this.bytes).id;
    this.moves = Array.from({ length: MOVES }, () => new Move(this));
  }

  destroy(): void {
    this.regions.remove(this.id);
  }

  /** The generation's segment is going to be read to `start`. */
  begin(generation: number): void {
    this.generation = generation;
    this.at = this.state.format.unit;
    this.failure = -1;
    this.wantsSegment = false;
  }

  /** Nothing is left in the segment, and nothing of it under way. */
  get done(): boolean {
    return this.at >= this.state.format.segment_bytes && this.moving === 0;
  }
  get idle(): boolean {
    return this.moving === 0;
  }

  /** Begins nothing more. False: something is under way. */
  abandon(): boolean {
    this.at = this.state.format.segment_bytes;
    if (this.moving > 0 && this.failure < 0) this.failure = 0;
    return this.moving === 0;
  }

  giveSpare(io: BdevIo): void {
    this.base.channel.giveSpare(io);
  }

  /** Ends what has been written, and begins more. */
  proceed(): void {
    for (const move of this.moves) if (move.at >= 0 && move.status !== IoStatus.PENDING) this.settle(move);
    if (this.failure < 0) this.scan();
  }

  private scan(): void {
    const { segment_bytes } = this.state.format;
    while (this.at < segment_bytes) {
      const bytes = this.recordAt(this.at);
      if (bytes > 0 && !this.pass(this.at, bytes)) return;
      this.at += bytes > 0 ? bytes : this.state.format.unit;
    }
  }

  /** Bytes of the record there, or 0 if there is none. */
  private recordAt(at: number): number {
    const { format } = this.state;
    return recordLength(
      this.regions,
      this.id,
      this.start + at,
      format,
      this.generation,
      format.segment_bytes - at,
    );
  }

  /** Passes a record: moves it if it is live. False: not now. */
  private pass(at: number, bytes: number): boolean {
    const { state } = this;
    const { index } = state;
    const from = this.start + at;
    if (recordIsDelete(this.bytes, from)) return true;
    const hash = this.setKey(from);
    if (!state.lockKey(hash)) return false;
    if (!index.lock()) {
      state.unlockKey(hash);
      return false;
    }
    const live = this.isAt(this.generation, at);
    index.unlock();
    if (!live) {
      state.unlockKey(hash);
      return true;
    }
    const move = this.moves.find((other) => other.at < 0);
    if (move !== undefined) {
      this.wantsSegment = !state.reserve(bytes, true);
      if (!this.wantsSegment) {
        this.write(move, at, bytes, hash);
        return true;
      }
    }
    state.unlockKey(hash);
    return false;
  }

  private setKey(at: number): number {
    const bytes = this.bytes;
    return this.state.index.setKey(
      recordKeyLength(bytes, at),
      recordKeyWord(bytes, at, 0),
      recordKeyWord(bytes, at, 1),
      recordKeyWord(bytes, at, 2),
      recordKeyWord(bytes, at, 3),
    );
  }

  /** Locked: true if the index leads from the key to a place. */
  private isAt(generation: number, offset: number): boolean {
    const { index } = this.state;
    const node = index.find();
    if (node === NO_NODE) return false;
    const value = index.value(node);
    return index.words[value + GENERATION] === generation && index.words[value + OFFSET] === offset;
  }

  private write(move: Move, at: number, bytes: number, hash: number): void {
    const { state, regions } = this;
    const { generation, offset, format } = state;
    move.at = at;
    move.bytes = bytes;
    move.hash = hash;
    move.generation = generation;
    move.offset = offset;
    move.status = IoStatus.PENDING;
    move.sc = 0;
    this.moving++;
    const from = this.start + at;
    setRecordGeneration(this.bytes, from, generation);
    setRecordCrc(this.bytes, from, recordCrcOf(regions, this.id, from, recordValueBytes(this.bytes, from)));
    const result = this.base.write(segmentAt(format, generation) + offset, bytes, this.id, from, move);
    if (result !== 0) move.status = IoStatus.FAILED;
  }

  /** A move's write has ended: lets the index lead there. */
  private settle(move: Move): void {
    const { state } = this;
    const { index } = state;
    if (move.status === IoStatus.SUCCESS) {
      this.setKey(this.start + move.at);
      if (!index.lock()) return;
      // Its key is locked: it is where it was.
      const value = index.value(index.find());
      index.words[value + GENERATION] = move.generation;
      index.words[value + OFFSET] = move.offset;
      index.unlock();
    } else if (this.failure < 0) this.failure = move.sc;
    state.written(move.generation);
    state.unlockKey(move.hash);
    move.at = -1;
    this.moving--;
  }
}

function recordCrcOf(regions: RegionTable, region: number, at: number, value_bytes: number): number {
  const crc = crcOf(regions, region, at, RECORD_CRC, 0);
  return crcOf(regions, region, at + RECORD_CRC + 4, value_bytes, crc);
}

/** Bytes of a whole record of a generation at a place with so many bytes behind it, or 0 if there is none. */
export function recordLength(
  regions: RegionTable,
  region: number,
  at: number,
  format: LogState['format'],
  generation: number,
  left: number,
): number {
  const memory = regions.bytes(region);
  if (!isRecordHead(memory, at, format, generation)) return 0;
  const value_bytes = recordValueBytes(memory, at);
  const bytes = recordBytes(format.unit, value_bytes);
  if (bytes > left || recordCrc(memory, at) !== recordCrcOf(regions, region, at, value_bytes)) return 0;
  return bytes;
}
