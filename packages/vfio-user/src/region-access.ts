import { invalid } from './errors.ts';
import { atLeast, readU64, viewOf, writeU64 } from './fields.ts';

/** REGION_READ and REGION_WRITE, commands and replies. `data` is empty where none goes that way. */
export interface RegionAccess {
  readonly offset: number;
  readonly region: number;
  readonly count: number;
  readonly data: Uint8Array;
}

const ACCESS_BYTES = 16;
const MULTI_BYTES = 24;

/** `withData`: a write's command, or a read's reply, whose data must be `count` bytes. */
export function parseRegionAccess(payload: Uint8Array, withData: boolean, maxCount: number): RegionAccess {
  const view = atLeast(payload, ACCESS_BYTES, 'a region access');
  const offset = readU64(view, 0, 'offset of a region access');
  const region = view.getUint32(8, true);
  const count = view.getUint32(12, true);
  if (count === 0 || count > maxCount)
    throw invalid(`a region access of ${count} bytes: there are 1 … ${maxCount}`);
  const data = payload.subarray(ACCESS_BYTES);
  if (data.length !== (withData ? count : 0))
    throw invalid(`a region access of ${count} bytes brings ${data.length}`);
  return { offset, region, count, data };
}

export function encodeRegionAccess(
  offset: number,
  region: number,
  count: number,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const bytes = new Uint8Array(ACCESS_BYTES + data.length);
  const view = viewOf(bytes);
  writeU64(view, 0, offset);
  view.setUint32(8, region, true);
  view.setUint32(12, count, true);
  bytes.set(data, ACCESS_BYTES);
  return bytes;
}

/** REGION_WRITE_MULTI: writes of up to eight bytes each, in order. */
export function parseRegionWriteMulti(payload: Uint8Array): RegionAccess[] {
  const view = atLeast(payload, 8, 'REGION_WRITE_MULTI');
  const count = readU64(view, 0, 'number of writes');
  if (payload.length !== 8 + count * MULTI_BYTES)
    throw invalid(`REGION_WRITE_MULTI of ${count} writes has ${payload.length} bytes`);
  return Array.from({ length: count }, (_, i) => {
    const at = 8 + i * MULTI_BYTES;
    const bytes = view.getUint32(at + 12, true);
    if (bytes === 0 || bytes > 8) throw invalid(`write ${i} of REGION_WRITE_MULTI has ${bytes} bytes`);
    return {
      offset: readU64(view, at, 'offset of a region access'),
      region: view.getUint32(at + 8, true),
      count: bytes,
      data: payload.subarray(at + 16, at + 16 + bytes),
    };
  });
}

export function encodeRegionWriteMulti(writes: readonly Omit<RegionAccess, 'count'>[]): Uint8Array {
  const bytes = new Uint8Array(8 + writes.length * MULTI_BYTES);
  const view = viewOf(bytes);
  writeU64(view, 0, writes.length);
  writes.forEach(({ offset, region, data }, i) => {
    const at = 8 + i * MULTI_BYTES;
    writeU64(view, at, offset);
    view.setUint32(at + 8, region, true);
    view.setUint32(at + 12, data.length, true);
    bytes.set(data, at + 16);
  });
  return bytes;
}

/** How many writes the reply says were done. */
export function parseRegionWriteMultiReply(payload: Uint8Array): number {
  return readU64(atLeast(payload, 8, 'reply to REGION_WRITE_MULTI'), 0, 'number of writes');
}
export function encodeRegionWriteMultiReply(count: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeU64(viewOf(bytes), 0, count);
  return bytes;
}
