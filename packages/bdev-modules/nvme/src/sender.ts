import { hostStatus, NvmePollGroup, type NvmeRequest, RequestState, SubmitError } from '@spdk-ts/nvme';
import {
  genericStatus,
  pathStatus,
  status,
  statusCode,
  statusCrd,
  statusIsDnr,
  statusSc,
  statusSct,
  statusType,
} from '@spdk-ts/nvme-spec';
import type { Reactor } from '@spdk-ts/reactor';
import { ChannelPathChoice, type IoPath, type PathsOwner } from './channel-paths.ts';
import type { NvmeContext } from './context.ts';

const SQ_DELETED = status(statusType.generic, genericStatus.abortedSqDeletion);
const TOO_LONG = status(statusType.generic, genericStatus.invalidField, true);
const ABORTED = status(statusType.generic, genericStatus.abortRequested, true);

const isAnaError = (ended: number): boolean => {
  const code = statusSc(ended);
  return (
    statusSct(ended) === statusType.path &&
    code >= pathStatus.anaPersistentLoss &&
    code <= pathStatus.anaTransition
  );
};

/**
 * Gives a channel's requests to paths: again, if they end with an error that may pass. A request that finds no path waits for one, as
 * long as one may come.
 */
export class RequestSender implements PathsOwner {
  readonly choice: ChannelPathChoice;
  /** Of each request, by its ownerIndex: the path that it was last given to, and how often it has been tried again. */
  readonly taken: (IoPath | null)[] = [];
  private readonly tries: number[] = [];
  /** Those that found no path, oldest first. */
  private waiting: NvmeRequest[] = [];
  /** The same of those that go in pairs: one behind the other. */
  private pairs: NvmeRequest[] = [];
  private readonly reactor: Reactor;
  private readonly retries_max: number;

  constructor(reactor: Reactor, { bdev_retry_count, io_path_stat }: NvmeContext) {
    this.reactor = reactor;
    this.choice = new ChannelPathChoice(this, io_path_stat);
    this.retries_max = bdev_retry_count < 0 ? Number.POSITIVE_INFINITY : bdev_retry_count;
  }

  /** There is one more request. */
  grow(): void {
    this.taken.push(null);
    this.tries.push(0);
  }

  /** Sends a request for the first time. Its owner is told of its end in a later iteration. */
  begin(request: NvmeRequest): void {
    this.tries[request.ownerIndex] = 0;
    const { choice } = this;
    const path = choice.rotates ? choice.choose() : choice.current;
    if (path !== null && path.queue.qpair!.submit(request) === 0) this.taken[request.ownerIndex] = path;
    else this.send(request, null);
  }

  /** Gives it to any path, other than `avoid` if there is another; or lets it wait, or fails it. */
  private send(request: NvmeRequest, avoid: IoPath | null): void {
    const { choice } = this;
    const path = choice.submitToAny(request, avoid);
    this.taken[request.ownerIndex] = path;
    if (path !== null) return;
    if (choice.refusal === SubmitError.TOO_LONG) this.end(request, TOO_LONG);
    else if (choice.mayCome) this.waiting.push(request);
    else this.end(request, hostStatus.NO_PATH);
  }

  /**
   * Sends two requests in a row over one path: nothing comes between them. They have no places in {@link taken}, and are not tried again.
   */
  beginPair(first: NvmeRequest, second: NvmeRequest): void {
    const { choice } = this;
    const path = choice.rotates ? choice.choose() : choice.current;
    if (path !== null && path.queue.qpair!.submit(first) === 0) path.queue.qpair!.submit(second);
    else if (choice.mayCome) this.pairs.push(first, second);
    else this.endPairs([first, second], hostStatus.NO_PATH);
  }

  /** Takes a request back that waits, or asks its controller to abort it: it ends in a later iteration. */
  abort(request: NvmeRequest): void {
    const at = this.waiting.indexOf(request);
    if (at >= 0) {
      this.waiting.splice(at, 1);
      this.end(request, ABORTED);
      return;
    }
    const queue = this.taken[request.ownerIndex]?.queue;
    if (queue === undefined || request.state !== RequestState.OUTSTANDING || request.aborting) return;
    request.aborting = true;
    const which = { controller: queue.controller, qid: queue.qpair!.qid, cid: request.cid };
    this.reactor.control.notify('bdev_nvme', 'abort', which);
  }

  /** Ends a request that no controller has, never from within a submit. */
  private end(request: NvmeRequest, ended: number): void {
    this.taken[request.ownerIndex] = null;
    this.tell(request, ended);
  }

  private endPairs(requests: readonly NvmeRequest[], ended: number): void {
    for (const request of requests) this.tell(request, ended);
  }

  private tell(request: NvmeRequest, ended: number): void {
    request.status = ended;
    NvmePollGroup.of(this.reactor).thread.send(() => request.owner.nvmeDone(request));
  }

  pathsChanged(): void {
    const { waiting, pairs, choice } = this;
    if (waiting.length + pairs.length === 0) return;
    if (choice.current !== null) {
      this.waiting = [];
      this.pairs = [];
      for (const request of waiting) this.send(request, null);
      for (let i = 0; i < pairs.length; i += 2) this.beginPair(pairs[i]!, pairs[i + 1]!);
    } else if (!choice.mayCome) this.endWaiting(hostStatus.NO_PATH);
  }

  /** Ends what waits for a path: the reset that should have brought one has failed. */
  abortWaiting(): void {
    this.endWaiting(ABORTED);
  }

  private endWaiting(ended: number): void {
    const { waiting, pairs } = this;
    this.waiting = [];
    this.pairs = [];
    for (const request of waiting) this.end(request, ended);
    this.endPairs(pairs, ended);
  }

  /** A request has ended with an error. True if it is tried again: then it has not ended. */
  triesAgain(request: NvmeRequest): boolean {
    const index = request.ownerIndex;
    const { status: ended } = request;
    const path = this.taken[index]!;
    const of_path = statusSct(ended) === statusType.path || statusCode(ended) === SQ_DELETED;
    if (path !== null && isAnaError(ended)) this.tellAnaError(path);
    if (statusIsDnr(ended) || statusSct(ended) === statusType.media) return false;
    if (this.tries[index]! >= this.retries_max) return false;
    // What was never sent was not tried.
    if (ended !== hostStatus.NO_PATH) this.tries[index]!++;
    if (of_path) {
      if (!this.choice.mayCome) return false;
      this.send(request, path);
      return true;
    }
    const delay_ms = path?.queue.retry_delays_ms[statusCrd(ended)] ?? 0;
    if (delay_ms === 0) this.send(request, null);
    else
      void NvmePollGroup.of(this.reactor)
        .sleep(delay_ms)
        .then(() => this.send(request, null));
    return true;
  }

  private tellAnaError(path: IoPath): void {
    const { controller } = path.queue;
    if (!path.outdated) this.reactor.control.notify('bdev_nvme', 'anaError', { controller });
    this.choice.outdate(path);
  }
}
