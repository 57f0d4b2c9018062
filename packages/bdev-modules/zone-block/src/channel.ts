import {
  type BdevChannel,
  type BdevIo,
  completeZoneIo,
  copyToIo,
  IoStatus,
  IoType,
  type Memory,
  ParkedIo,
  reportZones,
  touchesOffline,
  ZERO_BYTES,
} from '@spdk-ts/bdev';
import { commandStatus } from '@spdk-ts/nvme-spec';
import type { Thread } from '@spdk-ts/reactor';
import { StackedChannel } from '@spdk-ts/vbdev';
import { BUSY, ZoneAction, ZoneState, type ZoneTable } from '@spdk-ts/zones';
import { Committer } from './committer.ts';
import type { ZoneStore } from './zone-store.ts';

/** `moduleTag` of an append while it is a write to the base. */
const APPEND = 1;

/** A part of a read that nothing was written to. */
interface Gap {
  readonly skip: number;
  readonly blocks: number;
}

/** Makes zones of a base. Blocks behind a write pointer read as zeroes, whatever the base holds there. */
export class ZoneBlockChannel extends StackedChannel {
  private readonly table: ZoneTable;
  private readonly memory: Memory;
  private readonly zeroRegion: number;
  private readonly parked: ParkedIo;
  private readonly committer: Committer<BdevIo>;
  private readonly gaps = new Map<BdevIo, Gap[]>();
  /** Resets: the zones that they hold, the last of which may not be reset yet. */
  private readonly held = new Map<BdevIo, number[]>();

  constructor(base: BdevChannel, store: ZoneStore, thread: Thread, memory: Memory, zeroRegion: number) {
    super(base, store.layout.first_block);
    this.table = store.table;
    this.memory = memory;
    this.zeroRegion = zeroRegion;
    this.parked = new ParkedIo(thread, 'bdev_zone_block', (io) => this.attempt(io));
    this.committer = new Committer(thread, base, store, (io, status) => this.committed(io, status));
  }

  override submit(io: BdevIo): void {
    switch (io.type) {
      case IoType.READ:
        this.read(io);
        return;
      case IoType.WRITE:
      case IoType.ZONE_APPEND:
      case IoType.ZONE_MANAGEMENT:
        this.parked.begin(io);
        return;
      case IoType.FLUSH:
        this.committer.request(io);
        return;
      case IoType.GET_ZONE_INFO:
        reportZones(this.table, io);
        io.complete(IoStatus.SUCCESS);
        return;
      default:
        this.parked.abortAll((parked) => this.letGo(parked));
        this.committer.abortWaiting();
        this.forward(io);
    }
  }

  // --- reads ---

  private read(io: BdevIo): void {
    if (touchesOffline(this.table, io)) {
      completeZoneIo(io, commandStatus.zoneIsOffline);
      return;
    }
    const { table } = this;
    const end = io.offset_blocks + io.num_blocks;
    const first = table.zoneOf(io.offset_blocks);
    if (end <= table.startOf(first) + table.blocksWritten(first)) {
      this.forward(io);
      return;
    }
    const gaps: Gap[] = [];
    let missing = 0;
    for (let zone = first; table.startOf(zone) < end; zone++) {
      const from = Math.max(io.offset_blocks, table.startOf(zone) + table.blocksWritten(zone));
      const blocks = Math.min(end, table.startOf(zone + 1)) - from;
      if (blocks <= 0) continue;
      gaps.push({ skip: from - io.offset_blocks, blocks });
      missing += blocks;
    }
    if (missing === io.num_blocks) {
      this.fillGaps(io, gaps);
      io.complete(IoStatus.SUCCESS);
      return;
    }
    if (gaps.length > 0) this.gaps.set(io, gaps);
    this.forward(io);
  }

  private fillGaps(io: BdevIo, gaps: readonly Gap[]): void {
    const { block_size } = this.base;
    for (const { skip, blocks } of gaps)
      for (let done = 0; done < blocks * block_size; done += ZERO_BYTES) {
        const bytes = Math.min(ZERO_BYTES, blocks * block_size - done);
        copyToIo(this.memory, io, skip * block_size + done, this.zeroRegion, 0, bytes);
      }
    this.memory.settle();
  }

  // --- writes and zone management ---

