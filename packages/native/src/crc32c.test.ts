import { readFileSync } from 'node:fs';
import { crc32c as byJavaScript } from '@spdk-ts/nvme-spec';
import { describe, expect, it } from 'vitest';
import { native } from './index.ts';

// Each way that this processor has is forced in turn.
describe.skipIf(native === null).each(native?.crc32cPaths() ?? [''])('CRC32C by %s', (path) => {
  const of = (bytes: Uint8Array, start = 0, end = bytes.length, crc = 0): number =>
    native!.crc32cBy(path, bytes, start, end, crc);

  it('is what RFC 3720 B.4 has', () => {
    const ramp = Uint8Array.from({ length: 32 }, (_, i) => i);
    const read = Uint8Array.of(
      ...[0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0],
      ...[0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0],
    );
    expect(of(new Uint8Array(32))).toBe(0x8a91_36aa);
    expect(of(new Uint8Array(32).fill(0xff))).toBe(0x62a8_ab43);
    expect(of(ramp)).toBe(0x46dd_794e);
    expect(of(ramp.slice().reverse())).toBe(0x113f_db5c);
    expect(of(read)).toBe(0xd996_3a56);
    expect(of(Buffer.from('123456789'))).toBe(0xe306_9283);
    expect(of(new Uint8Array(0))).toBe(0);
  });

  it('is what JavaScript computes, at every length to 1100 and every alignment', () => {
    const bytes = Uint8Array.from({ length: 1200 }, (_, i) => (i * 167 + (i >> 3) * 13) & 0xff);
    for (let length = 0; length <= 1100; length++) {
      for (let start = 0; start < 8; start++) {
        const wanted = byJavaScript(bytes, start, start + length);
        if (of(bytes, start, start + length) !== wanted)
          expect.fail(`${length} bytes from ${start}: not ${wanted.toString(16)}`);
      }
    }
  });

  it('goes over from one run length to the other, and continues', () => {
    const bytes = Uint8Array.from({ length: 40_000 }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
    for (const length of [767, 768, 769, 6143, 6144, 6145, 6912, 12_288, 20_011, 40_000])
      expect(of(bytes, 0, length), `${length} bytes`).toBe(byJavaScript(bytes, 0, length));
    for (const at of [1, 255, 6144, 20_010])
      expect(of(bytes, at, bytes.length, of(bytes, 0, at))).toBe(byJavaScript(bytes));
  });
});

it.skipIf(native === null)('the instruction is used where the processor has it', () => {
  const has = /^(flags|Features)\s*:.*\b(sse4_2|crc32)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'));
  expect(native!.crc32cPaths()).toEqual(has ? ['table', 'instruction'] : ['table']);
  expect(() => native!.crc32cBy('none', new Uint8Array(1), 0, 1, 0)).toThrow('not a way');
});
