/** Doorbells (PCIe Transport 1.0, 3.1.2), written in one of three ways. */

/** How doorbells are written. */
export const DoorbellKind = {
  /** To the registers, which are mapped. */
  MAPPED: 0,
  /** By a message for each. */
  TRAPPED: 1,
  /** To shadow doorbells in memory, and by a message where the controller asks for one (Doorbell Buffer Config). */
  SHADOW: 2,
} as const;

/** Names of the kinds, as options have them. */
export const doorbellKinds = ['mapped', 'trapped', 'shadow'] as const;

/** Doorbells that were written, by the way that was taken; those that shadow doorbells made needless count as shadowed. */
export interface DoorbellCounts {
  mapped: number;
  trapped: number;
  shadowed: number;
}

/** Where the registers are written by message. False: it takes none now. */
export interface DoorbellPort {
  write(offset: number, value: number): boolean;
}

/** Byte offset in BAR0 of a queue's doorbell. `dstrd` as in CAP; `completion`: that of its completion queue. */
export function doorbellOffset(qid: number, completion: boolean, dstrd: number): number {
  return 0x1000 + (2 * qid + (completion ? 1 : 0)) * (4 << dstrd);
}

/**
 * The rule of Doorbell Buffer Config (Base 2.0, B.5): true if the register must be written, as the controller wants to be told of an entry
 * from `before` on, up to but not including `now`. All modulo 2^16.
 */
export function needsEvent(eventIndex: number, now: number, before: number): boolean {
  return ((now - eventIndex - 1) & 0xffff) < ((now - before) & 0xffff);
}

/** What a doorbell is written to: words of memory, and their indices. */
export interface DoorbellPlace {
  readonly kind: number;
  /** Byte offset of the register in BAR0. */
  readonly offset: number;
  /** Kind mapped: the registers. Else empty. */
  readonly registers: Int32Array;
  readonly register: number;
  /** Kind shadow: shadow doorbells, event indices, and the place in both. Else empty. */
  readonly shadows: Int32Array;
  readonly events: Int32Array;
  readonly shadow: number;
  readonly port: DoorbellPort;
}

const none: Int32Array = new Int32Array(0);
const nowhere: DoorbellPort = { write: () => true };

/** A place for queues that are not open. */
export const noDoorbell: DoorbellPlace = {
  ...{ kind: DoorbellKind.TRAPPED, offset: 0, registers: none, register: 0 },
  ...{ shadows: none, events: none, shadow: 0, port: nowhere },
};

/** One doorbell. It is written once in each iteration at most: {@link ring}. */
export class Doorbell {
  private kind: number = DoorbellKind.TRAPPED;
  private offset = 0;
  private registers: Int32Array = none;
  private register = 0;
  private shadows: Int32Array = none;
  private events: Int32Array = none;
  private shadow = 0;
  private port: DoorbellPort = nowhere;
  private readonly counts: DoorbellCounts;
  /** What the controller knows, or will when it looks. */
  private written = 0;
  /** A message that its port has not taken. */
  private owed = false;

  constructor(counts: DoorbellCounts) {
    this.counts = counts;
  }

  /** Begins anew, at 0. */
  open(place: DoorbellPlace): void {
    this.kind = place.kind;
    this.offset = place.offset;
    this.registers = place.registers;
    this.register = place.register;
    this.shadows = place.shadows;
    this.events = place.events;
    this.shadow = place.shadow;
    this.port = place.port;
    this.written = 0;
    this.owed = false;
    if (this.kind === DoorbellKind.SHADOW) Atomics.store(this.shadows, this.shadow, 0);
  }

  /** Tells the controller of a new value. False: it could not be told yet; call again. */
  ring(value: number): boolean {
    if (this.kind === DoorbellKind.MAPPED) {
      if (value === this.written) return true;
      this.written = value;
      this.counts.mapped++;
      // A full barrier too: entries are seen before the doorbell.
      Atomics.store(this.registers, this.register, value);
      return true;
    }
    if (this.kind === DoorbellKind.SHADOW && value !== this.written && !this.cast(value)) {
      this.written = value;
      return !this.owed || this.message(value);
    }
    if (value === this.written && !this.owed) return true;
    this.written = value;
    return this.message(value);
  }

  /** Writes the shadow doorbell. True if the register must be written as well. */
  private cast(value: number): boolean {
    Atomics.store(this.shadows, this.shadow, value);
    // The store is seen before the event index is looked at: the controller does it the other way round.
    if (needsEvent(Atomics.load(this.events, this.shadow), value, this.written)) return true;
    this.counts.shadowed++;
    return false;
  }

  private message(value: number): boolean {
    this.owed = !this.port.write(this.offset, value);
    if (!this.owed) this.counts.trapped++;
    return !this.owed;
  }
}