  /** False: a zone is busy. */
  private attempt(io: BdevIo): boolean {
    if (io.type === IoType.ZONE_MANAGEMENT)
      return io.zone_action === ZoneAction.RESET ? this.reset(io) : this.manage(io);
    const { table } = this;
    const append = io.type === IoType.ZONE_APPEND;
    const status = append
      ? table.startAppend(table.zoneOf(io.offset_blocks), io.num_blocks)
      : table.startWrite(io.offset_blocks, io.num_blocks);
    if (status !== 0) return this.refusedAs(io, status);
    io.moduleTag = 0;
    if (append) {
      // To the base it is a write.
      io.moduleTag = APPEND;
      io.append_location = table.location;
      io.offset_blocks = table.location;
      io.type = IoType.WRITE;
    }
    this.forward(io);
    return true;
  }

  private refusedAs(io: BdevIo, status: number): boolean {
    if (status === BUSY) return false;
    completeZoneIo(io, status);
    return true;
  }

  private manage(io: BdevIo): boolean {
    const { table } = this;
    const { zone_action } = io;
    const first = table.zoneOf(io.offset_blocks);
    const status = io.zone_all
      ? table.manageAll(zone_action, first, table.zoneOf(io.offset_blocks + io.num_blocks))
      : table.manage(zone_action, first);
    const lasts = zone_action === ZoneAction.FINISH || zone_action === ZoneAction.OFFLINE;
    if (status !== 0 || !lasts) return this.refusedAs(io, status);
    this.committer.request(io);
    return true;
  }

  /**
   * Holds zones and resets them, one after the other: all threads take them in the same order. They stay held until
   * the base knows of it: else it could have new data behind an old write pointer.
   */
  private reset(io: BdevIo): boolean {
    const { table } = this;
    const end = table.zoneOf(io.offset_blocks + io.num_blocks);
    const held = this.held.get(io) ?? [];
    this.held.set(io, held);
    for (let zone = held.at(-1) ?? table.zoneOf(io.offset_blocks); zone < end; zone++) {
      if (held.at(-1) !== zone) {
        const state = table.state(zone);
        const worn = state === ZoneState.READ_ONLY || state === ZoneState.OFFLINE;
        if (worn && !io.zone_all) {
          this.held.delete(io);
          return this.refusedAs(io, commandStatus.invalidZoneStateTransition);
        }
        if (worn || state === ZoneState.EMPTY) continue;
        if (!table.hold(zone)) return false;
        held.push(zone);
      }
      if (!table.isQuiet(zone)) return false;
      table.reset(zone);
    }
    // Also where nothing was to do: it may be that another reset has not got to the base yet.
    this.committer.request(io);
    return true;
  }

  /** A reset, if it is one, lets go of its zones. */
  private letGo(io: BdevIo): true {
    for (const zone of this.held.get(io) ?? []) this.table.release(zone);
    this.held.delete(io);
    return true;
  }

  private committed(io: BdevIo, status: number): void {
    this.letGo(io);
    io.complete(status);
  }

  protected override ended(io: BdevIo, status: number): void {
    const success = status === IoStatus.SUCCESS;
    if (io.type === IoType.WRITE) {
      this.writeEnded(io, success);
      if (success && io.fua) {
        this.committer.request(io);
        return;
      }
    } else if (io.type === IoType.READ && this.gaps.size > 0) {
      const gaps = this.gaps.get(io);
      this.gaps.delete(io);
      if (success && gaps !== undefined) this.fillGaps(io, gaps);
    }
    io.completeNow(status);
  }

  protected override dropped(io: BdevIo, status: number): void {
    this.gaps.delete(io);
    if (io.type === IoType.WRITE) this.writeEnded(io, false);
    io.complete(status);
  }

  private writeEnded(io: BdevIo, success: boolean): void {
    this.table.endWrite(io.offset_blocks, io.num_blocks, success);
    if (io.moduleTag !== APPEND) return;
    io.type = IoType.ZONE_APPEND;
    io.offset_blocks = this.table.startOf(this.table.zoneOf(io.append_location));
  }

  override abort(io: BdevIo): boolean {
    if (this.parked.abort(io)) return this.letGo(io);
    return this.committer.abort(io) || super.abort(io);
  }
}
