import { scatter } from './memory-queue.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/**
 * Completes a command with data: whole, at its place or, if it has none yet, in a buffer. What the command asks for
 * beyond `data` is zero. For commands that are not I/O.
 */
export function respond(group: NvmfPollGroup, request: NvmfRequest, data: Uint8Array): void {
  if (request.length < data.length) {
    group.complete(request, Status.SGL_LENGTH_INVALID);
    return;
  }
  const finish = (ready: NvmfRequest): void => {
    scatter(group.reactor.regions, ready, data);
    group.complete(ready, Status.SUCCESS);
  };
  if (request.region >= 0 || request.iovs !== null) finish(request);
  else if (request.length > group.reactor.buffers.max_bytes || request.length > request.qpair.maxIoSize)
    group.complete(request, Status.INVALID_FIELD);
  else if (group.allocate(request, request.length, finish)) finish(request);
}
