import { type BdevIo, IoStatus, IoType, KvStatus, KvStoreOption, type ModuleChannel } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import { KvLists, NO_NODE, RetryQueue } from '@spdk-ts/kv';
import type { Thread } from '@spdk-ts/reactor';
import type { BaseIo } from './base-io.ts';
import { crcOf, crcOfIo } from './crc.ts';
import {
  FLAG_DELETED,
  isRecordHead,
  RECORD_BYTES,
  RECORD_CRC,
  recordBytes,
  recordCrc,
  recordValueBytes,
  segmentAt,
  setRecordCrc,
  writeRecordHead,
} from './layout.ts';
import { BYTES, GENERATION, type LogState, OFFSET } from './log-state.ts';
import { LogMaintenance } from './maintenance.ts';
import { LogOperation, pushData } from './operation.ts';

/** I/Os of a channel that are on their way to the base or back. */
const OPERATIONS_MAX = 128;
const GENERIC = 0;

/**
 * A thread's way to a key-value log. A store writes a record at the log's end, whatever other reactors do, and lets the
 * index lead to it once it is written; while it does, its key is locked against other changes, so that the order of
 * records in the log is the order of changes. `moduleTag` of an I/O: its operation's number + 1 once the record is
 * written and only the index is to be changed, else 0.
 */
export class LogChannel implements ModuleChannel {
  private readonly regions: RegionTable;
  private readonly base: BaseIo;
  private readonly state: LogState;
  private readonly lists: KvLists;
  private readonly retries: RetryQueue;
  private readonly maintenance: LogMaintenance;
  private readonly zeroRegion: number;
  private readonly operations: LogOperation[] = [];
  private readonly unused: LogOperation[] = [];
  private readonly scratch: number;
  private readonly onGone: () => void;
  private readonly scratchBytes: Uint8Array;

  /** `onGone`: called when the channel is destroyed and nothing is under way on the base any more. */
  constructor(thread: Thread, base: BaseIo, state: LogState, zeroRegion: number, onGone: () => void) {
    this.onGone = onGone;
    this.regions = thread.reactor.regions;
    this.base = base;
    this.state = state;
    this.zeroRegion = zeroRegion;
    this.lists = new KvLists(this.regions, state.index);
    this.retries = new RetryQueue(thread, 'bdev_kv', (io) => this.attempt(io));
    this.maintenance = new LogMaintenance(thread, base, state);
    this.scratchBytes = new Uint8Array(OPERATIONS_MAX * (RECORD_BYTES + state.format.unit));
    this.scratch = this.regions.addLocal(this.scratchBytes).id;
  }

  submit(io: BdevIo): void {
    io.moduleTag = 0;
    const done = io.type === IoType.KV_LIST ? this.lists.begin(io) : this.attempt(io);
    if (!done) this.retries.push(io);
  }

  /** False: to be tried again, and nothing has changed. */
  private attempt(io: BdevIo): boolean {
    if (io.moduleTag > 0) return this.publish(this.operations[io.moduleTag - 1]!);
    switch (io.type) {
      case IoType.KV_LIST:
        return this.lists.proceed(io);
      case IoType.KV_EXIST:
        return this.exist(io);
      case IoType.KV_RETRIEVE:
        return this.retrieve(io);
      case IoType.KV_STORE:
      case IoType.KV_DELETE:
        return this.change(io);
      case IoType.FLUSH:
        return this.flush(io);
      default:
        io.complete(IoStatus.FAILED);
        return true;
    }
  }

  private takeOperation(io: BdevIo): LogOperation | null {
    let operation = this.unused.pop();
    if (operation === undefined) {
      const index = this.operations.length;
      if (index === OPERATIONS_MAX) return null;
      operation = new LogOperation(index, index * (RECORD_BYTES + this.state.format.unit), this);
      this.operations.push(operation);
    }
    operation.io = io;
    operation.delta_units = 0;
    operation.new_key = false;
    return operation;
  }

  private giveOperation(operation: LogOperation): void {
    operation.io = null;
    this.unused.push(operation);
  }

  // --- what only reads ---

  private flush(io: BdevIo): boolean {
    const operation = this.takeOperation(io);
    if (operation === null) return false;
    if (this.base.flush(operation) !== 0) this.endPlain(operation, IoStatus.FAILED, 0, 0);
    return true;
  }

  private exist(io: BdevIo): boolean {
    const { index } = this.state;
    index.setKeyOf(io);
    if (!index.lock()) return false;
    const found = index.find() !== NO_NODE;
    index.unlock();
    io.completeNvme(GENERIC, found ? 0 : KvStatus.KEY_DOES_NOT_EXIST);
    return true;
  }

