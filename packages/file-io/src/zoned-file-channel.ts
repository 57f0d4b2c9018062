import { type BdevDescription, type BdevIo, completeZoneIo, IoStatus, IoType } from '@spdk-ts/bdev';
import type { Logger } from '@spdk-ts/log';
import type { Native } from '@spdk-ts/native';
import { commandStatus, genericStatus, mediaStatus, statusType } from '@spdk-ts/nvme-spec';
import type { Poller, Thread } from '@spdk-ts/reactor';
import { isSelected, isWritable, ZoneAction, ZoneState } from '@spdk-ts/zones';
import type { EngineFactory } from './engine.ts';
import { FileChannel } from './file-channel.ts';
import { type FileZones, KernelZoneReport, UNKNOWN } from './kernel-zones.ts';
import { ZoneOrder } from './zone-order.ts';

/** Zones that are reported, or looked at, in one iteration. */
const ZONES_AT_ONCE = 128;
const SECTOR_BYTES = 512;

const EOVERFLOW = -75;
const ETOOMANYREFS = -109;

/**
 * A thread's way to a zoned block device. Writes go to a zone one at a time, and only to its write pointer, so that what
 * the device would refuse ends with the reason; an append is a write there. The kernel reports and manages zones with
 * calls that block: one such call in an iteration.
 */
export class ZonedFileChannel extends FileChannel {
  private readonly native: Native;
  private readonly thread: Thread;
  private readonly zones: FileZones;
  private readonly pointers: Float64Array;
  private readonly capacities: Float64Array;
  private readonly order: ZoneOrder;
  private readonly reported: KernelZoneReport;
  /** Appends while they are writes. */
  private readonly appends = new Set<BdevIo>();
  /** What blocks, in order; of the first, the blocks done. */
  private readonly blocking: BdevIo[] = [];
  private blocksDone = 0;
  private poller: Poller | null = null;

  constructor(
    description: BdevDescription,
    zones: FileZones,
    native: Native,
    thread: Thread,
    log: Logger,
    makeEngine: EngineFactory,
    onDestroy: () => void,
  ) {
    super(description, log, makeEngine, onDestroy);
    this.native = native;
    this.thread = thread;
    this.zones = zones;
    this.pointers = new Float64Array(zones.pointers, 0, zones.num_zones);
    this.capacities = new Float64Array(zones.pointers, zones.num_zones * 8, zones.num_zones);
    this.order = new ZoneOrder(thread, zones.gates, zones.zone_size, (io) => this.start(io));
    this.reported = new KernelZoneReport(native, this.context.fd, description.block_size, ZONES_AT_ONCE);
  }

  override submit(io: BdevIo): void {
    switch (io.type) {
      case IoType.WRITE:
      case IoType.ZONE_APPEND:
        this.order.begin(io);
        return;
      case IoType.ZONE_MANAGEMENT:
        if (io.zone_all) this.block(io);
        else this.order.begin(io);
        return;
      case IoType.GET_ZONE_INFO:
        io.zones!.clear();
        this.block(io);
        return;
      case IoType.RESET:
        this.order.abortAll();
        super.submit(io);
        return;
      default:
        super.submit(io);
    }
  }

  // --- writes and appends ---

  /** The zone is this I/O's. */
  private start(io: BdevIo): void {
    if (io.type === IoType.ZONE_MANAGEMENT) {
      this.block(io);
      return;
    }
    const { zone_size } = this.zones;
    const zone = Math.floor(io.offset_blocks / zone_size);
    const status = this.refuses(io, zone);
    if (status !== 0) {
      this.order.ended(io);
      completeZoneIo(io, status);
      return;
    }
    if (io.type === IoType.ZONE_APPEND) {
      io.type = IoType.WRITE;
      io.offset_blocks = zone * zone_size + this.pointers[zone]!;
      this.appends.add(io);
    }
    super.submit(io);
  }

  /** Why a zone does not take a write or append: a command specific status, or 0. Its pointer is known if it does. */
  private refuses(io: BdevIo, zone: number): number {
    const start = zone * this.zones.zone_size;
    const at = io.offset_blocks - start;
    const appends = io.type === IoType.ZONE_APPEND;
    const known = this.pointers[zone]!;
    // What is known to fit needs no question: a zone whose pointer is known can be written.
    const fits = known !== UNKNOWN && known + io.num_blocks <= this.capacities[zone]!;
    return fits && (appends || at === known) ? 0 : this.ask(io, zone, at, appends);
  }

  private ask(io: BdevIo, zone: number, at: number, appends: boolean): number {
    const report = this.reported;
    const start = zone * this.zones.zone_size;
    if (report.read(start, 1) <= 0) return commandStatus.zoneIsOffline;
    const state = report.state(0);
    if (state === ZoneState.READ_ONLY) return commandStatus.zoneIsReadOnly;
    if (state === ZoneState.OFFLINE) return commandStatus.zoneIsOffline;
    if (!isWritable(state)) return commandStatus.zoneIsFull;
    const pointer = report.pointer(0) - start;
    this.pointers[zone] = pointer;
    this.capacities[zone] = report.capacity(0);
    if ((appends ? pointer : at) + io.num_blocks > report.capacity(0)) return commandStatus.zoneBoundaryError;
    return appends || at === pointer ? 0 : commandStatus.zoneInvalidWrite;
  }

