import { native } from '@spdk-ts/native';
import { describe, expect, it } from 'vitest';
import { crc16T10dif, crc64Nvme, DifFormat, Guard } from './index.ts';

const text = Buffer.from('123456789');
const ramp = (length: number, from = 0, step = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => from + step * i);

/** Of all of an array, by name: JavaScript, and the addon where it is there. */
const ways16: [string, (bytes: Uint8Array, start?: number, end?: number, crc?: number) => number][] = [
  ['JavaScript', crc16T10dif],
];
const ways64: [string, (crc: Uint32Array, bytes: Uint8Array, start: number, end: number) => void][] = [
  ['JavaScript', crc64Nvme],
];
if (native !== null) {
  const addon = native;
  ways16.push([
    'the addon',
    (bytes, start = 0, end = bytes.length, crc = 0) => addon.crc16T10dif(bytes, start, end, crc),
  ]);
  ways64.push(['the addon', (crc, bytes, start, end) => addon.crc64Nvme(crc, bytes, start, end)]);
}

describe.each(ways16)('CRC-16 T10DIF by %s', (_name, crc16) => {
  it('is what T10 and the catalogue of CRCs have', () => {
    expect(crc16(text)).toBe(0xd0db);
    expect(crc16(new Uint8Array(32))).toBe(0);
    expect(crc16(new Uint8Array(32).fill(0xff))).toBe(0xa293);
    expect(crc16(ramp(32))).toBe(0x0224);
    expect(crc16(new Uint8Array(4096))).toBe(0);
  });

  it('is the remainder of a long division, at every length and start, and continues', () => {
    const bytes = Uint8Array.from({ length: 80 }, (_, i) => (i * 167 + (i >> 3) * 13) & 0xff);
    for (let start = 0; start < 8; start++)
      for (let end = start; end <= 80; end++) {
        let wanted = 0;
        for (let at = start; at < end; at++) {
          wanted ^= bytes[at]! << 8;
          for (let bit = 0; bit < 8; bit++)
            wanted = ((wanted << 1) ^ (wanted & 0x8000 ? 0x8bb7 : 0)) & 0xffff;
        }
        expect(crc16(bytes, start, end)).toBe(wanted);
        const middle = (start + end) >> 1;
        expect(crc16(bytes, middle, end, crc16(bytes, start, middle))).toBe(wanted);
      }
  });
});

describe.each(ways64)('CRC-64 NVMe by %s', (_name, update) => {
  const crc64 = (bytes: Uint8Array): string => {
    const crc = new Uint32Array(2);
    update(crc, bytes, 0, bytes.length);
    return crc[1]!.toString(16).padStart(8, '0') + crc[0]!.toString(16).padStart(8, '0');
  };

  it('is what the NVM Command Set specification has', () => {
    expect(crc64(text)).toBe('ae8b14860a799888');
    expect(crc64(new Uint8Array(4096))).toBe('6482d367eb22b64e');
    expect(crc64(new Uint8Array(4096).fill(0xff))).toBe('c0ddba7302eca3ac');
    expect(crc64(ramp(4096))).toBe('3e729f5f6750449c');
    expect(crc64(ramp(4096, 255, -1))).toBe('9a2df64b8e9e517e');
    expect(crc64(new Uint8Array(0))).toBe('0000000000000000');
  });

  it('is the remainder of a long division, at every length and start, and continues', () => {
    const bytes = Uint8Array.from({ length: 60 }, (_, i) => (i * 31 + (i >> 2) * 77) & 0xff);
    for (let start = 0; start < 8; start++)
      for (let end = start; end <= 60; end++) {
        let wanted = 0xffff_ffff_ffff_ffffn;
        for (let at = start; at < end; at++) {
          wanted ^= BigInt(bytes[at]!);
          for (let bit = 0; bit < 8; bit++)
            wanted = (wanted >> 1n) ^ (wanted & 1n ? 0x9a6c_9329_ac4b_c9b5n : 0n);
        }
        wanted ^= 0xffff_ffff_ffff_ffffn;
        const crc = new Uint32Array(2);
        update(crc, bytes, start, (start + end) >> 1);
        update(crc, bytes, (start + end) >> 1, end);
        expect((BigInt(crc[1]!) << 32n) | BigInt(crc[0]!)).toBe(wanted);
      }
  });
});

it('the guard of each format is its CRC, whatever the sizes of its parts', () => {
  const bytes = ramp(4096);
  const wanted = [
    [DifFormat.GUARD_16, 0, crc16T10dif(bytes)],
    [DifFormat.GUARD_32, 0, 0x9c71_fe32],
    [DifFormat.GUARD_64, 0x3e72_9f5f, 0x6750_449c],
  ] as const;
  for (const [format, high, low] of wanted)
    for (const cut of [0, 1, 63, 64, 65, 4000, 4096]) {
      const guard = new Guard(format);
      guard.start();
      guard.update(bytes, 0, cut);
      guard.update(bytes, cut, 4096);
      expect([guard.high, guard.low]).toEqual([high, low]);
    }
});

it.skipIf(native === null)(
  'the addon computes what JavaScript does, at every length to 700 and every alignment',
  () => {
    const bytes = Uint8Array.from({ length: 800 }, (_, i) => (i * 167 + (i >> 3) * 13) & 0xff);
    const mine = new Uint32Array(2);
    const its = new Uint32Array(2);
    for (let length = 0; length <= 700; length++)
      for (let start = 0; start < 17; start += 1 + (length % 3)) {
        const end = start + length;
        const seed = (length * 7919 + start) & 0xffff;
        const crc16 = native!.crc16T10dif(bytes, start, end, seed);
        mine.set([seed * 65_537, ~seed]);
        its.set(mine);
        crc64Nvme(mine, bytes, start, end);
        native!.crc64Nvme(its, bytes, start, end);
        if (crc16 !== crc16T10dif(bytes, start, end, seed) || mine[0] !== its[0] || mine[1] !== its[1])
          expect.fail(`${length} bytes from ${start}`);
      }
    const long = Uint8Array.from({ length: 100_003 }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
    expect(native!.crc16T10dif(long, 0, long.length, 0)).toBe(crc16T10dif(long));
  },
);