  private retrieve(io: BdevIo): boolean {
    const { state } = this;
    const { index } = state;
    const operation = this.takeOperation(io);
    if (operation === null) return false;
    index.setKeyOf(io);
    if (!index.lock()) {
      this.giveOperation(operation);
      return false;
    }
    const at = index.find();
    if (at === NO_NODE) {
      index.unlock();
      this.giveOperation(operation);
      io.completeNvme(GENERIC, KvStatus.KEY_DOES_NOT_EXIST);
      return true;
    }
    const value = index.value(at);
    operation.value_bytes = index.words[value + BYTES]!;
    operation.generation = index.words[value + GENERATION]!;
    operation.offset = index.words[value + OFFSET]!;
    // The segment is not used anew before this has ended.
    state.beginRead(operation.generation);
    index.unlock();
    this.read(operation, io);
    return true;
  }

  private read(operation: LogOperation, io: BdevIo): void {
    const { format } = this.state;
    const room = Math.min(operation.value_bytes, io.bytes);
    operation.room = room;
    io.cdw0 = operation.value_bytes;
    if (room === 0) {
      this.state.endRead(operation.generation);
      this.endPlain(operation, IoStatus.SUCCESS, 0, 0);
      return;
    }
    const bytes = recordBytes(format.unit, room);
    const iovs = operation.emptyIovs(io);
    iovs.push(this.scratch, operation.scratch, RECORD_BYTES);
    pushData(iovs, io, room);
    const rest = bytes - RECORD_BYTES - room;
    if (rest > 0) iovs.push(this.scratch, operation.scratch + RECORD_BYTES, rest);
    const at = segmentAt(format, operation.generation) + operation.offset;
    if (this.base.readv(at, bytes, iovs, operation) !== 0) {
      this.state.endRead(operation.generation);
      this.endPlain(operation, IoStatus.FAILED, 0, 0);
    }
  }

  /** True if what was read is the record that was looked for, as far as it was read. */
  private verify(operation: LogOperation): boolean {
    const { scratchBytes: bytes, regions } = this;
    const { scratch, room, value_bytes, generation } = operation;
    if (!isRecordHead(bytes, scratch, this.state.format, generation)) return false;
    if (recordValueBytes(bytes, scratch) !== value_bytes) return false;
    if (room < value_bytes) return true;
    const crc = crcOf(regions, this.scratch, scratch, RECORD_CRC, 0);
    return crcOfIo(regions, operation.io!, room, crc) === recordCrc(bytes, scratch);
  }

  // --- stores and deletes ---

  private change(io: BdevIo): boolean {
    const { state } = this;
    const { index } = state;
    const operation = this.takeOperation(io);
    if (operation === null) return false;
    const hash = index.setKeyOf(io);
    operation.hash = hash;
    if (!state.lockKey(hash)) {
      this.giveOperation(operation);
      return false;
    }
    if (!index.lock()) {
      this.undo(operation);
      return false;
    }
    const at = index.find();
    const exists = at !== NO_NODE;
    const before = exists ? recordBytes(state.format.unit, index.words[index.value(at) + BYTES]!) : 0;
    index.unlock();
    const status = this.refuses(io, exists) || this.claim(operation, io, exists, before);
    if (status !== 0) {
      this.undo(operation);
      io.completeNvme(GENERIC, status);
      return true;
    }
    const stores = io.type === IoType.KV_STORE;
    operation.value_bytes = stores ? io.bytes : 0;
    const bytes = recordBytes(state.format.unit, operation.value_bytes);
    if (!state.reserve(bytes, false)) {
      // Not while the key is locked: who makes room may have to move its record.
      this.undo(operation);
      return this.noRoom(io);
    }
    operation.generation = state.generation;
    operation.offset = state.offset;
    if (state.ready === state.head) {
      // What failed before is tried again: nobody waits for it.
      state.setFailure(0);
      this.maintenance.kick();
    }
    this.write(operation, io, bytes);
    return true;
  }

  private refuses(io: BdevIo, exists: boolean): number {
    if (io.type === IoType.KV_DELETE) return exists ? 0 : KvStatus.KEY_DOES_NOT_EXIST;
    if (exists && (io.kv_options & KvStoreOption.MUST_NOT_EXIST) !== 0) return KvStatus.KEY_EXISTS;
    if (!exists && (io.kv_options & KvStoreOption.MUST_EXIST) !== 0) return KvStatus.KEY_DOES_NOT_EXIST;
    return 0;
  }

  /** Space is taken before the record is written, and given up after another leads to less. */
  private claim(operation: LogOperation, io: BdevIo, exists: boolean, before: number): number {
    const { state } = this;
    const { unit } = state.format;
    const stores = io.type === IoType.KV_STORE;
    const delta = ((stores ? recordBytes(unit, io.bytes) : 0) - before) / unit;
    if (delta > 0 && !state.claim(delta)) return KvStatus.CAPACITY_EXCEEDED;
    operation.delta_units = delta;
    if (exists) return 0;
    if (!state.claimKey()) return KvStatus.CAPACITY_EXCEEDED;
    operation.new_key = true;
    return 0;
  }

