import { describe, expect, it } from 'vitest';
import { describeMismatch, fillPattern, findMismatch } from './pattern.ts';

const WORDS = 128;
const SEED = 77;
const blocks = (lba: number, count: number, generation: number, seed = SEED): Int32Array => {
  const words = new Int32Array(count * WORDS);
  fillPattern(words, 0, lba, count, WORDS, generation, seed);
  return words;
};
const check = (words: Int32Array, lba: number, generation: number): number =>
  findMismatch(words, 0, lba, words.length / WORDS, WORDS, generation, SEED);
const story = (words: Int32Array, lba: number, generation: number): string => {
  const num_blocks = words.length / WORDS;
  const range = { lba, num_blocks, block_words: WORDS, generation, seed: SEED };
  return describeMismatch(words, 0, range, check(words, lba, generation)).join('\n');
};

describe('verify pattern', () => {
  it('is found where it was written', () => {
    expect(check(blocks(5, 8, 3), 5, 3)).toBe(-1);
    expect(check(blocks(2 ** 40 + 5, 2, -1), 2 ** 40 + 5, -1)).toBe(-1);
    const words = new Int32Array(4 * WORDS);
    fillPattern(words, 2 * WORDS, 9, 2, WORDS, 1, SEED);
    expect(findMismatch(words, 2 * WORDS, 9, 2, WORDS, 1, SEED)).toBe(-1);
    expect(words.slice(0, 2 * WORDS).every((word) => word === 0)).toBe(true);
  });

  it('shows every single changed bit', () => {
    for (let word = 0; word < 2 * WORDS; word++) {
      const words = blocks(5, 2, 3);
      words[word]! ^= 1 << (word % 32);
      expect(check(words, 5, 3)).toBe(word);
    }
  });

  it('differs between blocks, generations and jobs in nearly every word', () => {
    const same = (a: Int32Array, b: Int32Array): number =>
      a.filter((word, index) => word === b[index]).length;
    const base = blocks(5, 1, 3);
    for (const other of [blocks(6, 1, 3), blocks(5, 1, 4), blocks(5, 1, 3, SEED + 1)])
      expect(same(base, other)).toBeLessThanOrEqual(4);
  });

  it('tells what is there instead', () => {
    expect(story(blocks(6, 1, 3), 5, 3)).toContain('found:    block 6, generation 3 (misplaced)');
    expect(story(blocks(5, 1, 2), 5, 3)).toContain('found:    block 5, generation 2 (stale)');
    expect(story(blocks(5, 1, 4), 5, 3)).toContain('(overwritten)');
    expect(story(blocks(5, 1, 3, 1), 5, 3)).toContain('of another job');
    expect(story(new Int32Array(WORDS), 5, 3)).toContain('found:    zeroes');
    expect(story(new Int32Array(WORDS).fill(0x41414141), 5, 3)).toContain('data that no verify job wrote');
    const damaged = blocks(5, 2, 3);
    damaged[WORDS + 10]! ^= 0x100;
    const text = story(damaged, 5, 3);
    expect(text).toContain('block 6, byte 40 of it: expected 0x');
    expect(text).toContain("(1 of the block's 128 words differ)");
    expect(text).toContain('found:    block 6, generation 3, damaged');
  });
});
