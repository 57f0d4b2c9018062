import { ANYTHING, holdsContent, holdsMixture, ZEROES } from './content.ts';

/** A write, from when it was submitted: what it puts into each of its atoms. */
export interface Write {
  readonly first: number;
  readonly count: number;
  /** One content for all atoms, a content for each, or several of which each may turn out to be the one. */
  readonly contents: number | readonly (number | readonly number[])[];
  /** Whether it is on stable storage once it has ended: force unit access. */
  readonly fua: boolean;
  /** Points in the order of events. */
  readonly start: number;
  end: number;
  /** It ended with success: from then on it is what older ones were replaced by. Otherwise it may have had effect. */
  ok: boolean;
  /** Whoever promised that it is on stable storage. */
  durable: boolean;
}

const contentsOf = (write: Write, atom: number): number | readonly number[] =>
  typeof write.contents === 'number' ? write.contents : write.contents[atom - write.first]!;

const has = (contents: number | readonly number[], content: number): boolean =>
  typeof contents === 'number' ? contents === content : contents.includes(content);

/**
 * What a device may hold, in atoms: a register each, which takes writes and reads that overlap in time. A read may
 * see every write that was submitted before the read ended, unless another one began after that had ended and itself
 * ended before the read began. Of writes that overlap, each order is right, atom by atom.
 */
export class Versions {
  readonly atom_bytes: number;
  private readonly words: number;
  private readonly first: number;
  /** What atoms hold where no write of {@link writes} says otherwise, and those that may hold one of several. */
  private readonly base: Int32Array;
  private readonly doubtful = new Map<number, number[]>();
  private writes: Write[] = [];
  private inflight = 0;
  private event = 0;
  private lastContent = 0;

  /** `count` atoms from `first` on, all zeroes. */
  constructor(first: number, count: number, atom_bytes: number) {
    this.first = first;
    this.base = new Int32Array(count);
    this.atom_bytes = atom_bytes;
    this.words = atom_bytes / 4;
  }

  /** A point in the order of events: later ones are greater. */
  now(): number {
    return ++this.event;
  }

  /** Numbers of contents that nobody has used: the first of `count`. */
  newContents(count: number): number {
    const first = this.lastContent + 1;
    this.lastContent += count;
    return first;
  }

  begin(first: number, count: number, contents: Write['contents'], fua = false): Write {
    const write: Write = {
      ...{ first, count, contents, fua, start: this.now() },
      ...{ end: Number.POSITIVE_INFINITY, ok: false, durable: false },
    };
    this.writes.push(write);
    this.inflight++;
    return write;
  }

  end(write: Write, ok: boolean): void {
    write.end = this.now();
    write.ok = ok;
    write.durable = ok && write.fua;
    this.inflight--;
  }

  /** A write that was refused, and had no effect. */
  forget(write: Write): void {
    this.writes = this.writes.filter((other) => other !== write);
    this.inflight--;
  }

  /** A flush that began at `start` has succeeded: what had ended by then is on stable storage. */
  flushed(start: number): void {
    for (const write of this.writes) if (write.ok && write.end < start) write.durable = true;
  }

  /** Writes that touch a range. */
  private touching(first: number, count: number): Write[] {
    return this.writes.filter((w) => w.first < first + count && first < w.first + w.count);
  }

  /** True if a write to the range is under way. */
  busy(first: number, count: number): boolean {
    return this.touching(first, count).some((write) => write.end === Number.POSITIVE_INFINITY);
  }

  /** What each atom of a range may hold, if only writes that `counts` are there for certain. */
  private candidates(
    first: number,
    count: number,
    writes: readonly Write[],
    counts: (write: Write) => boolean,
  ): number[][] {
    const replaced = this.replacedAt(first, count, writes, counts);
    const found = Array.from(replaced, (since, i) => {
      if (since !== Number.NEGATIVE_INFINITY) return new Set<number>();
      return new Set(this.doubtful.get(first + i) ?? [this.base[first + i - this.first]!]);
    });
    for (const write of writes) {
      const end = Math.min(first + count, write.first + write.count);
      for (let atom = Math.max(first, write.first); atom < end; atom++) {
        if (write.end <= replaced[atom - first]!) continue;
        const contents = contentsOf(write, atom);
        const here = found[atom - first]!;
        if (typeof contents === 'number') here.add(contents);
        else for (const content of contents) here.add(content);
      }
    }
    return found.map((contents) => [...contents]);
  }

  /** What each atom of a range may hold for a read that begins now: for who copies or compares. */
  read(first: number, count: number): (number | number[])[] {
    const since = this.now();
    const writes = this.touching(first, count);
    const found = this.candidates(first, count, writes, (write) => write.ok && write.end < since);
    return found.map((contents) => (contents.length === 1 ? contents[0]! : contents));
  }

  /**
   * Holds what a read that began at `since` brought, now, against what it may have. `mixes`: an atom with several
   * possible contents may be a mixture of their bytes. Returns what is wrong, or an empty text.
   */
  check(first: number, count: number, data: Int32Array, since: number, mixes = false): string {
    return this.hold(first, count, data, mixes, (write) => write.ok && write.end < since);
  }

  /** The same for what a device holds after it has lost power: only what is on stable storage is certain. */
  checkAfterCrash(first: number, count: number, data: Int32Array): string {
    return this.hold(first, count, data, false, (write) => write.durable);
  }

