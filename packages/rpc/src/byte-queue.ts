/** Bytes that came in and are not used up: one growing buffer, so that a value can be looked at in one piece. */
export class ByteQueue {
  bytes: Uint8Array = new Uint8Array(4096);
  start = 0;
  end = 0;

  get length(): number {
    return this.end - this.start;
  }

  push(chunk: Uint8Array): void {
    if (this.end + chunk.length > this.bytes.length) this.#makeRoom(chunk.length);
    this.bytes.set(chunk, this.end);
    this.end += chunk.length;
  }

  /** Forgets the first `count` bytes. */
  consume(count: number): void {
    this.start += count;
    if (this.start === this.end) {
      this.start = 0;
      this.end = 0;
    }
  }

  #makeRoom(count: number): void {
    const used = this.length;
    let size = this.bytes.length;
    while (size < used + count) size *= 2;
    const to = size === this.bytes.length ? this.bytes : new Uint8Array(size);
    to.set(this.bytes.subarray(this.start, this.end));
    this.bytes = to;
    this.start = 0;
    this.end = used;
  }
}
