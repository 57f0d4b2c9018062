import { commandStatus } from '@spdk-ts/nvme-spec';
import { SharedLock } from './shared-lock.ts';
import { ZoneAction, ZoneState } from './zone-state.ts';

/** How a device is divided into zones. Sizes in blocks. */
export interface ZoneGeometry {
  readonly num_zones: number;
  /** From the start of a zone to that of the next. */
  readonly zone_size: number;
  /** Blocks of a zone that can be written: the first ones. */
  readonly zone_capacity: number;
  /** Most zones that are open, and open or closed, at once. 0: any number. */
  readonly max_open_zones: number;
  readonly max_active_zones: number;
  /** Zones that share a flag which says that one of them has changed: see {@link ZoneTable.takeChanged}. */
  readonly zones_per_group: number;
}

/** A zone is held by another operation, for a short time: try again. No status of NVMe is negative. */
export const BUSY = -1;

const LOCK = 0;
const OPEN = 1;
const ACTIVE = 2;
/** Zones that are open implicitly: their number, and a list, the one that was opened first at its head. */
const IMPLICIT = 3;
const HEAD = 4;
const TAIL = 5;
const OFFLINE = 6;
const WORDS = 16;
const NO_ZONE = -1;

const {
  zoneBoundaryError,
  zoneIsFull,
  zoneIsReadOnly,
  zoneIsOffline,
  zoneInvalidWrite,
  tooManyActiveZones,
  tooManyOpenZones,
  invalidZoneStateTransition,
} = commandStatus;
const SUCCESS = 0;

const isOpen = (state: number): boolean =>
  state === ZoneState.IMPLICIT_OPEN || state === ZoneState.EXPLICIT_OPEN;
const isActive = (state: number): boolean => isOpen(state) || state === ZoneState.CLOSED;
/** True for states in which there are a write pointer and blocks left to write. */
export const isWritable = (state: number): boolean => isActive(state) || state === ZoneState.EMPTY;

/**
 * The zones of one device, in memory that all its threads share: states, write pointers, and how many are open and
 * active (Zoned Namespace Command Set 1.1, 2.1). Every call takes the lock, changes what it does as a whole, and
 * returns a command specific status of NVMe, 0 for success, or {@link BUSY}. Zones are named by their index, blocks
 * by their number on the device.
 *
 * A write takes its blocks with {@link startWrite} or {@link startAppend} before its data go anywhere, and says with
 * {@link endWrite} how it ended. Who must do more for a reset than to change the state holds the zone meanwhile.
 */
export class ZoneTable {
  readonly geometry: ZoneGeometry;
  /** Where the last append that was started has its place. */
  location = 0;
  private readonly words: Int32Array;
  private readonly lock: SharedLock;
  /** Blocks from the start of the zone that writes have taken; the end of those that have ended well. */
  private readonly pointers: Float64Array;
  private readonly written: Float64Array;
  private readonly states: Uint8Array;
  private readonly held: Uint8Array;
  /** Writes that have begun and not ended. */
  private readonly writing: Int32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  private readonly changed: Int32Array;

  /** Memory for the zones of a device, all of them empty. */
  static allocate(geometry: ZoneGeometry): SharedArrayBuffer {
    const { num_zones, zones_per_group } = geometry;
    const groups = Math.ceil(num_zones / zones_per_group);
    const memory = new SharedArrayBuffer(num_zones * (8 + 8 + 4 * 3 + 2) + 4 * (WORDS + groups));
    const table = new ZoneTable(geometry, memory);
    table.words[HEAD] = NO_ZONE;
    table.words[TAIL] = NO_ZONE;
    return memory;
  }

  constructor(geometry: ZoneGeometry, memory: SharedArrayBuffer) {
    const n = geometry.num_zones;
    this.geometry = geometry;
    this.pointers = new Float64Array(memory, 0, n);
    this.written = new Float64Array(memory, 8 * n, n);
    this.writing = new Int32Array(memory, 16 * n, n);
    this.next = new Int32Array(memory, 20 * n, n);
    this.previous = new Int32Array(memory, 24 * n, n);
    this.words = new Int32Array(memory, 28 * n, WORDS);
    const groups = Math.ceil(n / geometry.zones_per_group);
    this.changed = new Int32Array(memory, 28 * n + 4 * WORDS, groups);
    const bytes = 28 * n + 4 * (WORDS + groups);
    this.states = new Uint8Array(memory, bytes, n);
    this.held = new Uint8Array(memory, bytes + n, n);
    this.lock = new SharedLock(this.words, LOCK);
  }