  protected override zoneStatus(errno: number): number {
    if (errno === ETOOMANYREFS) return commandStatus.tooManyOpenZones;
    return errno === EOVERFLOW ? commandStatus.tooManyActiveZones : 0;
  }

  protected override complete(io: BdevIo, status: number): void {
    if (io.type !== IoType.WRITE) {
      io.complete(status);
      return;
    }
    if (status === IoStatus.NOMEM) {
      // It keeps its turn: those behind it would come out of order.
      super.submit(io);
      return;
    }
    const { zone_size } = this.zones;
    const zone = Math.floor(io.offset_blocks / zone_size);
    const start = zone * zone_size;
    const end = io.offset_blocks + io.num_blocks - start;
    this.pointers[zone] = status === IoStatus.SUCCESS && end < this.capacities[zone]! ? end : UNKNOWN;
    if (this.appends.delete(io)) {
      io.type = IoType.ZONE_APPEND;
      io.append_location = io.offset_blocks;
      io.offset_blocks = start;
    }
    this.order.ended(io);
    io.complete(status);
  }

  // --- what blocks ---

  private block(io: BdevIo): void {
    this.blocking.push(io);
    this.poller ??= this.thread.registerPoller('bdev_zones', this.poll);
  }

  private readonly poll = (): number => {
    const io = this.blocking[0];
    if (io !== undefined) this.proceed(io);
    if (this.blocking.length === 0 && this.poller !== null) {
      this.poller.unregister();
      this.poller = null;
    }
    return 1;
  };

  /** Makes one call for the first that blocks. */
  private proceed(io: BdevIo): void {
    if (io.type === IoType.GET_ZONE_INFO) this.reportSome(io);
    else if (io.zone_all) this.manageSome(io);
    else {
      this.endBlocking();
      const zone = Math.floor(io.offset_blocks / this.zones.zone_size);
      const [sct, sc] = this.manage(zone, io.zone_action);
      this.order.ended(io);
      io.completeNvme(sct, sc);
    }
  }

  private endBlocking(): void {
    this.blocking.shift();
    this.blocksDone = 0;
  }

  private reportSome(io: BdevIo): void {
    const report = this.reported;
    const { zone_size } = this.zones;
    const wanted = (io.num_blocks - this.blocksDone) / zone_size;
    const count = report.read(io.offset_blocks + this.blocksDone, wanted);
    const zones = io.zones!;
    for (let i = 0; i < count; i++)
      zones.push(
        ...([report.start(i), report.pointer(i), report.capacity(i)] as const),
        ...([report.state(i), report.type(i)] as const),
      );
    this.blocksDone += count * zone_size;
    if (count > 0 && this.blocksDone < io.num_blocks && zones.count < zones.capacity) return;
    this.endBlocking();
    io.complete(count > 0 ? IoStatus.SUCCESS : IoStatus.FAILED);
  }

  /** Looks at some zones, up to the first that the action is for, and does it there. */
  private manageSome(io: BdevIo): void {
    const report = this.reported;
    const { zone_size } = this.zones;
    const wanted = (io.num_blocks - this.blocksDone) / zone_size;
    const count = report.read(io.offset_blocks + this.blocksDone, wanted);
    let status: readonly [number, number] = count > 0 ? [0, 0] : [statusType.media, mediaStatus.writeFault];
    let looked = 0;
    while (looked < count && !isSelected(io.zone_action, report.state(looked))) looked++;
    if (looked < count) {
      const zone = report.start(looked) / zone_size;
      if (!this.order.take(zone)) return; // again in the next iteration, when the write to it may have ended
      status = this.manage(zone, io.zone_action);
      this.order.give(zone);
      looked++;
    }
    this.blocksDone += looked * zone_size;
    if (status[0] + status[1] === 0 && this.blocksDone < io.num_blocks) return;
    this.endBlocking();
    io.completeNvme(...status);
  }

  /** Does an action on a zone that is ours: status code type and status code. */
  private manage(zone: number, action: number): readonly [number, number] {
    const { reported: report, zones } = this;
    const start = zone * zones.zone_size;
    const specific = (code: number) => [statusType.commandSpecific, code] as const;
    // The kernel has no call for it.
    if (action === ZoneAction.OFFLINE) return [statusType.generic, genericStatus.invalidField];
    if (report.read(start, 1) <= 0) return [statusType.media, mediaStatus.writeFault];
    if (!allows(action, report.state(0))) return specific(commandStatus.invalidZoneStateTransition);
    this.pointers[zone] = UNKNOWN;
    const sectors = this.description.block_size / SECTOR_BYTES;
    const { fd } = this.context;
    const errno = this.native.zoneManage(fd, action, start * sectors, zones.zone_size * sectors);
    if (errno === 0) return [0, 0];
    const status = this.zoneStatus(errno);
    return status === 0 ? [statusType.media, mediaStatus.writeFault] : specific(status);
  }

  override abort(io: BdevIo): boolean {
    if (this.order.abort(io)) return true;
    // What is called cannot be called back; what the zone is another's for goes on.
    return io.type === IoType.WRITE && super.abort(io);
  }
}

/** True if a zone in a state takes an action (Zoned Namespace Command Set 1.1, 3.4.3.1). */
function allows(action: number, state: number): boolean {
  if (action === ZoneAction.CLOSE) return isWritable(state) && state !== ZoneState.EMPTY;
  if (action === ZoneAction.OPEN) return isWritable(state);
  return isWritable(state) || state === ZoneState.FULL;
}
