/**
 * Zone Management Send, Zone Management Receive and Zone Append (Zoned Namespace Command Set 1.1, 3.4).
 *
 *     all               cdw10, cdw11   starting LBA (of Append: the zone's first)
 *     Send    cdw13     9 action specific option, 8 select all, 7:0 action
 *     Receive cdw12     number of dwords, 0's based
 *             cdw13     16 partial report, 15:8 which zones, 7:0 action
 *     Append  cdw12     as Write; bit 25 PIREMAP. Completion: dwords 0 and 1 are the LBA of the data
 *
 * A report is a header of 64 bytes (0: number of zones) and a descriptor of 64 bytes for each zone:
 *
 *      0  type (3:0)     1  state (7:4)     2  attributes     8  capacity     16  first LBA     24  write pointer
 */
import { getUint64, setUint64 } from './bytes.ts';

/** Zone Send Action (ZSA). */
export const zoneSendAction = {
  close: 0x01,
  finish: 0x02,
  open: 0x03,
  reset: 0x04,
  offline: 0x05,
  setDescriptorExtension: 0x10,
  flushRandomWriteArea: 0x11,
} as const;
/** Dword 13 of Zone Management Send. */
export const ZONE_SEND_ALL = 0x100;
/** ... of an open: with a random write area. */
export const ZONE_SEND_OPTION = 0x200;

/** Zone Receive Action (ZRA). */
export const zoneReceiveAction = { report: 0x00, extendedReport: 0x01 } as const;
/** Dword 13 of Zone Management Receive: the number of zones is that of the descriptors. */
export const ZONE_REPORT_PARTIAL = 0x1_0000;

/** Zone State (ZS). */
export const zoneState = {
  empty: 0x1,
  implicitlyOpened: 0x2,
  explicitlyOpened: 0x3,
  closed: 0x4,
  readOnly: 0xd,
  full: 0xe,
  offline: 0xf,
} as const;

/** Reporting options: `all`, or the zones of one state. */
export const zoneReportOption = {
  all: 0x0,
  empty: 0x1,
  implicitlyOpened: 0x2,
  explicitlyOpened: 0x3,
  closed: 0x4,
  full: 0x5,
  readOnly: 0x6,
  offline: 0x7,
} as const;

/** Zone Type (ZT): sequential write required. */
export const ZONE_TYPE_SEQUENTIAL = 0x2;

export const ZONE_REPORT_HEADER_SIZE = 64;
export const ZONE_DESCRIPTOR_SIZE = 64;

/** A zone of a report. LBAs and blocks. */
export interface ZoneDescriptor {
  /** One of `zoneState`. */
  zs: number;
  zcap: number;
  zslba: number;
  /** Null where there is none: full, read only and offline zones. */
  wp: number | null;
}

/** Writes the header of a report. */
export function encodeZoneReportHeader(view: DataView, at: number, zones: number): void {
  for (let i = 0; i < ZONE_REPORT_HEADER_SIZE; i += 4) view.setUint32(at + i, 0, true);
  setUint64(view, at, zones);
}

/** Writes a descriptor of a zone that is written in sequence. */
export function encodeZoneDescriptor(
  view: DataView,
  at: number,
  { zs, zcap, zslba, wp }: ZoneDescriptor,
): void {
  for (let i = 0; i < ZONE_DESCRIPTOR_SIZE; i += 4) view.setUint32(at + i, 0, true);
  view.setUint8(at, ZONE_TYPE_SEQUENTIAL);
  view.setUint8(at + 1, zs << 4);
  setUint64(view, at + 8, zcap);
  setUint64(view, at + 16, zslba);
  if (wp === null) {
    view.setUint32(at + 24, 0xffff_ffff, true);
    view.setUint32(at + 28, 0xffff_ffff, true);
  } else setUint64(view, at + 24, wp);
}

/** Reads a report: the number of zones that its header tells, and the descriptors that are there, as many as fit. */
export function decodeZoneReport(bytes: Uint8Array): { zones: number; descriptors: ZoneDescriptor[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const zones = getUint64(view, 0);
  const room = Math.floor((bytes.length - ZONE_REPORT_HEADER_SIZE) / ZONE_DESCRIPTOR_SIZE);
  const descriptors = Array.from({ length: Math.min(zones, room) }, (_, i) => {
    const at = ZONE_REPORT_HEADER_SIZE + i * ZONE_DESCRIPTOR_SIZE;
    const none =
      view.getUint32(at + 24, true) === 0xffff_ffff && view.getUint32(at + 28, true) === 0xffff_ffff;
    return {
      zs: view.getUint8(at + 1) >>> 4,
      zcap: getUint64(view, at + 8),
      zslba: getUint64(view, at + 16),
      wp: none ? null : getUint64(view, at + 24),
    };
  });
  return { zones, descriptors };
}
