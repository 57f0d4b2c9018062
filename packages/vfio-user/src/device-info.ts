import { invalid } from './errors.ts';
import { atLeast, checkArgsz, readU64, viewOf, writeU64 } from './fields.ts';
import { CAP_SPARSE_MMAP, RegionFlag } from './protocol.ts';

/** DEVICE_GET_INFO's reply. */
export interface DeviceInfo {
  readonly flags: number;
  readonly regions: number;
  readonly irqs: number;
}

const INFO_BYTES = 16;

/** Throws unless the payload is a query that leaves room for the answer. */
export function parseDeviceInfoQuery(payload: Uint8Array): void {
  const view = atLeast(payload, INFO_BYTES, 'DEVICE_GET_INFO');
  checkArgsz(view.getUint32(0, true), INFO_BYTES, 'DEVICE_GET_INFO');
}

export function parseDeviceInfo(payload: Uint8Array): DeviceInfo {
  const view = atLeast(payload, INFO_BYTES, 'reply to DEVICE_GET_INFO');
  return { flags: view.getUint32(4, true), regions: view.getUint32(8, true), irqs: view.getUint32(12, true) };
}

function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = viewOf(bytes);
  values.forEach((value, i) => {
    view.setUint32(i * 4, value, true);
  });
  return bytes;
}

export function encodeDeviceInfoQuery(): Uint8Array {
  return words(INFO_BYTES, 0, 0, 0);
}
export function encodeDeviceInfo(info: DeviceInfo): Uint8Array {
  return words(INFO_BYTES, info.flags, info.regions, info.irqs);
}

/** A part of a region, bytes. */
export interface Area {
  readonly offset: number;
  readonly size: number;
}

/** DEVICE_GET_REGION_INFO's reply. `offset` is where the region begins in its descriptor. */
export interface RegionInfo {
  readonly flags: number;
  readonly index: number;
  readonly size: number;
  readonly offset: number;
  /** Which parts can be mapped, if not all can: offsets in the region. Empty: nothing is said. */
  readonly areas: readonly Area[];
}

const REGION_BYTES = 32;
const CAP_HEADER_BYTES = 8;

/** The index asked for, and how many bytes of an answer the client has room for. */
export function parseRegionInfoQuery(payload: Uint8Array): { index: number; argsz: number } {
  // QEMU sends as many bytes as it has room for in the answer.
  const view = atLeast(payload, REGION_BYTES, 'DEVICE_GET_REGION_INFO');
  const argsz = view.getUint32(0, true);
  checkArgsz(argsz, REGION_BYTES, 'DEVICE_GET_REGION_INFO');
  return { index: view.getUint32(8, true), argsz };
}

/** `argsz`: the longest reply payload that there is room for. */
export function encodeRegionInfoQuery(index: number, argsz: number = REGION_BYTES): Uint8Array {
  const bytes = new Uint8Array(REGION_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, argsz, true);
  view.setUint32(8, index, true);
  return bytes;
}

/** The reply's payload; where `argsz` leaves no room for the capability, it says only how much would be needed. */
export function encodeRegionInfo(info: RegionInfo, argsz: number): Uint8Array {
  const sparse = info.areas.length === 0 ? 0 : CAP_HEADER_BYTES + 8 + info.areas.length * 16;
  const whole = REGION_BYTES + sparse;
  const fits = whole <= argsz;
  const bytes = new Uint8Array(fits ? whole : REGION_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, whole, true);
  view.setUint32(4, info.flags | (sparse === 0 ? 0 : RegionFlag.caps), true);
  view.setUint32(8, info.index, true);
  // Said also where the capability is not there: QEMU takes 0 for an error.
  view.setUint32(12, sparse === 0 ? 0 : REGION_BYTES, true);
  writeU64(view, 16, info.size);
  writeU64(view, 24, info.offset);
  if (sparse === 0 || !fits) return bytes;
  view.setUint16(REGION_BYTES, CAP_SPARSE_MMAP, true);
  view.setUint16(REGION_BYTES + 2, 1, true);
  view.setUint32(REGION_BYTES + 8, info.areas.length, true);
  info.areas.forEach(({ offset, size }, i) => {
    writeU64(view, REGION_BYTES + 16 + i * 16, offset);
    writeU64(view, REGION_BYTES + 24 + i * 16, size);
  });
  return bytes;
}

function parseAreas(view: DataView, at: number): Area[] {
  const count = view.getUint32(at + 8, true);
  if (count > (view.byteLength - at - 16) / 16)
    throw invalid(`${count} areas of a region lie beyond the reply`);
  return Array.from({ length: count }, (_, i) => ({
    offset: readU64(view, at + 16 + i * 16, 'offset of an area'),
    size: readU64(view, at + 24 + i * 16, 'size of an area'),
  }));
}

/** The areas of the sparse mmap capability in a list of capabilities: none if there is none. */
function findAreas(view: DataView, first: number): Area[] {
  for (let at = first, seen = 0; at !== 0; seen++) {
    if (at < REGION_BYTES || at + CAP_HEADER_BYTES > view.byteLength || seen > 16)
      throw invalid(`a capability of a region at ${at} lies outside of the reply`);
    const isSparse = view.getUint16(at, true) === CAP_SPARSE_MMAP;
    if (isSparse && at + 16 > view.byteLength) throw invalid('the capability of mappable areas is cut off');
    if (isSparse) return parseAreas(view, at);
    at = view.getUint32(at + 4, true);
  }
  return [];
}

/** `needed`: bytes of the whole answer, which may be more than came: ask again with as much. */
export function parseRegionInfo(payload: Uint8Array): RegionInfo & { readonly needed: number } {
  const view = atLeast(payload, REGION_BYTES, 'reply to DEVICE_GET_REGION_INFO');
  const flags = view.getUint32(4, true);
  const needed = view.getUint32(0, true);
  const hasAreas = (flags & RegionFlag.caps) !== 0 && needed <= payload.length;
  const areas = hasAreas ? findAreas(view, view.getUint32(12, true)) : [];
  return {
    flags,
    index: view.getUint32(8, true),
    size: readU64(view, 16, 'size of a region'),
    offset: readU64(view, 24, 'offset of a region'),
    areas,
    needed,
  };
}

/** DEVICE_GET_REGION_IO_FDS: the index asked for. */
export function parseRegionIoFdsQuery(payload: Uint8Array): number {
  const view = atLeast(payload, INFO_BYTES, 'DEVICE_GET_REGION_IO_FDS');
  checkArgsz(view.getUint32(0, true), INFO_BYTES, 'DEVICE_GET_REGION_IO_FDS');
  if (view.getUint32(4, true) !== 0) throw invalid('flags of DEVICE_GET_REGION_IO_FDS are not 0');
  return view.getUint32(8, true);
}

/** DEVICE_FEATURE: what is asked for, and its data. */
export function parseDeviceFeature(payload: Uint8Array): { argsz: number; flags: number; data: Uint8Array } {
  const view = atLeast(payload, 8, 'DEVICE_FEATURE');
  return { argsz: view.getUint32(0, true), flags: view.getUint32(4, true), data: payload.subarray(8) };
}

export function encodeDeviceFeature(
  flags: number,
  data: Uint8Array = new Uint8Array(0),
  argsz = 0,
): Uint8Array {
  const bytes = new Uint8Array(8 + data.length);
  const view = viewOf(bytes);
  view.setUint32(0, Math.max(argsz, bytes.length), true);
  view.setUint32(4, flags, true);
  bytes.set(data, 8);
  return bytes;
}
