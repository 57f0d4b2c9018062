import { describe, expect, it } from 'vitest';
import { PrpBuilder, SglBuilder } from './data-pointer.ts';

const PAGE = 4096;
const LIST = 0x7000_1234_5000;

/** Words as 64-bit numbers. */
function quads(words: Uint32Array, at: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => words[at + 2 * i]! + words[at + 2 * i + 1]! * 2 ** 32);
}

/** The PRPs of pieces, and the list; null where they cannot be described. */
function prps(pieces: readonly [number, number][], page = PAGE) {
  const list = new Uint32Array(page / 4 + 8).fill(0xdddd_dddd);
  const entry = new Uint32Array(32);
  entry[16] = 0x1234_4002;
  const builder = new PrpBuilder(page);
  builder.begin(list, 4, LIST);
  for (const [address, length] of pieces) if (!builder.add(address, length)) return null;
  builder.end(entry, 16);
  const [prp1, prp2] = quads(entry, 22, 2);
  return { command: entry[16], prp1, prp2, list: quads(list, 4, (page / 8) | 0), beyond: list[4 + page / 4] };
}

describe('PRPs', () => {
  it('one page, wherever in it the data begin', () => {
    expect(prps([[0x1_0000_0000, 4096]])).toMatchObject({
      command: 0x1234_0002,
      prp1: 0x1_0000_0000,
      prp2: 0,
    });
    expect(prps([[0x10e00, 512]])).toMatchObject({ prp1: 0x10e00, prp2: 0 });
    expect(prps([[0x10ffc, 4]])).toMatchObject({ prp1: 0x10ffc, prp2: 0 });
  });

  it('two pages need no list', () => {
    expect(prps([[0x10e00, 516]])).toMatchObject({ prp1: 0x10e00, prp2: 0x11000 });
    expect(prps([[0x7fff_ffff_e000, 8192]])).toMatchObject({
      prp1: 0x7fff_ffff_e000,
      prp2: 0x7fff_ffff_f000,
    });
  });

  it('three pages and more have one, the first page outside of it', () => {
    const found = prps([[0xffff_f200, 8192]])!;
    expect(found).toMatchObject({ prp1: 0xffff_f200, prp2: LIST });
    expect(found.list.slice(0, 3)).toEqual([
      0x1_0000_0000,
      0x1_0000_1000,
      0xdddd_dddd * 2 ** 32 + 0xdddd_dddd,
    ]);
  });

  it('a list fills its page, and no more', () => {
    const most = prps([[0x10000, 513 * PAGE]])!;
    expect(most.list.at(-1)).toBe(0x10000 + 512 * PAGE);
    expect(most.beyond).toBe(0xdddd_dddd);
    expect(prps([[0x10e00, 512 * PAGE + 512]])!.list.at(-1)).toBe(0x10000 + 512 * PAGE);
    expect(prps([[0x10000, 513 * PAGE + 4]])).toBeNull();
    expect(prps([[0x10e00, 513 * PAGE]])).toBeNull();
  });

  it('pieces that meet at pages are described, others are not', () => {
    const found = prps([
      [0x10e00, 512],
      [0x50000, 8192],
      [0x20000, 100],
    ])!;
    expect(found).toMatchObject({ prp1: 0x10e00, prp2: LIST });
    expect(found.list.slice(0, 3)).toEqual([0x50000, 0x51000, 0x20000]);
    expect(
      prps([
        [0x10000, 4096],
        [0x30000, 4096],
      ]),
    ).toMatchObject({ prp1: 0x10000, prp2: 0x30000 });
    expect(
      prps([
        [0x10000, 512],
        [0x30000, 4096],
      ]),
    ).toBeNull();
    expect(
      prps([
        [0x10000, 4096],
        [0x30200, 512],
      ]),
    ).toBeNull();
  });

  it('pages of another size', () => {
    expect(prps([[0x10000, 8192]], 8192)).toMatchObject({ prp1: 0x10000, prp2: 0 });
    expect(prps([[0x11000, 8192]], 8192)).toMatchObject({ prp1: 0x11000, prp2: 0x12000 });
  });
});

describe('SGLs', () => {
  const sgl = (pieces: readonly [number, number][], alignment: 1 | 4 = 1) => {
    const list = new Uint32Array(PAGE / 4);
    const entry = new Uint32Array(16);
    entry[0] = 0x1234_0002;
    const builder = new SglBuilder(PAGE, alignment);
    builder.begin(list, 0, LIST);
    for (const [address, length] of pieces) if (!builder.add(address, length)) return null;
    builder.end(entry, 0);
    return { entry: [...entry.slice(6, 10)], command: entry[0], list: [...list.slice(0, pieces.length * 4)] };
  };

  it('one piece is the data block descriptor itself', () => {
    expect(sgl([[0x7f12_3456_7001, 1_048_576]])).toMatchObject({
      command: 0x1234_4002,
      entry: [0x3456_7001, 0x7f12, 1_048_576, 0],
    });
  });

  it('more are a last segment of data block descriptors', () => {
    expect(
      sgl([
        [0x1000, 512],
        [0x1_0000_0200, 100],
      ]),
    ).toEqual({
      command: 0x1234_4002,
      entry: [0x1234_5000, 0x7000, 32, 0x3000_0000],
      list: [0x1000, 0, 512, 0, 0x200, 1, 100, 0],
    });
  });

  it('whole dwords, where the controller wants them, and one page of descriptors', () => {
    expect(sgl([[0x1001, 512]], 4)).toBeNull();
    expect(sgl([[0x1000, 510]], 4)).toBeNull();
    expect(sgl([[0x1004, 508]], 4)).not.toBeNull();
    const many = (count: number) => Array.from({ length: count }, (_, i): [number, number] => [i * 64, 32]);
    expect(sgl(many(256))!.entry).toEqual([0x1234_5000, 0x7000, 4096, 0x3000_0000]);
    expect(sgl(many(257))).toBeNull();
  });
});
