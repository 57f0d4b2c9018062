import type { Guard } from './guard.ts';

/**
 * Memory in pieces, one after the other, as one space of bytes. It is reused: {@link clear}, then {@link push} for each
 * piece. Reading on from where the last access was is fast.
 */
export class Pieces {
  private readonly views: Uint8Array[] = [];
  private readonly offsets: number[] = [];
  private readonly lengths: number[] = [];
  private count = 0;
  /** Bytes of all pieces. */
  length = 0;
  /** The piece of the last access, and where it begins. */
  private current = 0;
  private start = 0;

  /** One piece: all of an array. */
  static of(bytes: Uint8Array): Pieces {
    return new Pieces().clear().push(bytes, 0, bytes.length);
  }

  clear(): this {
    this.count = 0;
    this.length = 0;
    this.current = 0;
    this.start = 0;
    return this;
  }

  /** Appends `length` bytes at `offset` of an array. */
  push(bytes: Uint8Array, offset: number, length: number): this {
    if (length === 0) return this;
    this.views[this.count] = bytes;
    this.offsets[this.count] = offset;
    this.lengths[this.count] = length;
    this.count++;
    this.length += length;
    return this;
  }

  private seek(at: number): void {
    if (at < this.start) {
      this.current = 0;
      this.start = 0;
    }
    while (at >= this.start + this.lengths[this.current]!) this.start += this.lengths[this.current++]!;
  }

  /** Takes a range into a guard. */
  guard(guard: Guard, at: number, length: number): void {
    for (let done = 0; done < length; ) {
      this.seek(at + done);
      const inside = at + done - this.start;
      const count = Math.min(length - done, this.lengths[this.current]! - inside);
      const from = this.offsets[this.current]! + inside;
      guard.update(this.views[this.current]!, from, from + count);
      done += count;
    }
  }

  read(at: number, into: Uint8Array, length: number): void {
    for (let i = 0; i < length; i++) {
      this.seek(at + i);
      into[i] = this.views[this.current]![this.offsets[this.current]! + at + i - this.start]!;
    }
  }

  write(at: number, from: Uint8Array, length: number): void {
    for (let i = 0; i < length; i++) {
      this.seek(at + i);
      this.views[this.current]![this.offsets[this.current]! + at + i - this.start] = from[i]!;
    }
  }

  fill(at: number, length: number, value: number): void {
    for (let done = 0; done < length; ) {
      this.seek(at + done);
      const inside = at + done - this.start;
      const count = Math.min(length - done, this.lengths[this.current]! - inside);
      const to = this.offsets[this.current]! + inside;
      this.views[this.current]!.fill(value, to, to + count);
      done += count;
    }
  }

  /** True if both hold the same bytes. */
  equals(other: Pieces): boolean {
    if (this.length !== other.length) return false;
    for (let at = 0; at < this.length; ) {
      this.seek(at);
      other.seek(at);
      const mine = at - this.start;
      const others = at - other.start;
      const count = Math.min(this.lengths[this.current]! - mine, other.lengths[other.current]! - others);
      const a = this.offsets[this.current]! + mine;
      const b = other.offsets[other.current]! + others;
      for (let i = 0; i < count; i++)
        if (this.views[this.current]![a + i] !== other.views[other.current]![b + i]) return false;
      at += count;
    }
    return true;
  }

  /** Copies a range of `from` to `at`. */
  copy(at: number, from: Pieces, from_at: number, length: number): void {
    for (let done = 0; done < length; ) {
      this.seek(at + done);
      from.seek(from_at + done);
      const inside = at + done - this.start;
      const from_inside = from_at + done - from.start;
      const count = Math.min(
        length - done,
        this.lengths[this.current]! - inside,
        from.lengths[from.current]! - from_inside,
      );
      const source = from.offsets[from.current]! + from_inside;
      this.views[this.current]!.set(
        from.views[from.current]!.subarray(source, source + count),
        this.offsets[this.current]! + inside,
      );
      done += count;
    }
  }
}