  zoneOf(block: number): number {
    return Math.floor(block / this.geometry.zone_size);
  }
  startOf(zone: number): number {
    return zone * this.geometry.zone_size;
  }

  // --- writes ---

  /** Takes blocks for a write: they must begin at the write pointer. */
  startWrite(block: number, blocks: number): number {
    const zone = this.zoneOf(block);
    this.lock.acquire();
    const status = this.take(zone, block - this.startOf(zone), blocks);
    this.lock.release();
    return status;
  }

  /** Takes the next blocks of a zone: {@link location} says which. */
  startAppend(zone: number, blocks: number): number {
    this.lock.acquire();
    const at = this.pointers[zone]!;
    const status = this.take(zone, at, blocks);
    this.lock.release();
    this.location = this.startOf(zone) + at;
    return status;
  }

  private take(zone: number, at: number, blocks: number): number {
    if (this.held[zone] !== 0) return BUSY;
    const state = this.states[zone]!;
    if (!isWritable(state)) return unwritable(state);
    const { zone_capacity } = this.geometry;
    if (at + blocks > zone_capacity) return zoneBoundaryError;
    if (at !== this.pointers[zone]) return zoneInvalidWrite;
    if (!isOpen(state)) {
      const status = this.makeRoom(state);
      if (status !== SUCCESS) return status;
      this.become(zone, ZoneState.IMPLICIT_OPEN);
    }
    this.pointers[zone] = at + blocks;
    this.writing[zone] = this.writing[zone]! + 1;
    if (at + blocks === zone_capacity) this.become(zone, ZoneState.FULL);
    return SUCCESS;
  }

  /**
   * A write has ended. One that failed gives its blocks back, if it was the last that took any and did not fill the
   * zone; else they stay behind the write pointer, with whatever is in them.
   */
  endWrite(block: number, blocks: number, success: boolean): void {
    const zone = this.zoneOf(block);
    const at = block - this.startOf(zone);
    this.lock.acquire();
    this.writing[zone] = this.writing[zone]! - 1;
    if (success) {
      if (at + blocks > this.written[zone]!) this.written[zone] = at + blocks;
      this.touch(zone);
    } else if (this.pointers[zone] === at + blocks && isActive(this.states[zone]!)) this.pointers[zone] = at;
    this.lock.release();
  }

  // --- zone management ---

  /** A ZoneAction on one zone. */
  manage(action: number, zone: number): number {
    this.lock.acquire();
    const status = this.held[zone] === 0 ? this.act(action, zone) : BUSY;
    this.lock.release();
    return status;
  }

  /**
   * A ZoneAction on those of the zones from `first` up to `end` that are in a state which it is for: it opens closed
   * zones (all or none), closes open ones, finishes open and closed ones, resets those and full ones, and takes
   * offline those that are read only.
   */
  manageAll(action: number, first: number, end: number): number {
    this.lock.acquire();
    const status = this.actOnAll(action, first, end);
    this.lock.release();
    return status;
  }

  private actOnAll(action: number, first: number, end: number): number {
    const zones: number[] = [];
    for (let zone = first; zone < end; zone++) {
      if (!isSelected(action, this.states[zone]!)) continue;
      if (this.held[zone] !== 0) return BUSY;
      zones.push(zone);
    }
    const { max_open_zones } = this.geometry;
    const explicit = this.words[OPEN]! - this.words[IMPLICIT]!;
    if (action === ZoneAction.OPEN && max_open_zones > 0 && explicit + zones.length > max_open_zones)
      return tooManyOpenZones;
    for (const zone of zones) this.act(action, zone);
    return SUCCESS;
  }

