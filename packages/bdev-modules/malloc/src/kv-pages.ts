import type { Memory } from '@spdk-ts/bdev';
import { tryLock, unlock } from '@spdk-ts/kv';
import type { Segments } from './segments.ts';

/** The allocator's words: its lock, the first free page (+1), pages ever used, pages in use. */
const LOCK = 0;
const FREE_PAGE = 1;
const PAGES_USED = 2;
const IN_USE = 3;

/** An empty value's first page. */
export const NO_PAGE = -1;

/**
 * Pages of a block each, for values: a value takes as many as it needs, wherever they are, chained through `next`. So
 * space never falls to pieces and nothing has to be moved. Shared by all reactors; the lock is held for a walk over one
 * value's pages.
 */
export class KvPages {
  readonly page_bytes: number;
  private readonly count: number;
  private readonly words: Int32Array;
  private readonly at: number;
  private readonly next: Int32Array;
  readonly memory: Memory;
  private readonly segments: Segments;

  /** `words`, from `at` on: the allocator's own, zeroes at first. */
  constructor(
    words: Int32Array,
    at: number,
    next: Int32Array,
    page_bytes: number,
    memory: Memory,
    segments: Segments,
  ) {
    this.words = words;
    this.at = at;
    this.next = next;
    this.count = next.length;
    this.page_bytes = page_bytes;
    this.memory = memory;
    this.segments = segments;
  }

  /** Bytes that are taken. */
  get used_bytes(): number {
    return Atomics.load(this.words, this.at + IN_USE) * this.page_bytes;
  }

  private lock(): void {
    while (!tryLock(this.words, this.at + LOCK));
  }

  /** A chain of pages for so many bytes: its first page; -1 if there are not as many. Not for 0 bytes. */
  allocate(bytes: number): number {
    const { words, at, next } = this;
    const wanted = Math.ceil(bytes / this.page_bytes);
    this.lock();
    let first = 0;
    if (wanted <= this.count - words[at + IN_USE]!) {
      for (let left = wanted; left > 0; left--) {
        let page = words[at + FREE_PAGE]! - 1;
        if (page >= 0) words[at + FREE_PAGE] = next[page]!;
        else page = words[at + PAGES_USED]++;
        next[page] = first;
        first = page + 1;
      }
      words[at + IN_USE] += wanted;
    }
    unlock(words, at + LOCK);
    return first - 1;
  }

  /** Gives a chain back, or nothing if it is {@link NO_PAGE}. */
  free(first: number): void {
    if (first === NO_PAGE) return;
    const { words, at, next } = this;
    this.lock();
    let page = first;
    let count = 1;
    for (; next[page] !== 0; page = next[page]! - 1) count++;
    next[page] = words[at + FREE_PAGE]!;
    words[at + FREE_PAGE] = first + 1;
    words[at + IN_USE] -= count;
    unlock(words, at + LOCK);
  }

  /** The page after another; -1: it is the last. */
  after(page: number): number {
    return this.next[page]! - 1;
  }
  region(page: number): number {
    return this.segments.region(this.segments.find(page * this.page_bytes));
  }
  offset(page: number): number {
    const at = page * this.page_bytes;
    return at - this.segments.start(this.segments.find(at));
  }
}
