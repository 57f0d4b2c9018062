/*
 * What a key-value log looks like on its base bdev: docs/bdev-kv.md describes it. All numbers are little-endian; every
 * structure begins at a multiple of the log's unit, and ends with a CRC32C.
 */
import { crc32c } from '@spdk-ts/nvme-spec';

/** Bytes before the first segment: the superblock, and zeroes. */
export const SUPER_BYTES = 4096;
const SUPER_MAGIC = new TextEncoder().encode('spdk-ts KV log 1');
const SUPER_CRC = 56;
export const SALT_BYTES = 16;
const SALT = 40;

/** Bytes before a record's value. */
export const RECORD_BYTES = 64;
export const RECORD_CRC = 60;
const RECORD_MAGIC = 0x5245_564b;
const SEGMENT_MAGIC = 0x4753_564b;
const SEGMENT_CRC = 28;
/** The record says that its key was deleted. */
export const FLAG_DELETED = 1;

/** A log's shape and limits: what its superblock says. */
export interface LogFormat {
  /** Bytes that everything is a multiple of: the base's block, 512 at least. */
  readonly unit: number;
  readonly segment_bytes: number;
  readonly segments: number;
  readonly max_key_len: number;
  readonly max_value_len: number;
  readonly max_num_keys: number;
  /** Random: in every record, so that nothing that a host stores can be taken for one. */
  readonly salt: Uint8Array;
}

export function encodeSuper(format: LogFormat): Uint8Array {
  const bytes = new Uint8Array(SUPER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(SUPER_MAGIC);
  view.setUint32(16, format.unit, true);
  view.setUint32(20, format.segment_bytes, true);
  view.setUint32(24, format.segments, true);
  view.setUint32(28, format.max_key_len, true);
  view.setUint32(32, format.max_value_len, true);
  view.setUint32(36, format.max_num_keys, true);
  bytes.set(format.salt, SALT);
  view.setUint32(SUPER_CRC, crc32c(bytes, 0, SUPER_CRC), true);
  return bytes;
}

/** The format; `blank` where there are zeroes only, `foreign` where there is something else. */
export function decodeSuper(bytes: Uint8Array): LogFormat | 'blank' | 'foreign' {
  if (bytes.every((byte) => byte === 0)) return 'blank';
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (SUPER_MAGIC.some((byte, at) => bytes[at] !== byte)) return 'foreign';
  if (view.getUint32(SUPER_CRC, true) !== crc32c(bytes, 0, SUPER_CRC)) return 'foreign';
  return {
    unit: view.getUint32(16, true),
    segment_bytes: view.getUint32(20, true),
    segments: view.getUint32(24, true),
    max_key_len: view.getUint32(28, true),
    max_value_len: view.getUint32(32, true),
    max_num_keys: view.getUint32(36, true),
    salt: bytes.slice(SALT, SALT + SALT_BYTES),
  };
}

/** Bytes that a record with a value of so many takes. */
export function recordBytes(unit: number, value_bytes: number): number {
  return Math.ceil((RECORD_BYTES + value_bytes) / unit) * unit;
}

/** Where a generation's segment begins on the base: generations go round. */
export function segmentAt(format: LogFormat, generation: number): number {
  return SUPER_BYTES + (generation % format.segments) * format.segment_bytes;
}

/** Writes a segment's head: its generation, and the oldest that still counts. */
export function writeSegmentHead(
  bytes: Uint8Array,
  at: number,
  format: LogFormat,
  generation: number,
  tail: number,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at);
  bytes.fill(0, at, at + format.unit);
  view.setUint32(0, SEGMENT_MAGIC, true);
  view.setUint32(4, generation, true);
  view.setUint32(8, tail, true);
  bytes.set(format.salt, at + 12);
  view.setUint32(SEGMENT_CRC, crc32c(bytes, at, at + SEGMENT_CRC), true);
}

/** The generation and tail of a segment's head, or null if there is none of this log. */
export function readSegmentHead(
  bytes: Uint8Array,
  at: number,
  format: LogFormat,
): { readonly generation: number; readonly tail: number } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at);
  if (view.getUint32(0, true) !== SEGMENT_MAGIC || !sameSalt(bytes, at + 12, format.salt)) return null;
  if (view.getUint32(SEGMENT_CRC, true) !== crc32c(bytes, at, at + SEGMENT_CRC)) return null;
  return { generation: view.getUint32(4, true), tail: view.getUint32(8, true) };
}

function sameSalt(bytes: Uint8Array, at: number, salt: Uint8Array): boolean {
  for (let i = 0; i < SALT_BYTES; i++) if (bytes[at + i] !== salt[i]) return false;
  return true;
}

function setWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Writes a record's head, without its CRC: that is of the head up to there and the value. */
export function writeRecordHead(
  bytes: Uint8Array,
  at: number,
  format: LogFormat,
  generation: number,
  flags: number,
  value_bytes: number,
  key_length: number,
  key0: number,
  key1: number,
  key2: number,
  key3: number,
): void {
  setWord(bytes, at, RECORD_MAGIC);
  setWord(bytes, at + 4, generation);
  setWord(bytes, at + 8, value_bytes);
  setWord(bytes, at + 12, key_length | (flags << 8));
  setWord(bytes, at + 16, key0);
  setWord(bytes, at + 20, key1);
  setWord(bytes, at + 24, key2);
  setWord(bytes, at + 28, key3);
  for (let i = 0; i < SALT_BYTES; i++) bytes[at + 32 + i] = format.salt[i]!;
  bytes.fill(0, at + 48, at + RECORD_CRC);
}

export function setRecordCrc(bytes: Uint8Array, at: number, crc: number): void {
  setWord(bytes, at + RECORD_CRC, crc);
}
export function recordCrc(bytes: Uint8Array, at: number): number {
  return word(bytes, at + RECORD_CRC) >>> 0;
}
export function setRecordGeneration(bytes: Uint8Array, at: number, generation: number): void {
  setWord(bytes, at + 4, generation);
}

/** True if there may be a record of a generation: its CRC is still to be looked at. */
export function isRecordHead(bytes: Uint8Array, at: number, format: LogFormat, generation: number): boolean {
  return (
    word(bytes, at) === RECORD_MAGIC &&
    word(bytes, at + 4) >>> 0 === generation &&
    word(bytes, at + 8) >>> 0 <= format.max_value_len &&
    sameSalt(bytes, at + 32, format.salt)
  );
}
export function recordValueBytes(bytes: Uint8Array, at: number): number {
  return word(bytes, at + 8);
}
export function recordKeyLength(bytes: Uint8Array, at: number): number {
  return word(bytes, at + 12) & 0xff;
}
export function recordIsDelete(bytes: Uint8Array, at: number): boolean {
  return ((word(bytes, at + 12) >>> 8) & FLAG_DELETED) !== 0;
}
export function recordKeyWord(bytes: Uint8Array, at: number, index: number): number {
  return word(bytes, at + 16 + index * 4);
}