  private act(action: number, zone: number): number {
    const state = this.states[zone]!;
    switch (action) {
      case ZoneAction.OPEN:
        return this.open(zone, state);
      case ZoneAction.CLOSE:
        if (isOpen(state)) this.become(zone, ZoneState.CLOSED);
        return isActive(state) ? SUCCESS : invalidZoneStateTransition;
      case ZoneAction.FINISH:
        if (isWritable(state)) this.change(zone, ZoneState.FULL);
        return isWritable(state) || state === ZoneState.FULL ? SUCCESS : invalidZoneStateTransition;
      case ZoneAction.RESET:
        if (!isWritable(state) && state !== ZoneState.FULL) return invalidZoneStateTransition;
        this.empty(zone);
        return SUCCESS;
      default:
        if (state === ZoneState.READ_ONLY) this.change(zone, ZoneState.OFFLINE);
        return state === ZoneState.READ_ONLY || state === ZoneState.OFFLINE
          ? SUCCESS
          : invalidZoneStateTransition;
    }
  }

  /**
   * The medium under a zone wears out: the zone becomes read only, or offline, whatever its state (ZNS 1.1, 2.1.1.3.1); from
   * offline there is no way back. Writes under way end as they end.
   */
  wear(zone: number, state: typeof ZoneState.READ_ONLY | typeof ZoneState.OFFLINE): number {
    this.lock.acquire();
    let status: number = SUCCESS;
    if (this.held[zone] !== 0) status = BUSY;
    else if (this.states[zone] === ZoneState.OFFLINE && state !== ZoneState.OFFLINE)
      status = invalidZoneStateTransition;
    else this.change(zone, state);
    this.lock.release();
    return status;
  }

  private open(zone: number, state: number): number {
    if (state === ZoneState.EXPLICIT_OPEN) return SUCCESS;
    if (!isWritable(state)) return invalidZoneStateTransition;
    if (!isOpen(state)) {
      const status = this.makeRoom(state);
      if (status !== SUCCESS) return status;
    }
    this.become(zone, ZoneState.EXPLICIT_OPEN);
    return SUCCESS;
  }

  private empty(zone: number): void {
    if (this.states[zone] === ZoneState.EMPTY) return;
    this.pointers[zone] = 0;
    this.written[zone] = 0;
    this.change(zone, ZoneState.EMPTY);
  }

  // --- holding zones ---

  /** Keeps writes and management away from a zone until {@link release}. False if it is held already. */
  hold(zone: number): boolean {
    this.lock.acquire();
    const free = this.held[zone] === 0;
    this.held[zone] = 1;
    this.lock.release();
    return free;
  }

  /** True if no write to the zone is under way. */
  isQuiet(zone: number): boolean {
    this.lock.acquire();
    const quiet = this.writing[zone] === 0;
    this.lock.release();
    return quiet;
  }

  /** For the holder: resets the zone. */
  reset(zone: number): number {
    this.lock.acquire();
    const status = this.act(ZoneAction.RESET, zone);
    this.lock.release();
    return status;
  }

  release(zone: number): void {
    this.lock.acquire();
    this.held[zone] = 0;
    this.lock.release();
  }

  // --- what is told of zones ---

  state(zone: number): number {
    this.lock.acquire();
    const state = this.states[zone]!;
    this.lock.release();
    return state;
  }

  /** Block that is written next; the end of the capacity if the zone is full. */
  writePointer(zone: number): number {
    this.lock.acquire();
    const full = this.states[zone] === ZoneState.FULL;
    const blocks = full ? this.geometry.zone_capacity : this.pointers[zone]!;
    this.lock.release();
    return this.startOf(zone) + blocks;
  }

  /** Blocks from the start of the zone up to the end of the last one of a write that has ended well. */
  blocksWritten(zone: number): number {
    this.lock.acquire();
    const blocks = this.written[zone]!;
    this.lock.release();
    return blocks;
  }

  get open_zones(): number {
    return this.counter(OPEN);
  }
  get active_zones(): number {
    return this.counter(ACTIVE);
  }

  get offline_zones(): number {
    return this.words[OFFLINE]!;
  }

  private counter(at: number): number {
    this.lock.acquire();
    const value = this.words[at]!;
    this.lock.release();
    return value;
  }

  // --- for who keeps them on stable storage ---

  /** Puts a zone into a state, with so many blocks written; open ones come back closed. */
  restore(zone: number, state: number, written: number): void {
    this.lock.acquire();
    this.pointers[zone] = written;
    this.written[zone] = written;
    this.become(zone, isOpen(state) ? ZoneState.CLOSED : state);
    this.lock.release();
  }

