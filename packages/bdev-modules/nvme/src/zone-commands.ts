import type { ZoneReport } from '@spdk-ts/bdev';
import {
  getUint64,
  ZONE_DESCRIPTOR_SIZE,
  ZONE_REPORT_HEADER_SIZE,
  ZONE_REPORT_PARTIAL,
  ZONE_SEND_ALL,
  zoneState,
} from '@spdk-ts/nvme-spec';
import { isSelected, ZoneState, ZoneType } from '@spdk-ts/zones';

/** Zone states by their number in a descriptor (Zoned Namespace Command Set 1.1, 3.4.2.2). */
const states: readonly number[] = Array.from({ length: 16 }, (_, zs) => {
  switch (zs) {
    case zoneState.empty:
      return ZoneState.EMPTY;
    case zoneState.implicitlyOpened:
      return ZoneState.IMPLICIT_OPEN;
    case zoneState.explicitlyOpened:
      return ZoneState.EXPLICIT_OPEN;
    case zoneState.closed:
      return ZoneState.CLOSED;
    case zoneState.readOnly:
      return ZoneState.READ_ONLY;
    case zoneState.full:
      return ZoneState.FULL;
    case zoneState.offline:
      return ZoneState.OFFLINE;
    default:
      return ZoneState.NOT_WP;
  }
});

const stateAt = (view: DataView, at: number): number => states[view.getUint8(at + 1) >>> 4]!;

/** Makes a Zone Management Receive ask for zones from block `first` on, as many of `zones` as fit in `room` bytes. Returns its bytes. */
export function askForZones(sqe: Uint32Array, first: number, zones: number, room: number): number {
  const most = Math.floor((room - ZONE_REPORT_HEADER_SIZE) / ZONE_DESCRIPTOR_SIZE);
  const bytes = ZONE_REPORT_HEADER_SIZE + ZONE_DESCRIPTOR_SIZE * Math.min(zones, most);
  sqe[10] = first;
  sqe[11] = first / 0x1_0000_0000;
  sqe[12] = bytes / 4 - 1;
  sqe[13] = ZONE_REPORT_PARTIAL;
  return bytes;
}

/** Makes a Zone Management Send do a ZoneAction with the zone that begins at a block, or with all that it is for. */
export function manageZone(sqe: Uint32Array, block: number, action: number, all: boolean): void {
  if (!all) {
    sqe[10] = block;
    sqe[11] = block / 0x1_0000_0000;
  }
  // Zone Send Actions are ours, counted from 1.
  sqe[13] = (action + 1) | (all ? ZONE_SEND_ALL : 0);
}

/** Adds what a report of `bytes` bytes tells. Returns how many zones it has. */
export function takeReport(view: DataView, from: number, bytes: number, report: ZoneReport): number {
  const room = Math.floor((bytes - ZONE_REPORT_HEADER_SIZE) / ZONE_DESCRIPTOR_SIZE);
  const zones = Math.min(getUint64(view, from), Math.max(0, room));
  for (let zone = 0; zone < zones; zone++) {
    const at = from + ZONE_REPORT_HEADER_SIZE + zone * ZONE_DESCRIPTOR_SIZE;
    const state = stateAt(view, at);
    const capacity = getUint64(view, at + 8);
    const start = getUint64(view, at + 16);
    const has_pointer =
      state !== ZoneState.FULL && state !== ZoneState.READ_ONLY && state !== ZoneState.OFFLINE;
    const pointer = has_pointer
      ? getUint64(view, at + 24)
      : start + (state === ZoneState.FULL ? capacity : 0);
    if (!report.push(start, pointer, capacity, state, ZoneType.SEQWR)) break;
  }
  return zones;
}

/** True if an action on all zones is for the one that a report is about. */
export function isConcerned(view: DataView, from: number, action: number): boolean {
  return isSelected(action, stateAt(view, from + ZONE_REPORT_HEADER_SIZE));
}
