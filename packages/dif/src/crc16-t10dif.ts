/**
 * CRC-16 T10DIF, the guard of 16 bits: polynomial 8BB7h, not reflected, from 0. Slicing by 16: sixteen bytes a step, a
 * table for each.
 */

/** Row k, at k * 256, is the remainder of a byte followed by k zero bytes. */
const table = new Int32Array(16 * 256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x8bb7 : crc << 1) & 0xffff;
  table[byte] = crc;
}
for (let at = 256; at < table.length; at++) {
  const shorter = table[at - 256]!;
  table[at] = ((shorter << 8) & 0xffff) ^ table[shorter >>> 8]!;
}

/** Of bytes `start` up to `end`, continued from the CRC of what precedes them (0 at first). */
export function crc16T10dif(bytes: Uint8Array, start = 0, end = bytes.length, seed = 0): number {
  const t = table;
  let crc = seed;
  let at = start;
  for (; at + 16 <= end; at += 16) {
    crc =
      t[3840 | ((crc >>> 8) ^ bytes[at]!)]! ^
      t[3584 | ((crc & 0xff) ^ bytes[at + 1]!)]! ^
      t[3328 | bytes[at + 2]!]! ^
      t[3072 | bytes[at + 3]!]! ^
      t[2816 | bytes[at + 4]!]! ^
      t[2560 | bytes[at + 5]!]! ^
      t[2304 | bytes[at + 6]!]! ^
      t[2048 | bytes[at + 7]!]! ^
      t[1792 | bytes[at + 8]!]! ^
      t[1536 | bytes[at + 9]!]! ^
      t[1280 | bytes[at + 10]!]! ^
      t[1024 | bytes[at + 11]!]! ^
      t[768 | bytes[at + 12]!]! ^
      t[512 | bytes[at + 13]!]! ^
      t[256 | bytes[at + 14]!]! ^
      t[bytes[at + 15]!]!;
  }
  for (; at < end; at++) crc = ((crc << 8) & 0xffff) ^ t[(crc >>> 8) ^ bytes[at]!]!;
  return crc;
}
