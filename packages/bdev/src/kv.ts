import type { RegionTable } from '@spdk-ts/env';
import type { BdevIo } from './bdev-io.ts';
import { placeValid } from './bounce.ts';
import { countIo } from './io-stat.ts';
import { Errno } from './io-status.ts';
import { IoType } from './io-type.ts';

/** Bytes of the longest key that the NVMe Key Value Command Set has. */
export const KV_KEY_BYTES_MAX = 16;
const LENGTH_MAX = 2 ** 31 - 1;

/** What a key-value bdev takes: NVMe Key Value Command Set, "KV Format" and "Identify Namespace". */
export interface KvLimits {
  /** Bytes of a key, 1 to 16. */
  readonly max_key_len: number;
  /** Bytes of a value. */
  readonly max_value_len: number;
  readonly max_num_keys: number;
  /** Bytes that values may take, each rounded up as its module does. */
  readonly capacity: number;
}

/** Status codes of key-value commands, all of status code type 0 (generic command status). */
export const KvStatus = {
  CAPACITY_EXCEEDED: 0x81,
  INVALID_VALUE_SIZE: 0x85,
  INVALID_KEY_SIZE: 0x86,
  KEY_DOES_NOT_EXIST: 0x87,
  /** What is stored cannot be read, or is not what was stored. */
  UNRECOVERED_ERROR: 0x88,
  KEY_EXISTS: 0x89,
} as const;

/** Options of KV_STORE: the bits of the Store command's dword 11, 15:8. Both at once: nothing is ever stored. */
export const KvStoreOption = {
  /** Only if the key exists: else KEY_DOES_NOT_EXIST. */
  MUST_EXIST: 1,
  /** Only if it does not: else KEY_EXISTS. */
  MUST_NOT_EXIST: 2,
} as const;

/** Refuses an I/O whose place cannot be. 0, or EINVAL. */
export function checkKvPlace(regions: RegionTable, io: BdevIo): number {
  if (io.type === IoType.KV_EXIST || io.type === IoType.KV_DELETE) return 0;
  const bytes = io.bytes;
  if (!Number.isInteger(bytes) || bytes < 0 || bytes > LENGTH_MAX) return Errno.EINVAL;
  return bytes === 0 || placeValid(regions, io.region, io.offset, io.iovs, bytes) ? 0 : Errno.EINVAL;
}

/** The NVMe status that a bdev's limits give an I/O before its module sees it, or 0. A list may begin with no key. */
export function kvLimitStatus(limits: KvLimits, io: BdevIo): number {
  const shortest = io.type === IoType.KV_LIST ? 0 : 1;
  const { key_length } = io;
  if (!Number.isInteger(key_length) || key_length < shortest || key_length > limits.max_key_len)
    return KvStatus.INVALID_KEY_SIZE;
  if (io.type === IoType.KV_STORE && io.bytes > limits.max_value_len) return KvStatus.INVALID_VALUE_SIZE;
  return 0;
}

/** Counts a successful I/O: a store as a write of its value, a retrieve as a read of what it transferred, a delete as an unmap. */
export function countKv(stat: Float64Array, io: BdevIo, ticks: number): void {
  if (io.type === IoType.KV_STORE) countIo(stat, IoType.WRITE, io.bytes, ticks);
  else if (io.type === IoType.KV_RETRIEVE)
    countIo(stat, IoType.READ, Math.min(io.bytes, io.cdw0 >>> 0), ticks);
  else if (io.type === IoType.KV_DELETE) countIo(stat, IoType.UNMAP, 0, ticks);
}
