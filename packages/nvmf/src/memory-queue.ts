import type { BufferPool, BufferWaiter, RegionTable } from '@spdk-ts/env';
import type { NvmfRequest } from './request.ts';

type Retry = (request: NvmfRequest) => void;

/** Requests that wait for buffers of one size class, oldest first. */
class Line {
  readonly requests: NvmfRequest[] = [];
  readonly lengths: number[] = [];
  readonly retries: Retry[] = [];

  removeAt(index: number): void {
    this.requests.splice(index, 1);
    this.lengths.splice(index, 1);
    this.retries.splice(index, 1);
  }
}

/**
 * Lends the reactor's buffers to requests, and keeps those that found none in line: a line for each size class, so
 * that who needs a large buffer does not keep small ones from others (who may hold up the data that would free a
 * large one). A buffer that comes free is given to the first in line at once, which is told in the group's next
 * iteration: nobody is called back from within another request's release.
 */
export class MemoryQueue implements BufferWaiter {
  private readonly buffers: BufferPool;
  private readonly small = new Line();
  private readonly large = new Line();
  private granted: NvmfRequest[] = [];
  private grantedRetries: Retry[] = [];
  private asked = false;

  constructor(buffers: BufferPool) {
    this.buffers = buffers;
  }

  get length(): number {
    return this.waiting + this.granted.length;
  }
  private get waiting(): number {
    return this.small.requests.length + this.large.requests.length;
  }

  /** Memory of `length` bytes for a request; false: it stands in line and `retry` is called once it has some. */
  allocate(request: NvmfRequest, length: number, retry: Retry): boolean {
    if (length > this.buffers.max_bytes)
      throw new RangeError(`${length} bytes do not fit in a buffer of ${this.buffers.max_bytes}`);
    const line = length <= this.buffers.options.small_bytes ? this.small : this.large;
    if (line.requests.length === 0 && this.take(request, length)) return true;
    line.requests.push(request);
    line.lengths.push(length);
    line.retries.push(retry);
    this.ask();
    return false;
  }

  private take(request: NvmfRequest, length: number): boolean {
    const offset = this.buffers.get(length);
    if (offset < 0) return false;
    request.ownBuffer = offset;
    request.region = this.buffers.region;
    request.offset = offset;
    return true;
  }

  private ask(): void {
    if (this.asked) return;
    this.asked = true;
    this.buffers.wait(this);
  }

  bufferAvailable(): void {
    this.asked = false;
    this.grant(this.small);
    this.grant(this.large);
    if (this.waiting > 0) this.ask();
  }

  private grant(line: Line): void {
    while (line.requests.length > 0 && this.take(line.requests[0]!, line.lengths[0]!)) {
      this.granted.push(line.requests[0]!);
      this.grantedRetries.push(line.retries[0]!);
      line.removeAt(0);
    }
  }

  /** Gives a request's buffer back and takes it out of the line. */
  release(request: NvmfRequest): void {
    if (this.length > 0) this.forget(request);
    if (request.ownBuffer < 0) return;
    const offset = request.ownBuffer;
    request.ownBuffer = -1;
    this.buffers.put(offset);
  }

  private forget(request: NvmfRequest): void {
    const granted = this.granted.indexOf(request);
    if (granted >= 0) {
      this.granted.splice(granted, 1);
      this.grantedRetries.splice(granted, 1);
    }
    this.leave(this.small, request);
    this.leave(this.large, request);
    if (this.waiting > 0 || !this.asked) return;
    this.asked = false;
    this.buffers.cancelWait(this);
  }

  private leave(line: Line, request: NvmfRequest): void {
    const at = line.requests.indexOf(request);
    if (at >= 0) line.removeAt(at);
  }

  /** Tells the requests that have got memory since the last call. */
  poll(): number {
    const count = this.granted.length;
    if (count === 0) return 0;
    while (this.granted.length > 0) {
      const request = this.granted.shift()!;
      this.grantedRetries.shift()!(request);
    }
    return count;
  }
}

/** The bytes of `length` at a request's place, over all its pieces, as a copy. For admin commands. */
export function gather(regions: RegionTable, request: NvmfRequest, length: number): Uint8Array {
  const out = new Uint8Array(Math.min(length, request.length));
  const { iovs } = request;
  if (iovs === null) {
    const bytes = regions.bytes(request.region);
    out.set(bytes.subarray(request.offset, request.offset + out.length));
    return out;
  }
  for (let i = 0, at = 0; i < iovs.count && at < out.length; i++) {
    const size = Math.min(iovs.length[i]!, out.length - at);
    out.set(regions.bytes(iovs.region[i]!).subarray(iovs.offset[i]!, iovs.offset[i]! + size), at);
    at += size;
  }
  return out;
}

/** Writes bytes to a request's place, over all its pieces; what lies beyond them is zeroed. For admin commands. */
export function scatter(regions: RegionTable, request: NvmfRequest, data: Uint8Array): void {
  const { iovs, length } = request;
  const count = iovs === null ? 1 : iovs.count;
  for (let i = 0, at = 0; i < count && at < length; i++) {
    const bytes = regions.bytes(iovs === null ? request.region : iovs.region[i]!);
    const start = iovs === null ? request.offset : iovs.offset[i]!;
    const size = Math.min(iovs === null ? length : iovs.length[i]!, length - at);
    const given = Math.max(0, Math.min(size, data.length - at));
    if (given > 0) bytes.set(data.subarray(at, at + given), start);
    if (given < size) bytes.fill(0, start + given, start + size);
    at += size;
  }
}

/** Zeroes a request's place, over all its pieces, from byte `from` of its data on. */
export function clearFrom(regions: RegionTable, request: NvmfRequest, from: number): void {
  const { iovs, length } = request;
  if (iovs === null) {
    if (request.region >= 0 && from < length)
      regions.bytes(request.region).fill(0, request.offset + from, request.offset + length);
    return;
  }
  for (let i = 0, at = 0; i < iovs.count; i++) {
    const start = iovs.offset[i]! + Math.max(0, from - at);
    const end = iovs.offset[i]! + iovs.length[i]!;
    if (start < end) regions.bytes(iovs.region[i]!).fill(0, start, end);
    at += iovs.length[i]!;
  }
}
