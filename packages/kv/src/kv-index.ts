import type { BdevIo } from '@spdk-ts/bdev';
import { tryLock, unlock } from './spin-lock.ts';

/** Words of the head: a lock of the nodes, the first free node (+1), nodes ever used, keys. */
const NODES_LOCK = 0;
const FREE_NODE = 1;
const NODES_USED = 2;
const KEYS = 3;
/** Words of the head that belong to the module: a line of its own. */
export const INDEX_USER_WORDS = 32;
const USER = 16;
const HEAD_WORDS = USER + INDEX_USER_WORDS;
const LOCKS = 1024;
/** Buckets that share a count of keys, so that a list passes empty ones quickly. */
const GROUP_SHIFT = 10;
/** A node: the next one of its bucket (+1), hash, length and words of the key, and what the module keeps of the value. */
const NODE_WORDS = 12;
const HASH = 1;
const LENGTH = 2;
const KEY = 3;
const VALUE = 7;
/** Words that a module keeps with each key. */
export const INDEX_VALUE_WORDS = NODE_WORDS - VALUE;
/** Keys that an index can be made for. */
export const INDEX_KEYS_MAX: number = 2 ** 25;

/** A lock's answers: {@link KvIndex.find} and {@link KvIndex.insert}. */
export const NO_NODE = -1;

function bucketBits(max_num_keys: number): number {
  return Math.max(GROUP_SHIFT, Math.ceil(Math.log2(max_num_keys)));
}

/** Memory for an index of so many keys. The kernel commits it as it is touched. */
export function allocateIndex(max_num_keys: number): SharedArrayBuffer {
  const buckets = 2 ** bucketBits(max_num_keys);
  const words = HEAD_WORDS + LOCKS + (buckets >>> GROUP_SHIFT) + buckets + max_num_keys * NODE_WORDS;
  return new SharedArrayBuffer(words * 4);
}

/**
 * A hash index of keys in shared memory, which all reactors use at once: buckets of chains, and a lock for each of
 * 1024 sets of buckets, taken by spinning for a bounded time. Locks, and not messages to a reactor that owns a part: a
 * look-up takes a fraction of a microsecond under a lock that is hardly ever held by another, and a message to another
 * reactor and back several. Whoever cannot have a lock comes again at its next poll, so that no reactor waits for one
 * that sleeps.
 *
 * Buckets are the hash's upper bits and chains are sorted, so that all keys have an order, by hash, then length, then
 * words, that does not change while others come and go: a list is a walk over the buckets.
 *
 * One object serves one thread. Between `lock` and `unlock` it stands at the key of an I/O; other methods are for then.
 */
export class KvIndex {
  readonly words: Int32Array;
  readonly max_num_keys: number;
  readonly buckets: number;
  private readonly seed: number;
  private readonly shift: number;
  private readonly groups: number;
  private readonly heads: number;
  private readonly nodes: number;

  private hash = 0;
  private length = 0;
  private key0 = 0;
  private key1 = 0;
  private key2 = 0;
  private key3 = 0;
  private bucket = 0;
  /** The word that leads to what `find` found, or to where it would be. */
  private link = 0;

  /** `seed`: 32 bits that hosts do not know, so that they cannot make keys of one bucket. */
  constructor(memory: SharedArrayBuffer, max_num_keys: number, seed: number) {
    const bits = bucketBits(max_num_keys);
    this.words = new Int32Array(memory);
    this.max_num_keys = max_num_keys;
    this.seed = seed | 0;
    this.buckets = 2 ** bits;
    this.shift = 32 - bits;
    this.groups = HEAD_WORDS + LOCKS;
    this.heads = this.groups + (this.buckets >>> GROUP_SHIFT);
    this.nodes = this.heads + this.buckets;
  }

  /** Where the module's own words are: {@link INDEX_USER_WORDS} of them. */
  get user(): number {
    return USER;
  }
  get num_keys(): number {
    return Atomics.load(this.words, KEYS);
  }

  /** Hashes the key of an I/O: before `lock`, and for modules that lock by it. */
  setKey(length: number, key0: number, key1: number, key2: number, key3: number): number {
    this.length = length;
    this.key0 = key0;
    this.key1 = key1;
    this.key2 = key2;
    this.key3 = key3;
    let h = mix(this.seed ^ length, key0);
    if (length > 4) h = mix(h, key1);
    if (length > 8) h = mix(h, key2);
    if (length > 12) h = mix(h, key3);
    h ^= h >>> 16;
    h = Math.imul(h, 0x85eb_ca6b);
    h ^= h >>> 13;
    h = Math.imul(h, 0xc2b2_ae35);
    h ^= h >>> 16;
    this.hash = h;
    this.bucket = h >>> this.shift;
    return h;
  }
  setKeyOf(io: BdevIo): number {
    return this.setKey(io.key_length, io.key0, io.key1, io.key2, io.key3);
  }

  /** Locks the bucket of the key that was set. False if another holds it: to be tried again at the next poll. */
  lock(): boolean {
    return tryLock(this.words, HEAD_WORDS + (this.bucket & (LOCKS - 1)));
  }
  unlock(): void {
    unlock(this.words, HEAD_WORDS + (this.bucket & (LOCKS - 1)));
  }

