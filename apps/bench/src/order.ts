/*
 * In which order the sides take their samples. The machine drifts over minutes, so sides alternate; and what
 * alternates in a fixed rhythm can meet another rhythm, so the order within each round is drawn.
 */

export const orders = ['random', 'abba'] as const;
export type Order = (typeof orders)[number];

/** A small generator (mulberry32): numbers from 0 up to 1, the same for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The sides (0 to `sides` − 1) of each round. `random`: each round a permutation of its own. `abba`: forwards,
 * backwards, forwards, …, beginning with a drawn permutation.
 */
export function roundsOf(order: Order, sides: number, rounds: number, random: () => number): number[][] {
  const first = shuffled(sides, random);
  return Array.from({ length: rounds }, (_, round) => {
    if (order === 'abba') return round % 2 === 0 ? [...first] : [...first].reverse();
    return round === 0 ? first : shuffled(sides, random);
  });
}

function shuffled(count: number, random: () => number): number[] {
  const items = Array.from({ length: count }, (_, index) => index);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}