  /**
   * How `count` zones from `first` on would come back: states and blocks written. One that writes have filled, but
   * not yet ended, is not full.
   */
  snapshot(first: number, count: number, states: Uint8Array, written: Float64Array): void {
    this.lock.acquire();
    for (let i = 0; i < count; i++) {
      const zone = first + i;
      const state = this.states[zone]!;
      const blocks = this.written[zone]!;
      const filling =
        state === ZoneState.FULL &&
        this.pointers[zone] === this.geometry.zone_capacity &&
        blocks < this.geometry.zone_capacity;
      const partial = filling || isActive(state);
      states[i] = !partial ? state : blocks > 0 ? ZoneState.CLOSED : ZoneState.EMPTY;
      written[i] = blocks;
    }
    this.lock.release();
  }

  /** True if a zone of the group has changed since the last call, but for being opened or closed. */
  takeChanged(group: number): boolean {
    return Atomics.exchange(this.changed, group, 0) !== 0;
  }
  get anyChanged(): boolean {
    return this.changed.some((flag) => flag !== 0);
  }
  setChanged(group: number): void {
    Atomics.store(this.changed, group, 1);
  }

  private touch(zone: number): void {
    Atomics.store(this.changed, Math.floor(zone / this.geometry.zones_per_group), 1);
  }

  // --- states, under the lock ---

  private change(zone: number, state: number): void {
    this.become(zone, state);
    this.touch(zone);
  }

  /** Sees that a zone in `state` (empty or closed) can be opened: an implicitly opened one may be closed for it. */
  private makeRoom(state: number): number {
    const { max_open_zones, max_active_zones } = this.geometry;
    const words = this.words;
    if (state === ZoneState.EMPTY && max_active_zones > 0 && words[ACTIVE]! >= max_active_zones)
      return tooManyActiveZones;
    if (max_open_zones === 0 || words[OPEN]! < max_open_zones) return SUCCESS;
    if (words[HEAD] === NO_ZONE) return tooManyOpenZones;
    this.become(words[HEAD]!, ZoneState.CLOSED);
    return SUCCESS;
  }

  private become(zone: number, state: number): void {
    const before = this.states[zone]!;
    const words = this.words;
    words[OPEN] = words[OPEN]! + Number(isOpen(state)) - Number(isOpen(before));
    words[ACTIVE] = words[ACTIVE]! + Number(isActive(state)) - Number(isActive(before));
    words[OFFLINE] =
      words[OFFLINE]! + Number(state === ZoneState.OFFLINE) - Number(before === ZoneState.OFFLINE);
    if (before === ZoneState.IMPLICIT_OPEN) this.unlink(zone);
    if (state === ZoneState.IMPLICIT_OPEN) this.link(zone);
    this.states[zone] = state;
  }

  private link(zone: number): void {
    const words = this.words;
    const last = words[TAIL]!;
    this.previous[zone] = last;
    this.next[zone] = NO_ZONE;
    if (last === NO_ZONE) words[HEAD] = zone;
    else this.next[last] = zone;
    words[TAIL] = zone;
    words[IMPLICIT] = words[IMPLICIT]! + 1;
  }

  private unlink(zone: number): void {
    const words = this.words;
    const before = this.previous[zone]!;
    const after = this.next[zone]!;
    if (before === NO_ZONE) words[HEAD] = after;
    else this.next[before] = after;
    if (after === NO_ZONE) words[TAIL] = before;
    else this.previous[after] = before;
    words[IMPLICIT] = words[IMPLICIT]! - 1;
  }
}

/** Why a zone in a state cannot be written. */
function unwritable(state: number): number {
  if (state === ZoneState.READ_ONLY) return zoneIsReadOnly;
  return state === ZoneState.OFFLINE ? zoneIsOffline : zoneIsFull;
}

/** True if an action on all zones is for those in this state. */
export function isSelected(action: number, state: number): boolean {
  switch (action) {
    case ZoneAction.OPEN:
      return state === ZoneState.CLOSED;
    case ZoneAction.CLOSE:
      return isOpen(state);
    case ZoneAction.FINISH:
      return isActive(state);
    case ZoneAction.RESET:
      return isActive(state) || state === ZoneState.FULL;
    default:
      return state === ZoneState.READ_ONLY;
  }
}
