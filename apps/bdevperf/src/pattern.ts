/*
 * What verify jobs write. Every block says who wrote it: its own number, the generation (how many I/Os the job
 * had written before) and the job's seed; the rest follows from these. So a block at the wrong place, of an
 * earlier write, of another job or changed in a single bit is told from the right one, and by which of them.
 *
 * A block is 32-bit words: 0 and 1 the block's number (low, high), 2 the generation, 3 the seed, then an
 * arithmetic sequence from a hash of these.
 */
const STEP = 0x9e3779b1 | 0;
const HEADER_WORDS = 4;
const TWO_32 = 0x1_0000_0000;

/** What a run of blocks holds. */
export interface BlockRange {
  /** Number of the first block. */
  readonly lba: number;
  readonly num_blocks: number;
  /** 32-bit words of a block. */
  readonly block_words: number;
  readonly generation: number;
  readonly seed: number;
}

function hash(low: number, high: number, generation: number, seed: number): number {
  let x = low ^ Math.imul(high, 0x85ebca6b) ^ Math.imul(generation, 0xc2b2ae35) ^ seed;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}

/** Writes the pattern to `words` from index `at` on. */
export function fillPattern(
  words: Int32Array,
  at: number,
  lba: number,
  num_blocks: number,
  block_words: number,
  generation: number,
  seed: number,
): void {
  for (let block = 0; block < num_blocks; block++) {
    const low = (lba + block) | 0;
    const high = Math.floor((lba + block) / TWO_32) | 0;
    const start = at + block * block_words;
    const end = start + block_words;
    words[start] = low;
    words[start + 1] = high;
    words[start + 2] = generation;
    words[start + 3] = seed;
    let x = hash(low, high, generation, seed);
    for (let i = start + HEADER_WORDS; i < end; i++) {
      words[i] = x;
      x = (x + STEP) | 0;
    }
  }
}

/** Index (relative to `at`) of the first word that is not the pattern's, or -1. */
export function findMismatch(
  words: Int32Array,
  at: number,
  lba: number,
  num_blocks: number,
  block_words: number,
  generation: number,
  seed: number,
): number {
  for (let block = 0; block < num_blocks; block++) {
    const low = (lba + block) | 0;
    const high = Math.floor((lba + block) / TWO_32) | 0;
    const start = at + block * block_words;
    const end = start + block_words;
    if (words[start] !== low) return start - at;
    if (words[start + 1] !== high) return start + 1 - at;
    if (words[start + 2] !== generation) return start + 2 - at;
    if (words[start + 3] !== seed) return start + 3 - at;
    let x = hash(low, high, generation, seed);
    for (let i = start + HEADER_WORDS; i < end; i++) {
      if (words[i] !== x) return i - at;
      x = (x + STEP) | 0;
    }
  }
  return -1;
}

/** Says what was expected and what was found at a mismatch, in lines. `words` from `at` on is what was read. */
export function describeMismatch(
  words: Int32Array,
  at: number,
  range: BlockRange,
  mismatch: number,
): string[] {
  const { lba, num_blocks, block_words, generation, seed } = range;
  const expected = new Int32Array(num_blocks * block_words);
  fillPattern(expected, 0, lba, num_blocks, block_words, generation, seed);
  const block = Math.floor(mismatch / block_words);
  const start = block * block_words;
  const found = words.slice(at + start, at + start + block_words);
  const word = mismatch - start;
  const wrong = found.reduce((count, value, index) => count + (value === expected[start + index] ? 0 : 1), 0);
  return [
    `  block ${lba + block}, byte ${word * 4} of it: expected ${hex(expected[mismatch]!)}, found ${hex(found[word]!)}` +
      ` (${wrong} of the block's ${block_words} words differ)`,
    `  expected: block ${lba + block}, generation ${generation >>> 0}`,
    `  found:    ${identify(found, lba + block, generation, seed)}`,
  ];
}

function identify(found: Int32Array, lba: number, generation: number, seed: number): string {
  if (found.every((word) => word === 0)) return 'zeroes';
  const foundLba = (found[0]! >>> 0) + (found[1]! >>> 0) * TWO_32;
  const foundGeneration = found[2]!;
  const intact = findMismatch(found, 0, foundLba, 1, found.length, foundGeneration, found[3]!) < 0;
  const what = `block ${foundLba}, generation ${foundGeneration >>> 0}`;
  if (!intact)
    return foundLba === lba && found[3] === seed ? `${what}, damaged` : 'data that no verify job wrote';
  if (found[3] !== seed) return `${what} of another job (misplaced, or left from before)`;
  if (foundLba !== lba) return `${what} (misplaced)`;
  return foundGeneration - generation < 0 ? `${what} (stale)` : `${what} (overwritten)`;
}

const hex = (word: number): string => `0x${(word >>> 0).toString(16).padStart(8, '0')}`;
