import { describe, expect, it } from 'vitest';
import { BufferPool, formatCpumask, parseCpuset, Random, RegionTable } from './index.ts';

describe('core sets', () => {
  it.each([
    ['0x3', [0, 1]],
    ['f', [0, 1, 2, 3]],
    ['0x8000000000000001', [0, 63]],
    ['[0,1,4-6]', [0, 1, 4, 5, 6]],
    ['[ 2 , 0 ]', [0, 2]],
  ])('%s', (text, cores) => {
    expect(parseCpuset(text)).toEqual(cores);
    expect(parseCpuset(formatCpumask(cores))).toEqual(cores);
  });
  it.each(['', '0', '0x', 'xyz', '[0,1', '[]', '[3-1]', '[5000]'])('refuses "%s"', (text) => {
    expect(() => parseCpuset(text)).toThrow(RangeError);
  });
});

describe('buffers', () => {
  const options = { small_count: 2, small_bytes: 4096, large_count: 1, large_bytes: 8192 };
  const pool = (): BufferPool => new BufferPool(0, new Uint8Array(BufferPool.size(options)), options);

  it('come in two sizes, run out, and come back', () => {
    const buffers = pool();
    const small = [buffers.get(1), buffers.get(4096)];
    expect(new Set(small).size).toBe(2);
    expect(buffers.get(100)).toBe(-1);
    const large = buffers.get(4097);
    expect(large).toBeGreaterThanOrEqual(8192);
    expect(buffers.get(8193)).toBe(-1);
    buffers.put(small[0]!);
    expect(buffers.get(10)).toBe(small[0]);
    buffers.put(large);
    expect(buffers.largeFree).toBe(1);
    expect(() => buffers.put(large)).toThrow('freed twice');
  });

  it('tell who waits for one, and refuse other sizes while they are in use', () => {
    const buffers = pool();
    const taken = [buffers.get(1), buffers.get(1)];
    let told = 0;
    buffers.wait({ bufferAvailable: () => void told++ });
    expect(() => buffers.reconfigure(buffers.bytes, options)).toThrow('in use');
    for (const buffer of taken) buffers.put(buffer);
    expect(told).toBe(1);
    buffers.reconfigure(buffers.bytes, { ...options, small_count: 1 });
    expect(buffers.smallFree).toBe(1);
  });
});

describe('regions', () => {
  it('hold places within their bounds only', () => {
    const regions = new RegionTable();
    regions.add(5, new Uint8Array(100));
    expect(regions.contains(5, 0, 100)).toBe(true);
    expect(regions.contains(5, 1, 100)).toBe(false);
    expect(regions.contains(5, -1, 2)).toBe(false);
    expect(regions.contains(6, 0, 1)).toBe(false);
    expect(() => regions.add(5, new Uint8Array(1))).toThrow('in use');
    regions.remove(5);
    expect(regions.contains(5, 0, 1)).toBe(false);
  });
});

describe('chance', () => {
  it('replays from its seed and stays within bounds', () => {
    const a = new Random(42);
    const b = new Random(42);
    const first = Array.from({ length: 100 }, () => a.below(10));
    expect(Array.from({ length: 100 }, () => b.below(10))).toEqual(first);
    expect(new Set(first).size).toBe(10);
    const far = new Random(43);
    for (let i = 0; i < 1000; i++) expect(far.below(2 ** 40)).toBeLessThan(2 ** 40);
  });
});
