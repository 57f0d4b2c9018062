import type { NvmfQpair } from './qpair.ts';
import { NvmfRequest } from './request.ts';
import { RequestState } from './request-state.ts';

const SQE_BYTES = 64;
/** Requests that are made at once: most connections never need many. */
const CHUNK = 16;

/** A connection's requests: made as its host uses them, up to the queue's depth, and then used again and again. */
export class RequestPool {
  readonly all: NvmfRequest[] = [];
  /** Requests in use. */
  used = 0;
  /** Answers on their way; of these, those whose request is not in use any more. */
  sending = 0;
  leaving = 0;
  private readonly qpair: NvmfQpair;
  private free: NvmfRequest | null = null;

  constructor(qpair: NvmfQpair) {
    this.qpair = qpair;
  }

  /** Commands that take a place in the queue: until their answers have left. */
  get queued(): number {
    return this.used + this.leaving;
  }

  /** A free request, or null if the queue has `limit` commands. */
  get(limit: number): NvmfRequest | null {
    if (this.queued >= limit) return null;
    if (this.free === null) this.grow();
    const request = this.free!;
    this.free = request.next;
    request.next = null;
    this.used++;
    return request;
  }

  /** Gives a request back. Who holds memory for it has freed that. */
  put(request: NvmfRequest): void {
    request.state = RequestState.FREE;
    request.next = this.free;
    this.free = request;
    this.used--;
  }

  private grow(): void {
    const memory = new ArrayBuffer(CHUNK * SQE_BYTES);
    for (let i = CHUNK - 1; i >= 0; i--) {
      const request = new NvmfRequest(
        this.qpair,
        this.all.length + i,
        new Uint8Array(memory, i * SQE_BYTES, SQE_BYTES),
      );
      request.next = this.free;
      this.free = request;
    }
    for (let request = this.free; request !== null; request = request.next) this.all.push(request);
  }

  /** The request with this CID that the host waits for, or null. */
  find(cid: number): NvmfRequest | null {
    const all = this.all;
    for (let i = 0; i < all.length; i++) {
      const request = all[i]!;
      if (
        request.cid === cid &&
        request.state !== RequestState.FREE &&
        request.state !== RequestState.SENDING
      )
        return request;
    }
    return null;
  }
}