  /** A change that does not come about. */
  private undo(operation: LogOperation): void {
    const { state } = this;
    if (operation.delta_units > 0) state.claim(-operation.delta_units);
    if (operation.new_key) state.unclaimKey();
    state.unlockKey(operation.hash);
    this.giveOperation(operation);
  }

  /** The log has no segment to write to: the I/O waits until there is one, or ends if that cannot be. */
  private noRoom(io: BdevIo): boolean {
    const { state } = this;
    const { failure } = state;
    if (failure === 0) {
      this.maintenance.kick();
      return false;
    }
    state.setFailure(0);
    if (failure > 1) io.completeNvme(GENERIC, failure - 1);
    else io.complete(IoStatus.FAILED);
    return true;
  }

  private write(operation: LogOperation, io: BdevIo, bytes: number): void {
    const { format } = this.state;
    const { scratch, value_bytes, generation } = operation;
    const flags = io.type === IoType.KV_DELETE ? FLAG_DELETED : 0;
    const head = this.scratchBytes;
    const { key_length, key0, key1, key2, key3 } = io;
    writeRecordHead(
      ...([head, scratch, format, generation, flags] as const),
      ...([value_bytes, key_length, key0, key1, key2, key3] as const),
    );
    const crc = crcOf(this.regions, this.scratch, scratch, RECORD_CRC, 0);
    setRecordCrc(head, scratch, value_bytes === 0 ? crc : crcOfIo(this.regions, io, value_bytes, crc));
    const iovs = operation.emptyIovs(io);
    iovs.push(this.scratch, scratch, RECORD_BYTES);
    if (value_bytes > 0) pushData(iovs, io, value_bytes);
    const rest = bytes - RECORD_BYTES - value_bytes;
    if (rest > 0) iovs.push(this.zeroRegion, 0, rest);
    const at = segmentAt(format, generation) + operation.offset;
    if (this.base.writev(at, bytes, iovs, io.fua, operation) !== 0)
      this.endFailed(operation, IoStatus.FAILED, 0, 0);
  }

  private endFailed(operation: LogOperation, status: number, sct: number, sc: number): void {
    const io = operation.io!;
    this.state.written(operation.generation);
    this.undo(operation);
    end(io, status, sct, sc);
  }

  /** The record is written: lets the index lead to it. */
  private publish(operation: LogOperation): boolean {
    const { state } = this;
    const { index } = state;
    const io = operation.io!;
    index.setKeyOf(io);
    if (!index.lock()) return false;
    let at = index.find();
    if (io.type === IoType.KV_DELETE) index.remove(at);
    else {
      if (at === NO_NODE) at = index.insert();
      const value = index.value(at);
      index.words[value + BYTES] = operation.value_bytes;
      index.words[value + GENERATION] = operation.generation;
      index.words[value + OFFSET] = operation.offset;
    }
    index.unlock();
    if (operation.delta_units < 0) state.claim(operation.delta_units);
    if (io.type === IoType.KV_DELETE) state.unclaimKey();
    state.written(operation.generation);
    state.unlockKey(operation.hash);
    io.moduleTag = 0;
    this.endPlain(operation, IoStatus.SUCCESS, 0, 0);
    return true;
  }

  // --- ends ---

  private endPlain(operation: LogOperation, status: number, sct: number, sc: number): void {
    const io = operation.io!;
    this.giveOperation(operation);
    end(io, status, sct, sc);
  }

  /** For {@link LogOperation}. */
  baseDone(operation: LogOperation, base: BdevIo): void {
    const { status, sct, sc } = base;
    this.base.channel.giveSpare(base);
    const io = operation.io!;
    const ok = status === IoStatus.SUCCESS;
    if (io.type === IoType.FLUSH) this.endPlain(operation, status, sct, sc);
    else if (io.type === IoType.KV_RETRIEVE) {
      this.state.endRead(operation.generation);
      if (ok && !this.verify(operation))
        this.endPlain(operation, IoStatus.NVME_ERROR, GENERIC, KvStatus.UNRECOVERED_ERROR);
      else this.endPlain(operation, status, sct, sc);
    } else if (!ok) this.endFailed(operation, status, sct, sc);
    else if (!this.publish(operation)) {
      io.moduleTag = operation.index + 1;
      this.retries.push(io);
    }
  }

  destroy(): void {
    this.retries.stop();
    this.maintenance.end(() => {
      this.regions.remove(this.scratch);
      this.base.channel.put();
      this.onGone();
    });
  }
}

function end(io: BdevIo, status: number, sct: number, sc: number): void {
  if (status === IoStatus.NVME_ERROR) io.completeNvme(sct, sc);
  else io.complete(status === IoStatus.NOMEM ? IoStatus.FAILED : status);
}
