import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CRC32C_INIT, crc32c, crc32cFinalize, crc32cUpdate } from './crc32c.ts';

/** One bit at a time, straight from the definition. */
function slowly(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** RFC 3720 B.4 prints digests in the order of transmission. */
function onTheWire(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE(0);
}

test('the vectors of RFC 3720 B.4', () => {
  const ramp = Uint8Array.from({ length: 32 }, (_, i) => i);
  expect(crc32c(new Uint8Array(32))).toBe(onTheWire('aa36918a'));
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(onTheWire('43aba862'));
  expect(crc32c(ramp)).toBe(onTheWire('4e79dd46'));
  expect(crc32c(ramp.slice().reverse())).toBe(onTheWire('5cdb3f11'));
  const iscsiRead = Buffer.from(
    '01c00000000000000000000000000000' +
      '14000000000004000000001400000018' +
      '28000000000000000200000000000000',
    'hex',
  );
  expect(crc32c(iscsiRead)).toBe(onTheWire('563a96d9'));
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe306_9283);
  expect(crc32c(new Uint8Array(0))).toBe(0);
});

test('agrees with the definition at any place and length', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), fc.nat(200), (bytes, a, b) => {
      const start = Math.min(a, b, bytes.length);
      const end = Math.min(Math.max(a, b), bytes.length);
      expect(crc32c(bytes, start, end)).toBe(slowly(bytes.subarray(start, end)));
    }),
  );
});

test('can be had in pieces', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, cut) => {
      const middle = Math.min(cut, bytes.length);
      const first = crc32cUpdate(CRC32C_INIT, bytes, 0, middle);
      expect(crc32cFinalize(crc32cUpdate(first, bytes, middle, bytes.length))).toBe(crc32c(bytes));
      expect(crc32c(bytes, middle, bytes.length, crc32c(bytes, 0, middle))).toBe(crc32c(bytes));
    }),
  );
});
