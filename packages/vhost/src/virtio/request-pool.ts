import { BlkRequest } from './blk-request.ts';

/** Requests, made as they are first needed: the one that was used last is the next to be used. */
export class RequestPool {
  private readonly all: BlkRequest[] = [];
  private free: BlkRequest | null = null;

  take(): BlkRequest {
    const request = this.free;
    if (request === null) {
      const made = new BlkRequest(this.all.length);
      this.all.push(made);
      return made;
    }
    this.free = request.next;
    request.next = null;
    return request;
  }

  give(request: BlkRequest): void {
    request.queue = null;
    request.next = this.free;
    this.free = request;
  }

  at(index: number): BlkRequest {
    return this.all[index]!;
  }
}
