import type { ZoneReport } from '@spdk-ts/bdev';
import { nvmePassthrough } from '@spdk-ts/file-io';
import type { Uring } from '@spdk-ts/reactor';
import { isSelected, ZoneState, ZoneType } from '@spdk-ts/zones';

const { CDW10, CDW12, CDW13, setWords } = nvmePassthrough;

/** Report Zones (Zoned Namespace Command Set 1.1, 3.4.2.2): a header, then descriptors, as words. */
const HEADER_WORDS = 16;
const ZONE_WORDS = 16;
/** Zones of one report: what a command's scratch memory holds. */
const ZONES_MAX = 127;
/** Command dword 13 of Zone Management Receive: Report Zones, of any state, as many as there is room for. */
const PARTIAL_REPORT = 0x1_0000;
/** Command dword 13 of Zone Management Send. */
const SELECT_ALL = 0x100;

/** Zone states by their number in a descriptor. */
const states: Record<number, number> = {
  1: ZoneState.EMPTY,
  2: ZoneState.IMPLICIT_OPEN,
  3: ZoneState.EXPLICIT_OPEN,
  4: ZoneState.CLOSED,
  13: ZoneState.READ_ONLY,
  14: ZoneState.FULL,
  15: ZoneState.OFFLINE,
};

/** Makes a command ask for zones from block `first` on, as many of `zones` as fit. Returns the bytes of the report. */
export function askForZones(ring: Uring, at: number, first: number, zones: number): number {
  const words = HEADER_WORDS + ZONE_WORDS * Math.min(zones, ZONES_MAX);
  setWords(ring, at, CDW10, first);
  ring.words[at + CDW12] = words - 1;
  ring.words[at + CDW13] = PARTIAL_REPORT;
  return words * 4;
}

/** Makes a command do a ZoneAction with the zone that begins at a block, or with all that it is for. */
export function setZoneAction(ring: Uring, at: number, block: number, action: number, all: boolean): void {
  if (!all) setWords(ring, at, CDW10, block);
  // Zone Send Actions are ours, counted from 1.
  ring.words[at + CDW13] = (action + 1) | (all ? SELECT_ALL : 0);
}

const long = (words: Uint32Array, at: number): number => words[at]! + words[at + 1]! * 0x1_0000_0000;
const stateAt = (words: Uint32Array, at: number): number =>
  states[(words[at]! >>> 12) & 0xf] ?? ZoneState.NOT_WP;

/** Adds what a report tells. Returns how many zones it has. */
export function takeReport(words: Uint32Array, report: ZoneReport): number {
  const zones = Math.min(long(words, 0), ZONES_MAX);
  for (let zone = 0; zone < zones; zone++) {
    const at = HEADER_WORDS + zone * ZONE_WORDS;
    const state = stateAt(words, at);
    const capacity = long(words, at + 2);
    const start = long(words, at + 4);
    const has_pointer =
      state !== ZoneState.FULL && state !== ZoneState.READ_ONLY && state !== ZoneState.OFFLINE;
    const pointer = has_pointer ? long(words, at + 6) : start + (state === ZoneState.FULL ? capacity : 0);
    if (!report.push(start, pointer, capacity, state, ZoneType.SEQWR)) break;
  }
  return zones;
}

/** True if an action on all zones is for the one that a report is about. */
export function isConcerned(words: Uint32Array, action: number): boolean {
  return isSelected(action, stateAt(words, HEADER_WORDS));
}
