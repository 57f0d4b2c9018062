import { commandStatus } from '@spdk-ts/nvme-spec';
import type { Thread } from '@spdk-ts/reactor';
import { BUSY, ZoneAction, ZoneState, ZoneTable } from '@spdk-ts/zones';
import type { BdevIo } from './bdev-io.ts';
import { IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { Memory } from './memory.ts';
import type { ModuleChannel } from './module.ts';
import { ParkedIo } from './parked-io.ts';
import type { SharedZones } from './zone-geometry.ts';
import { completeZoneIo, reportZones, touchesOffline } from './zone-io.ts';

/** Forgets the data of blocks, so that they read as zeroes. */
export type ClearBlocks = (block: number, blocks: number) => void;

/**
 * Gives zones to a module that keeps its data in memory: in front of its channel, which must end reads and writes
 * within submit. Blocks behind a write pointer hold zeroes, because a reset clears them.
 */
export class ZonedChannel implements ModuleChannel {
  private readonly inner: ModuleChannel;
  private readonly table: ZoneTable;
  private readonly memory: Memory;
  private readonly clear: ClearBlocks | null;
  /** Blocks that are cleared in one iteration. */
  private readonly slice_blocks: number;
  private readonly parked: ParkedIo;
  /** The reset that is under way: the zone it has come to, whether it holds that, and how much of it is cleared. */
  private resetting: BdevIo | null = null;
  private zone = 0;
  private holds = false;
  private cleared = 0;

  /** `clear`: null for a module that keeps no data. */
  constructor(
    thread: Thread,
    memory: Memory,
    inner: ModuleChannel,
    zones: SharedZones,
    clear: ClearBlocks | null,
    slice_blocks: number,
  ) {
    this.memory = memory;
    this.inner = inner;
    this.table = new ZoneTable(zones.geometry, zones.memory);
    this.clear = clear;
    this.slice_blocks = slice_blocks;
    this.parked = new ParkedIo(thread, 'bdev_zones', (io) => this.attempt(io));
  }

  submit(io: BdevIo): void {
    switch (io.type) {
      case IoType.WRITE:
      case IoType.ZONE_APPEND:
      case IoType.ZONE_MANAGEMENT:
        this.parked.begin(io);
        return;
      case IoType.GET_ZONE_INFO:
        reportZones(this.table, io);
        io.complete(IoStatus.SUCCESS);
        return;
      case IoType.READ:
      case IoType.COMPARE:
        if (touchesOffline(this.table, io)) completeZoneIo(io, commandStatus.zoneIsOffline);
        else this.inner.submit(io);
        return;
      case IoType.RESET:
        this.parked.abortAll((parked) => this.mayEnd(parked));
        this.inner.submit(io);
        return;
      default:
        this.inner.submit(io);
    }
  }

  /** False: a zone is busy. */
  private attempt(io: BdevIo): boolean {
    if (io.type === IoType.WRITE) return this.write(io);
    if (io.type === IoType.ZONE_APPEND) return this.append(io);
    if (io.zone_action === ZoneAction.RESET && this.clear !== null) return this.reset(io, this.clear);
    const { table } = this;
    const first = table.zoneOf(io.offset_blocks);
    const status = io.zone_all
      ? table.manageAll(io.zone_action, first, table.zoneOf(io.offset_blocks + io.num_blocks))
      : table.manage(io.zone_action, first);
    return this.completed(io, status);
  }

  private completed(io: BdevIo, status: number): boolean {
    if (status === BUSY) return false;
    completeZoneIo(io, status);
    return true;
  }

  private write(io: BdevIo): boolean {
    const { offset_blocks, num_blocks } = io;
    const status = this.table.startWrite(offset_blocks, num_blocks);
    if (status !== 0) return this.completed(io, status);
    this.inner.submit(io);
    // Who holds the zone clears it once no write is under way: the data must be where they belong by then.
    this.memory.settle();
    this.table.endWrite(offset_blocks, num_blocks, io.status === IoStatus.SUCCESS);
    return true;
  }

  private append(io: BdevIo): boolean {
    const zone_id = io.offset_blocks;
    const status = this.table.startAppend(this.table.zoneOf(zone_id), io.num_blocks);
    if (status !== 0) return this.completed(io, status);
    const { location } = this.table;
    // To the module it is a write.
    io.type = IoType.WRITE;
    io.offset_blocks = location;
    this.inner.submit(io);
    io.type = IoType.ZONE_APPEND;
    io.offset_blocks = zone_id;
    io.append_location = location;
    this.memory.settle();
    this.table.endWrite(location, io.num_blocks, io.status === IoStatus.SUCCESS);
    return true;
  }

  /** Clears and resets zones, a slice at a time. */
  private reset(io: BdevIo, clear: ClearBlocks): boolean {
    const { table } = this;
    if (this.resetting !== io) {
      this.resetting = io;
      this.zone = table.zoneOf(io.offset_blocks);
    }
    const end = table.zoneOf(io.offset_blocks + io.num_blocks);
    for (let budget = this.slice_blocks; this.zone < end; this.zone++) {
      if (!this.holds) {
        const state = table.state(this.zone);
        if (state === ZoneState.EMPTY) continue;
        if (state === ZoneState.READ_ONLY || state === ZoneState.OFFLINE) {
          if (io.zone_all) continue;
          this.resetting = null;
          return this.completed(io, commandStatus.invalidZoneStateTransition);
        }
        if (budget === 0 || !table.hold(this.zone)) return false;
        this.holds = true;
        this.cleared = 0;
      }
      if (!table.isQuiet(this.zone)) return false;
      const blocks = Math.min(budget, table.blocksWritten(this.zone) - this.cleared);
      clear(table.startOf(this.zone) + this.cleared, blocks);
      this.cleared += blocks;
      budget -= blocks;
      if (this.cleared < table.blocksWritten(this.zone)) return false;
      table.reset(this.zone);
      table.release(this.zone);
      this.holds = false;
    }
    this.resetting = null;
    return this.completed(io, 0);
  }

  /** A reset that has begun to clear a zone goes on to its end. */
  private mayEnd(io: BdevIo): boolean {
    if (io !== this.resetting) return true;
    if (this.holds) return false;
    this.resetting = null;
    return true;
  }

  abort(io: BdevIo): boolean {
    const parks =
      io.type === IoType.WRITE || io.type === IoType.ZONE_APPEND || io.type === IoType.ZONE_MANAGEMENT;
    if (parks) return this.mayEnd(io) && this.parked.abort(io);
    return this.inner.abort?.(io) ?? false;
  }

  destroy(): void {
    this.inner.destroy();
  }
}