  private hold(
    first: number,
    count: number,
    data: Int32Array,
    mixes: boolean,
    counts: (write: Write) => boolean,
  ): string {
    const writes = this.touching(first, count);
    const { words } = this;
    const replaced = this.replacedAt(first, count, writes, counts);
    for (let i = 0; i < count; i++) {
      const atom = first + i;
      const seen = data[i * words]!;
      if (
        seen !== ANYTHING &&
        this.may(atom, seen, writes, replaced[i]!) &&
        holdsContent(data, i * words, words, seen)
      )
        continue;
      const [allowed] = this.candidates(atom, 1, writes, counts) as [number[]];
      if (allowed.includes(ANYTHING)) continue;
      if (mixes && allowed.length > 1 && holdsMixture(data, i * words, words, allowed)) continue;
      return this.explain(atom, i, data, allowed, writes);
    }
    return '';
  }

  /** For each atom of a range, the beginning of the last write that is certain: what ended before is replaced. */
  private replacedAt(
    first: number,
    count: number,
    writes: readonly Write[],
    counts: (write: Write) => boolean,
  ): Float64Array {
    const replaced = new Float64Array(count).fill(Number.NEGATIVE_INFINITY);
    for (const write of writes) {
      if (!counts(write)) continue;
      const end = Math.min(first + count, write.first + write.count);
      for (let atom = Math.max(first, write.first); atom < end; atom++)
        if (write.start > replaced[atom - first]!) replaced[atom - first] = write.start;
    }
    return replaced;
  }

  /** True if an atom may hold a content: the same as {@link candidates}, without making a list. */
  private may(atom: number, content: number, writes: readonly Write[], replaced: number): boolean {
    if (replaced === Number.NEGATIVE_INFINITY) {
      const doubtful = this.doubtful.size === 0 ? undefined : this.doubtful.get(atom);
      if (has(doubtful ?? this.base[atom - this.first]!, content)) return true;
    }
    for (const write of writes)
      if (atom >= write.first && atom < write.first + write.count && write.end > replaced)
        if (has(contentsOf(write, atom), content)) return true;
    return false;
  }

  private explain(
    atom: number,
    index: number,
    data: Int32Array,
    allowed: readonly number[],
    writes: readonly Write[],
  ): string {
    const at = index * this.words;
    const seen = data[at]!;
    const whole = holdsContent(data, at, this.words, seen);
    const known = seen >= 0 && seen <= this.lastContent;
    const what = known
      ? `${seen === ZEROES ? 'zeroes' : `content ${seen}`}${whole ? '' : ', torn or mixed up'}`
      : `bytes of no write (first word 0x${(seen >>> 0).toString(16)})`;
    const touching = writes
      .filter((w) => atom >= w.first && atom < w.first + w.count)
      .map((w) => {
        const state = w.end === Number.POSITIVE_INFINITY ? 'under way' : `ended at ${w.end}`;
        const so = `${w.ok ? '' : ', without success'}${w.durable ? ', on stable storage' : ''}`;
        return `content ${contentsOf(w, atom)} from ${w.start}, ${state}${so}`;
      });
    const byte = atom * this.atom_bytes;
    return (
      `bytes ${byte} to ${byte + this.atom_bytes - 1} of the bdev hold ${what}; they may hold ` +
      `${allowed.map((c) => (c === ZEROES ? 'zeroes' : `content ${c}`)).join(' or ')}` +
      (touching.length > 0 ? `; writes: ${touching.join('; ')}` : '')
    );
  }

  /** Nothing is under way: forgets writes, keeps what they left. */
  settle(): void {
    if (this.inflight > 0) throw new Error('writes are under way');
    const { writes } = this;
    let first = Number.POSITIVE_INFINITY;
    let end = 0;
    for (const write of writes) {
      first = Math.min(first, write.first);
      end = Math.max(end, write.first + write.count);
    }
    if (end > first)
      this.candidates(first, end - first, writes, (write) => write.ok).forEach((contents, i) => {
        this.set(first + i, contents);
      });
    this.writes = [];
  }

  private set(atom: number, contents: number[]): void {
    this.doubtful.delete(atom);
    if (contents.length > 1) this.doubtful.set(atom, contents);
    else this.base[atom - this.first] = contents[0]!;
  }

  /**
   * After a crash: what was under way is no more, and these data of the whole range, which {@link checkAfterCrash}
   * has found right, are what is there from now on.
   */
  restarted(data: Int32Array): void {
    this.writes = [];
    this.inflight = 0;
    for (let i = 0; i < this.base.length; i++) this.set(this.first + i, [data[i * this.words]!]);
  }

  /** True if an atom may hold only one thing, which is known. */
  certain(first: number, count: number): boolean {
    const since = this.now();
    const writes = this.touching(first, count);
    const replaced = this.replacedAt(first, count, writes, (write) => write.ok && write.end < since);
    for (let i = 0; i < count; i++)
      if (this.onlyOf(first + i, writes, replaced[i]!) === ANYTHING) return false;
    return true;
  }

  /** The one content that an atom may hold, or {@link ANYTHING}: the same as {@link candidates}, without making a list. */
  private onlyOf(atom: number, writes: readonly Write[], replaced: number): number {
    let only: number | null = null;
    if (replaced === Number.NEGATIVE_INFINITY) {
      if (this.doubtful.has(atom)) return ANYTHING;
      only = this.base[atom - this.first]!;
    }
    for (const write of writes) {
      if (atom < write.first || atom >= write.first + write.count || write.end <= replaced) continue;
      const contents = contentsOf(write, atom);
      if (typeof contents !== 'number') return ANYTHING;
      if (only !== null && only !== contents) return ANYTHING;
      only = contents;
    }
    return only ?? ANYTHING;
  }
}
