/**
 * A reactor's I/O buffers: two size classes in one region, as SPDK's iobuf has them. A buffer is its byte offset
 * in the region. Stacks keep recently used buffers, and so their cache lines, in use; memory that was never
 * handed out is never touched, so the kernel never commits it.
 */
export interface BufferPoolOptions {
  readonly small_count: number;
  readonly small_bytes: number;
  readonly large_count: number;
  readonly large_bytes: number;
}

/** SPDK's defaults for one reactor's share. */
export const defaultBufferPool: BufferPoolOptions = {
  small_count: 8192,
  small_bytes: 8 * 1024,
  large_count: 1024,
  large_bytes: 132 * 1024,
};

const ALIGNMENT = 4096;

/** Anything that was refused a buffer and wants to be told when one is free. */
export interface BufferWaiter {
  bufferAvailable(): void;
}

export class BufferPool {
  /** The region's id. */
  readonly region: number;
  /** The region's bytes. */
  bytes: Uint8Array;
  options: BufferPoolOptions;
  private small = new Int32Array(0);
  private large = new Int32Array(0);
  private smallTop = 0;
  private largeTop = 0;
  private largeStart = 0;
  private readonly waiters: BufferWaiter[] = [];
  smallGets = 0;
  largeGets = 0;
  smallRetries = 0;
  largeRetries = 0;

  /** Bytes of memory that a pool with these options takes. */
  static size(options: BufferPoolOptions): number {
    return ALIGNMENT + options.small_count * options.small_bytes + options.large_count * options.large_bytes;
  }

  constructor(region: number, bytes: Uint8Array, options: BufferPoolOptions) {
    this.region = region;
    this.bytes = bytes;
    this.options = options;
    this.reconfigure(bytes, options);
  }

  /** Takes other memory and sizes. Throws RangeError for wrong ones, and if a buffer is in use. */
  reconfigure(bytes: Uint8Array, options: BufferPoolOptions): void {
    for (const [name, value] of Object.entries(options))
      if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name} must be a positive integer`);
    if (options.small_bytes % ALIGNMENT !== 0 || options.large_bytes % ALIGNMENT !== 0)
      throw new RangeError(`buffer sizes must be multiples of ${ALIGNMENT} bytes`);
    if (BufferPool.size(options) > bytes.length) throw new RangeError('the region is too small for the pool');
    if (this.smallTop !== this.small.length || this.largeTop !== this.large.length)
      throw new RangeError('buffers are in use: the pool cannot change');
    this.bytes = bytes;
    this.options = options;
    this.largeStart = options.small_count * options.small_bytes;
    this.small = new Int32Array(options.small_count);
    this.large = new Int32Array(options.large_count);
    // The stacks' tops are the lowest buffers.
    for (let i = 0; i < options.small_count; i++) this.small[options.small_count - 1 - i] = i;
    for (let i = 0; i < options.large_count; i++) this.large[options.large_count - 1 - i] = i;
    this.smallTop = options.small_count;
    this.largeTop = options.large_count;
  }

  /** Buffers that are lent. */
  get used(): number {
    return this.small.length - this.smallTop + this.large.length - this.largeTop;
  }

  /** A buffer of at least `length` bytes: its offset in the region, or -1 if there is none now. */
  get(length: number): number {
    const options = this.options;
    if (length <= options.small_bytes) {
      if (this.smallTop > 0) {
        this.smallGets++;
        return this.small[--this.smallTop]! * options.small_bytes;
      }
      this.smallRetries++;
    } else if (length <= options.large_bytes) {
      if (this.largeTop > 0) {
        this.largeGets++;
        return this.largeStart + this.large[--this.largeTop]! * options.large_bytes;
      }
      this.largeRetries++;
    }
    return -1;
  }

  /** Gives a buffer back. Those who wait are told at once, first come first served, until it is taken. */
  put(offset: number): void {
    const options = this.options;
    if (offset < this.largeStart) {
      if (this.smallTop === options.small_count) throw new RangeError(`buffer ${offset} was freed twice`);
      this.small[this.smallTop++] = offset / options.small_bytes;
    } else {
      if (this.largeTop === options.large_count) throw new RangeError(`buffer ${offset} was freed twice`);
      this.large[this.largeTop++] = (offset - this.largeStart) / options.large_bytes;
    }
    if (this.waiters.length > 0) this.tellWaiters(offset < this.largeStart);
  }

  /** Tells those who wait until somebody has taken what came free: some may need the other size. */
  private tellWaiters(small: boolean): void {
    for (let left = this.waiters.length; left > 0; left--) {
      if ((small ? this.smallTop : this.largeTop) === 0) return;
      this.waiters.shift()!.bufferAvailable();
    }
  }

  /** Asks to be told, once, when a buffer is given back. */
  wait(waiter: BufferWaiter): void {
    this.waiters.push(waiter);
  }
  cancelWait(waiter: BufferWaiter): void {
    const index = this.waiters.indexOf(waiter);
    if (index >= 0) this.waiters.splice(index, 1);
  }

  /** Length of the largest buffer, bytes. */
  get max_bytes(): number {
    return this.options.large_bytes;
  }
  get smallFree(): number {
    return this.smallTop;
  }
  get largeFree(): number {
    return this.largeTop;
  }
}
