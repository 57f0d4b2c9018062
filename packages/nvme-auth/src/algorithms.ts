/** Hash functions and Diffie-Hellman groups of DH-HMAC-CHAP (Base 2.0, 8.13.5.4), by the numbers that messages carry. */

/** Identifiers of hash functions. */
export const dhchapHash = { sha256: 1, sha384: 2, sha512: 3 } as const;

/** Identifiers of Diffie-Hellman groups: RFC 7919's, and null for none. */
export const dhchapGroup = {
  null: 0,
  ffdhe2048: 1,
  ffdhe3072: 2,
  ffdhe4096: 3,
  ffdhe6144: 4,
  ffdhe8192: 5,
} as const;

export type DhchapHashName = keyof typeof dhchapHash;
export type DhchapGroupName = keyof typeof dhchapGroup;

const hashNames: readonly (DhchapHashName | undefined)[] = [undefined, 'sha256', 'sha384', 'sha512'];
const hashLengths = [0, 32, 48, 64];
/** Bytes of a group's prime, and so of its public values and shared secrets. */
const groupLengths = [0, 256, 384, 512, 768, 1024];

/** The name that OpenSSL knows a hash function by. Throws RangeError for a number that is none. */
export function hashName(hash: number): DhchapHashName {
  const name = hashNames[hash];
  if (name === undefined) throw new RangeError(`${hash} is no hash function: they are 1, 2 and 3`);
  return name;
}

/** Bytes of a hash function's values, or 0 for a number that is none. */
export function hashLength(hash: number): number {
  return hashLengths[hash] ?? 0;
}

/** Bytes of a group's public values: 0 for the null group, -1 for a number that is no group. */
export function groupLength(group: number): number {
  return groupLengths[group] ?? -1;
}

/** A set of numbers below 32 as bits, from names; everything where no names are given. */
export function identifierMask<N extends string>(
  identifiers: Readonly<Record<N, number>>,
  names: readonly N[] | undefined,
): number {
  const chosen = names ?? (Object.keys(identifiers) as N[]);
  return chosen.reduce((mask, name) => mask | (1 << identifiers[name]), 0);
}

/** The strongest (greatest) identifier that is both offered and in `mask`, or -1. */
export function strongest(offered: Iterable<number>, mask: number): number {
  let best = -1;
  for (const id of offered) if (id > best && id < 32 && (mask & (1 << id)) !== 0) best = id;
  return best;
}