  /** The key's place among the words of the nodes, or {@link NO_NODE}. */
  find(): number {
    const at = this.seek();
    return at !== NO_NODE && this.compare(at) === 0 ? at : NO_NODE;
  }

  /** The first node of the bucket that is not before the key. */
  private seek(): number {
    const words = this.words;
    this.link = this.heads + this.bucket;
    for (;;) {
      const next = words[this.link]!;
      if (next === 0) return NO_NODE;
      const at = this.nodes + (next - 1) * NODE_WORDS;
      if (this.compare(at) >= 0) return at;
      this.link = at;
    }
  }

  /** Below 0: the node is before the key. */
  private compare(at: number): number {
    const words = this.words;
    if (words[at + HASH] !== this.hash) return (words[at + HASH]! >>> 0) - (this.hash >>> 0);
    if (words[at + LENGTH] !== this.length) return words[at + LENGTH]! - this.length;
    if (words[at + KEY] !== this.key0) return (words[at + KEY]! >>> 0) - (this.key0 >>> 0);
    if (words[at + KEY + 1] !== this.key1) return (words[at + KEY + 1]! >>> 0) - (this.key1 >>> 0);
    if (words[at + KEY + 2] !== this.key2) return (words[at + KEY + 2]! >>> 0) - (this.key2 >>> 0);
    return (words[at + KEY + 3]! >>> 0) - (this.key3 >>> 0);
  }

  /** Right after `find` found nothing: adds the key, its value's words undefined. {@link NO_NODE} if there are as many as can be. */
  insert(): number {
    const words = this.words;
    const at = this.takeNode();
    if (at === NO_NODE) return NO_NODE;
    words[at] = words[this.link]!;
    words[at + HASH] = this.hash;
    words[at + LENGTH] = this.length;
    words[at + KEY] = this.key0;
    words[at + KEY + 1] = this.key1;
    words[at + KEY + 2] = this.key2;
    words[at + KEY + 3] = this.key3;
    Atomics.store(words, this.link, (at - this.nodes) / NODE_WORDS + 1);
    Atomics.add(words, this.groups + (this.bucket >>> GROUP_SHIFT), 1);
    return at;
  }

  /** Right after `find` found it: takes the key away. */
  remove(at: number): void {
    const words = this.words;
    Atomics.store(words, this.link, words[at]!);
    Atomics.sub(words, this.groups + (this.bucket >>> GROUP_SHIFT), 1);
    this.giveNode(at);
  }

  /** Where the module's words of a node begin. */
  value(at: number): number {
    return at + VALUE;
  }

  private takeNode(): number {
    const words = this.words;
    this.lockNodes();
    let node = words[FREE_NODE]! - 1;
    if (node >= 0) words[FREE_NODE] = words[this.nodes + node * NODE_WORDS]!;
    else if (words[NODES_USED]! < this.max_num_keys) node = words[NODES_USED]++;
    if (node >= 0) Atomics.add(words, KEYS, 1);
    unlock(words, NODES_LOCK);
    return node < 0 ? NO_NODE : this.nodes + node * NODE_WORDS;
  }

  private giveNode(at: number): void {
    const words = this.words;
    this.lockNodes();
    words[at] = words[FREE_NODE]!;
    words[FREE_NODE] = (at - this.nodes) / NODE_WORDS + 1;
    Atomics.sub(words, KEYS, 1);
    unlock(words, NODES_LOCK);
  }

  /** Held for a few instructions: whoever holds it will let it go. */
  private lockNodes(): void {
    while (!tryLock(this.words, NODES_LOCK));
  }

  // --- in order, for lists ---

  /**
   * Without a lock: the next bucket, from the set key's on, that has or had a key a moment ago. The key stands for all
   * of that bucket then, if it is another. False: there is none.
   */
  nextBucket(after: boolean): boolean {
    const words = this.words;
    let bucket = after ? this.bucket + 1 : this.bucket;
    const first = bucket;
    while (bucket < this.buckets) {
      if (Atomics.load(words, this.groups + (bucket >>> GROUP_SHIFT)) === 0) {
        bucket = ((bucket >>> GROUP_SHIFT) + 1) << GROUP_SHIFT;
      } else if (Atomics.load(words, this.heads + bucket) === 0) bucket++;
      else break;
    }
    if (bucket >= this.buckets) return false;
    if (after || bucket !== first) this.setBucket(bucket);
    return true;
  }

  /** Stands before all keys. */
  setBucket(bucket: number): void {
    this.bucket = bucket;
    this.hash = bucket << this.shift;
    this.length = 0;
    this.key0 = 0;
    this.key1 = 0;
    this.key2 = 0;
    this.key3 = 0;
  }

  /** Locked: the first node of the bucket that is the set key's or after it. */
  first(): number {
    return this.seek();
  }
  /** Locked: the node after another. */
  after(at: number): number {
    const next = this.words[at]!;
    return next === 0 ? NO_NODE : this.nodes + (next - 1) * NODE_WORDS;
  }
  keyLength(at: number): number {
    return this.words[at + LENGTH]!;
  }
  keyWord(at: number, index: number): number {
    return this.words[at + KEY + index]!;
  }
}

function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e_2d51);
  k = (k << 15) | (k >>> 17);
  const h = hash ^ Math.imul(k, 0x1b87_3593);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe654_6b64) | 0;
}
