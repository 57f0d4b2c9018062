import { expect, test } from 'vitest';
import { ascii, bytes, nested, repeat, struct, u8, u16, u32, u64, u128, utf8 } from './struct.ts';

const inner = struct(4, { a: u16(0), b: u8(3) });
const all = struct(64, {
  byte: u8(0),
  word: u16(1),
  dword: u32(3),
  qword: u64(8),
  huge: u128(16),
  label: ascii(32, 4),
  name: utf8(36, 8),
  raw: bytes(44, 3),
  list: repeat(48, 2, 4, (offset) => nested(offset, inner)),
  words: repeat(56, 3, 2, u16),
});

test('every kind of field survives a round trip, unaligned and at an offset', () => {
  const value = {
    byte: 0xff,
    word: 0xfffe,
    dword: 0xffff_fffd,
    qword: Number.MAX_SAFE_INTEGER,
    huge: 2 ** 52 + 1,
    label: 'a b',
    name: 'é',
    raw: Uint8Array.of(1, 2, 3),
    list: [
      { a: 1, b: 2 },
      { a: 0xffff, b: 0xff },
    ],
    words: [1, 2, 0x8000],
  };
  const out = new Uint8Array(70).fill(0xee);
  all.encode(value, out, 5);
  expect(all.decode(out, 5)).toEqual(value);
  expect([...out.slice(0, 5), out[69]]).toEqual(Array(6).fill(0xee));
  expect([...out.slice(5 + 32, 5 + 36)]).toEqual([0x61, 0x20, 0x62, 0x20]);
});

test('what is not given is zero', () => {
  const out = new Uint8Array(64).fill(0xee);
  all.encode({ words: [7] }, out);
  const value = all.decode(out);
  expect(value.dword).toBe(0);
  expect(value.words).toEqual([7, 0, 0]);
  expect(out.reduce((sum, byte) => sum + byte, 0)).toBe(7);
});

test('values that do not fit are refused by name', () => {
  const out = new Uint8Array(64);
  expect(() => all.encode({ byte: 256 }, out)).toThrow(/^byte: 256 is not an integer of 0 to 255/);
  expect(() => all.encode({ word: -1 }, out)).toThrow(/^word/);
  expect(() => all.encode({ dword: 0.5 }, out)).toThrow(/^dword/);
  expect(() => all.encode({ qword: 2 ** 53 }, out)).toThrow(/^qword/);
  expect(() => all.encode({ label: 'abcde' }, out)).toThrow(/^label: is longer/);
  expect(() => all.encode({ label: 'ä' }, out)).toThrow(/^label: has characters/);
  expect(() => all.encode({ name: '12345678' }, out)).toThrow(/^name: is longer than 7/);
  expect(() => all.encode({ raw: new Uint8Array(4) }, out)).toThrow(/^raw/);
  expect(() => all.encode({ words: [1, 2, 3, 4] }, out)).toThrow(/^words/);
});

test('a structure does not reach past the array it is given', () => {
  const memory = new Uint8Array(128);
  expect(() => all.decode(memory.subarray(0, 63))).toThrow(RangeError);
  expect(() => all.encode({}, memory.subarray(0, 70), 7)).toThrow(RangeError);
});
