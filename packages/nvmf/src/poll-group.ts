import type { Reactor, Thread } from '@spdk-ts/reactor';
import type { NvmfQpair } from './qpair.ts';
import type { NvmfRequest } from './request.ts';

// CONTRACT ONLY until the group is written: names and meaning hold.
export declare class NvmfPollGroup {
  readonly reactor: Reactor;
  readonly thread: Thread;
  /** For transports: a new queue pair is served by this group from now on. */
  addQpair(qpair: NvmfQpair): void;
  /** For transports: its connection is gone and no request of it executes any more. */
  removeQpair(qpair: NvmfQpair): void;
  /**
   * For transports: a command has arrived, with its data where it brings some (data to the host needs no memory
   * yet). Answered by {@link NvmfQpair.sendCompletion}, never inside this call... except for commands that
   * fail or complete at once: the transport must bear both.
   */
  execute(request: NvmfRequest): void;
  /** For transports: what a command transfers and how, before its data is fetched: sets transfer only. */
  classify(request: NvmfRequest): void;
  /**
   * Gives a request memory of `length` bytes from the reactor's buffers: false if there is none now, and then
   * `retry` is called later, in order.
   */
  allocate(request: NvmfRequest, length: number, retry: (request: NvmfRequest) => void): boolean;
  /** Frees what the request holds (buffer, bdev I/O). */
  releaseRequest(request: NvmfRequest): void;
}
