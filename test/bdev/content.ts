/**
 * What tests write: every atom (the least that is read or written as a whole, bytes) holds a content, which a number
 * names. The number stands in the atom's first word and all of its bytes follow from it, so that what is read tells
 * which write it came from, and whether it is whole. Number 0 is zeroes.
 */
export const ZEROES = 0;
/** Matches whatever is read: what an unmap may leave behind where nothing is promised. */
export const ANYTHING = -1;

/** Differs from word to word of the largest atom. */
const salt = Int32Array.from({ length: 16_384 + 64 }, (_, i) => {
  const x = Math.imul(i + 1, 0x85ebca6b);
  return x ^ (x >>> 13);
});
const spread = (content: number): number => Math.imul(content, 0x9e3779b1);

/** Word `index` of a content, which is not zeroes, and of which `base` is spread. */
const word = (content: number, base: number, index: number): number =>
  index === 0 ? content : (base ^ salt[index]!) | 0;

/** Fills `words` words from `at` on with a content. */
export function fillContent(target: Int32Array, at: number, words: number, content: number): void {
  if (content === ZEROES) {
    target.fill(0, at, at + words);
    return;
  }
  const base = spread(content);
  for (let i = 1; i < words; i++) target[at + i] = base ^ salt[i]!;
  target[at] = content;
}

/** True if `words` words from `at` on are that content, whole. */
export function holdsContent(data: Int32Array, at: number, words: number, content: number): boolean {
  if (data[at] !== content) return false;
  const base = spread(content);
  if (content === ZEROES) {
    for (let i = 1; i < words; i++) if (data[at + i] !== 0) return false;
  } else for (let i = 1; i < words; i++) if (data[at + i] !== (base ^ salt[i]!)) return false;
  return true;
}

/** True if every byte is that of one of the contents. */
export function holdsMixture(
  data: Int32Array,
  at: number,
  words: number,
  contents: readonly number[],
): boolean {
  for (let i = 0; i < words; i++) {
    const possible = contents.map((content) => (content === ZEROES ? 0 : word(content, spread(content), i)));
    for (let shift = 0; shift < 32; shift += 8) {
      const byte = (data[at + i]! >>> shift) & 0xff;
      if (!possible.some((other) => ((other >>> shift) & 0xff) === byte)) return false;
    }
  }
  return true;
}
