import { describe, expect, it } from 'vitest';
import { formatSize, parseSize } from './size.ts';

describe('sizes', () => {
  it('reads plain numbers and powers of 1024', () => {
    expect(['512', '4096', '4k', '4K', '1M', '64MiB', '2G', '1T', ' 8kB '].map(parseSize)).toEqual([
      512,
      4096,
      4096,
      4096,
      2 ** 20,
      2 ** 26,
      2 ** 31,
      2 ** 40,
      8192,
    ]);
  });

  it('refuses what is no size, and says what one looks like', () => {
    for (const text of ['', 'k', '-4k', '4x', '0', '0M', '1.5k', '4096 bytes', '99999999T'])
      expect(() => parseSize(text), text).toThrow(/is not a size/);
  });

  it('formats so that it reads back', () => {
    for (const bytes of [1, 512, 1024, 1536, 4096, 2 ** 20, 3 * 2 ** 20, 2 ** 30, 2 ** 40, 1025])
      expect(parseSize(formatSize(bytes))).toBe(bytes);
    expect(formatSize(2 ** 26)).toBe('64M');
  });
});
