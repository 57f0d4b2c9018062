import { crc32 } from 'node:zlib';
import { ZoneState } from '@spdk-ts/zones';
import type { Layout } from './layout.ts';

/*
 * The state of zones on the base, as docs/zones.md describes it: little endian, each block with a CRC-32 (IEEE)
 * that covers it with the CRC's own field 0.
 */

export const PAGE_HEADER_BYTES = 40;
export const RECORD_BYTES = 8;
/** Of a superblock so much has a meaning: less than any disk tears. */
const SUPERBLOCK_BYTES = 512;

const SUPERBLOCK_MAGIC = 'SPDKTSZB';
const PAGE_MAGIC = 0x4742_505a;
const VERSION = 1;
const CRC_AT = 12;
const PAGE_CRC_AT = 4;
const STATE_SHIFT = 24;
const WRITTEN_HIGH_MASK = 2 ** STATE_SHIFT - 1;

const restorable: readonly number[] = [
  ZoneState.EMPTY,
  ZoneState.CLOSED,
  ZoneState.FULL,
  ZoneState.READ_ONLY,
  ZoneState.OFFLINE,
];

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function putU64(to: DataView, at: number, value: number): void {
  to.setUint32(at, value % 2 ** 32, true);
  to.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
const getU64 = (from: DataView, at: number): number =>
  from.getUint32(at, true) + from.getUint32(at + 4, true) * 2 ** 32;

function putId(to: Uint8Array, at: number, id: string): void {
  for (let i = 0; i < 16; i++) to[at + i] = Number.parseInt(id.slice(2 * i, 2 * i + 2), 16);
}
const getId = (from: Uint8Array, at: number): string =>
  Buffer.from(from.subarray(at, at + 16)).toString('hex');

/** The CRC with its own field taken as 0. */
function checksum(bytes: Uint8Array, crc_at: number): number {
  const head = crc32(bytes.subarray(0, crc_at));
  return crc32(bytes.subarray(crc_at + 4), crc32(new Uint8Array(4), head));
}

/** Writes a superblock to a block's bytes. */
export function encodeSuperblock(bytes: Uint8Array, layout: Layout): void {
  bytes.fill(0);
  const to = view(bytes);
  for (let i = 0; i < SUPERBLOCK_MAGIC.length; i++) bytes[i] = SUPERBLOCK_MAGIC.charCodeAt(i);
  to.setUint32(8, VERSION, true);
  putId(bytes, 16, layout.format_id);
  to.setUint32(32, layout.block_size, true);
  to.setUint32(36, layout.zones_per_page, true);
  putU64(to, 40, layout.num_zones);
  putU64(to, 48, layout.zone_size);
  putU64(to, 56, layout.zone_capacity);
  putU64(to, 64, layout.first_block);
  to.setUint32(CRC_AT, checksum(bytes.subarray(0, SUPERBLOCK_BYTES), CRC_AT), true);
}

/** The layout that a block tells of; null if it is no superblock, or damaged. Throws an Error for another version. */
export function decodeSuperblock(bytes: Uint8Array): Layout | null {
  const block = bytes.subarray(0, SUPERBLOCK_BYTES);
  const from = view(block);
  if (String.fromCharCode(...block.subarray(0, SUPERBLOCK_MAGIC.length)) !== SUPERBLOCK_MAGIC) return null;
  if (from.getUint32(CRC_AT, true) !== checksum(block, CRC_AT)) return null;
  const version = from.getUint32(8, true);
  if (version !== VERSION) throw new Error(`the state of its zones has version ${version}, not ${VERSION}`);
  return {
    format_id: getId(block, 16),
    block_size: from.getUint32(32, true),
    zones_per_page: from.getUint32(36, true),
    num_zones: getU64(from, 40),
    zone_size: getU64(from, 48),
    zone_capacity: getU64(from, 56),
    first_block: getU64(from, 64),
  };
}

/** Writes a page to a block's bytes: states and blocks written of the `count` zones that it is for. */
export function encodePage(
  bytes: Uint8Array,
  layout: Layout,
  page: number,
  generation: number,
  count: number,
  states: Uint8Array,
  written: Float64Array,
): void {
  bytes.fill(0);
  const to = view(bytes);
  to.setUint32(0, PAGE_MAGIC, true);
  putU64(to, 8, generation);
  putId(bytes, 16, layout.format_id);
  to.setUint32(32, page, true);
  to.setUint32(36, count, true);
  for (let i = 0; i < count; i++) {
    const at = PAGE_HEADER_BYTES + i * RECORD_BYTES;
    const high = Math.floor(written[i]! / 2 ** 32);
    to.setUint32(at, written[i]! % 2 ** 32, true);
    to.setUint32(at + 4, high + states[i]! * 2 ** STATE_SHIFT, true);
  }
  to.setUint32(PAGE_CRC_AT, checksum(bytes, PAGE_CRC_AT), true);
}

/** The generation of a page, or 0 if the block is not that page of this format, or damaged. */
export function pageGeneration(bytes: Uint8Array, layout: Layout, page: number): number {
  const from = view(bytes);
  const ours =
    from.getUint32(0, true) === PAGE_MAGIC &&
    from.getUint32(PAGE_CRC_AT, true) === checksum(bytes, PAGE_CRC_AT) &&
    getId(bytes, 16) === layout.format_id &&
    from.getUint32(32, true) === page;
  return ours ? getU64(from, 8) : 0;
}

/** Zone `index` of a valid page. Throws an Error for what no zone can be. */
export function decodeRecord(
  bytes: Uint8Array,
  layout: Layout,
  index: number,
): { state: number; written: number } {
  const from = view(bytes);
  const at = PAGE_HEADER_BYTES + index * RECORD_BYTES;
  const high = from.getUint32(at + 4, true);
  const state = high >>> STATE_SHIFT;
  const written = from.getUint32(at, true) + (high & WRITTEN_HIGH_MASK) * 2 ** 32;
  if (!restorable.includes(state) || written > layout.zone_capacity)
    throw new Error(`zone ${index} of a page has state ${state} and ${written} blocks written`);
  return { state, written };
}
