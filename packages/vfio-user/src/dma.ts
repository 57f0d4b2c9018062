import { invalid } from './errors.ts';
import { checkArgsz, exactly, readU64, viewOf, writeU64 } from './fields.ts';
import { ADDRESS_LIMIT, DmaMapFlag, DmaUnmapFlag } from './protocol.ts';

/** DMA_MAP: a range of the client's addresses, and where it is in the descriptor that came with it. */
export interface DmaMap {
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

const MAP_BYTES = 32;
const UNMAP_BYTES = 24;

function checkRange(address: number, size: number, what: string): void {
  if (size === 0) throw invalid(`${what} of no bytes`);
  if (address + size > ADDRESS_LIMIT) throw invalid(`${what} ends beyond 2^52`);
}

export function parseDmaMap(payload: Uint8Array): DmaMap {
  const view = exactly(payload, MAP_BYTES, 'DMA_MAP');
  checkArgsz(view.getUint32(0, true), MAP_BYTES, 'DMA_MAP');
  const flags = view.getUint32(4, true);
  const known = DmaMapFlag.readable | DmaMapFlag.writeable;
  if ((flags & ~known) !== 0) throw invalid(`flags 0x${flags.toString(16)} of DMA_MAP are unknown`);
  const map = {
    flags,
    offset: readU64(view, 8, 'offset of DMA_MAP'),
    address: readU64(view, 16, 'address of DMA_MAP'),
    size: readU64(view, 24, 'size of DMA_MAP'),
  };
  checkRange(map.address, map.size, 'DMA_MAP');
  if (map.offset + map.size > ADDRESS_LIMIT) throw invalid('DMA_MAP ends beyond 2^52 of its file');
  return map;
}

export function encodeDmaMap(map: DmaMap): Uint8Array {
  const bytes = new Uint8Array(MAP_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, MAP_BYTES, true);
  view.setUint32(4, map.flags, true);
  writeU64(view, 8, map.offset);
  writeU64(view, 16, map.address);
  writeU64(view, 24, map.size);
  return bytes;
}

/** DMA_UNMAP: exactly a range that was mapped, or all of them (DmaUnmapFlag.all, with zeroes). */
export interface DmaUnmap {
  readonly flags: number;
  readonly address: number;
  readonly size: number;
}

/** Of a command or of its reply, which are alike. */
export function parseDmaUnmap(payload: Uint8Array): DmaUnmap {
  const view = exactly(payload, UNMAP_BYTES, 'DMA_UNMAP');
  checkArgsz(view.getUint32(0, true), UNMAP_BYTES, 'DMA_UNMAP');
  const flags = view.getUint32(4, true);
  if ((flags & ~DmaUnmapFlag.all) !== 0)
    throw invalid(`flags 0x${flags.toString(16)} of DMA_UNMAP are unknown`);
  const unmap = {
    flags,
    address: readU64(view, 8, 'address of DMA_UNMAP'),
    size: readU64(view, 16, 'size of DMA_UNMAP'),
  };
  if (flags === 0) checkRange(unmap.address, unmap.size, 'DMA_UNMAP');
  else if (unmap.address !== 0 || unmap.size !== 0) throw invalid('DMA_UNMAP of all ranges names one');
  return unmap;
}

export function encodeDmaUnmap(unmap: DmaUnmap): Uint8Array {
  const bytes = new Uint8Array(UNMAP_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, UNMAP_BYTES, true);
  view.setUint32(4, unmap.flags, true);
  writeU64(view, 8, unmap.address);
  writeU64(view, 16, unmap.size);
  return bytes;
}

/** DMA_READ and DMA_WRITE: bytes of the client's memory over the socket. `data` is empty in a read's command. */
export interface DmaAccess {
  readonly address: number;
  readonly count: number;
  readonly data: Uint8Array;
}

const ACCESS_BYTES = 16;

/** `withData`: a write's command, or a read's reply, whose data must be `count` bytes. */
export function parseDmaAccess(payload: Uint8Array, withData: boolean, maxCount: number): DmaAccess {
  const view = viewOf(payload);
  if (payload.length < ACCESS_BYTES) throw invalid(`a DMA access has ${payload.length} bytes`);
  const address = readU64(view, 0, 'address of a DMA access');
  const count = readU64(view, 8, 'count of a DMA access');
  if (count === 0 || count > maxCount)
    throw invalid(`a DMA access of ${count} bytes: there are 1 … ${maxCount}`);
  const data = payload.subarray(ACCESS_BYTES);
  if (data.length !== (withData ? count : 0))
    throw invalid(`a DMA access of ${count} bytes brings ${data.length}`);
  return { address, count, data };
}

export function encodeDmaAccess(
  address: number,
  count: number,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const bytes = new Uint8Array(ACCESS_BYTES + data.length);
  const view = viewOf(bytes);
  writeU64(view, 0, address);
  writeU64(view, 8, count);
  bytes.set(data, ACCESS_BYTES);
  return bytes;
}
