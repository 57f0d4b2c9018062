import type { NvmfRequest } from './request.ts';

/** A table of requests by small numbers, for what can carry a number but no reference. */
export class IoSlots {
  private readonly requests: (NvmfRequest | null)[] = [];
  private readonly free: number[] = [];

  take(request: NvmfRequest): number {
    const { free, requests } = this;
    const slot = free.length > 0 ? free.pop()! : requests.length;
    requests[slot] = request;
    return slot;
  }

  /** The request of a slot, which is free afterwards. */
  give(slot: number): NvmfRequest {
    const request = this.requests[slot]!;
    this.requests[slot] = null;
    this.free.push(slot);
    return request;
  }

  get used(): number {
    return this.requests.length - this.free.length;
  }
}
