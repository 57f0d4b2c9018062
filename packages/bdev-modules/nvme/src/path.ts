import { TICKS_PER_MS } from '@spdk-ts/env';
import type { Logger } from '@spdk-ts/log';
import {
  type AuthParams,
  authenticateQueue,
  hostStatus,
  type IoQueueParams,
  type NvmeError,
  NvmePollGroup,
  type NvmeQpair,
  type NvmeRequest,
  openIoQueue,
  reopenIoQueue,
  type TcpQpair,
} from '@spdk-ts/nvme';
import type { Poller, Reactor } from '@spdk-ts/reactor';
import type { NvmeContext } from './context.ts';

type PathState = 'opening' | 'open' | 'lost' | 'failed';

/**
 * A reactor's way to one controller: an I/O queue that all channels of its namespaces share here. While it is being opened, or the
 * controller is lost and looked for, requests wait.
 */
export class ReactorPath {
  readonly controller: number;
  private readonly reactor: Reactor;
  private readonly log: Logger;
  private readonly fast_io_fail_ms: number;
  private users = 0;
  private state: PathState = 'opening';
  private params: IoQueueParams | null = null;
  private qpair: NvmeQpair | null = null;
  /** Requests that wait, oldest first. */
  private waiting: NvmeRequest[] = [];
  private failTimer: Poller | null = null;
  /** The controller has been lost for so long that I/O is to fail. */
  private failing = false;
  private ended = false;

  constructor(reactor: Reactor, context: NvmeContext, log: Logger) {
    this.reactor = reactor;
    this.controller = context.controller;
    this.fast_io_fail_ms = context.fast_io_fail_ms;
    this.log = log;
    void this.open();
  }

  get(): void {
    this.users++;
  }
  /** True if nobody uses it any more: it closes. */
  put(): boolean {
    if (--this.users > 0) return false;
    this.close();
    return true;
  }

  private get group(): NvmePollGroup {
    return NvmePollGroup.of(this.reactor);
  }

  private async open(): Promise<void> {
    const { controller } = this;
    try {
      this.params = (await this.reactor.control.call('bdev_nvme', 'queue', { controller })) as IoQueueParams;
      const qpair = await openIoQueue(this.group, this.params);
      if (this.ended) {
        qpair.close();
        return;
      }
      this.qpair = qpair;
      qpair.onClosed = (error) => this.queueClosed(error.message);
      qpair.onTimeout = (request) => {
        const which = { controller, qid: qpair.qid, cid: request.cid, again: request.aborting };
        request.aborting = true;
        this.reactor.control.notify('bdev_nvme', 'timedOut', which);
      };
      this.opened();
    } catch (error) {
      if (this.ended) return;
      this.log.warn(`reactor ${this.reactor.index}: no I/O queue: ${(error as Error).message}`);
      if (this.state === 'opening') this.queueClosed((error as Error).message);
    }
  }

  /**
   * The controller has other keys: the queue proves itself with them, now and when it is opened again. If it is not believed its
   * connection ends, and the controller is connected anew.
   */
  async authenticate(params: AuthParams): Promise<void> {
    if (this.params !== null)
      this.params = { ...this.params, connect: { ...this.params.connect, ...params } };
    const { qpair } = this;
    if (this.state !== 'open' || qpair === null) return;
    await authenticateQueue(qpair, params).catch((error: NvmeError) => qpair.fail(error));
  }

  private opened(): void {
    this.state = 'open';
    this.failing = false;
    this.stopTimer();
    const waiting = this.waiting;
    this.waiting = [];
    for (const request of waiting) this.submit(request);
  }

  /** Sends a request, now or when there is a connection again; one that can have none ends in a later iteration. */
  submit(request: NvmeRequest): void {
    if (this.state === 'open' && this.qpair!.submit(request) === 0) return;
    if (this.state === 'failed' || this.failing) this.fail(request);
    else this.waiting.push(request);
  }

  private fail(request: NvmeRequest): void {
    request.status = hostStatus.NO_PATH;
    // Never from within a submit.
    this.group.thread.send(() => request.owner.nvmeDone(request));
  }

  /** True if a request that was aborted with the connection may find another one. */
  get mayComeBack(): boolean {
    return this.state !== 'failed' && !this.failing;
  }

  private queueClosed(message: string): void {
    if (this.state === 'failed' || this.ended) return;
    const was_open = this.state === 'open' || this.state === 'opening';
    this.state = 'lost';
    this.startTimer();
    const { controller } = this;
    if (was_open) this.reactor.control.notify('bdev_nvme', 'queueLost', { controller, message });
  }

  /** The controller has been lost: its queues with it. */
  lost(): void {
    if (this.state === 'failed') return;
    this.state = 'lost';
    this.startTimer();
    this.qpair?.close();
  }

  /** It is connected again, perhaps with another CNTLID. */
  async connected(cntlid: number): Promise<void> {
    const { qpair, params } = this;
    if (this.ended || this.state === 'failed') return;
    if (qpair === null || params === null) {
      this.state = 'opening';
      await this.open();
      return;
    }
    try {
      await (qpair as TcpQpair).closeAndWait(qpair.error!);
      await reopenIoQueue(qpair as TcpQpair, { ...params, connect: { ...params.connect, cntlid } });
      this.opened();
    } catch (error) {
      this.log.warn(`reactor ${this.reactor.index}: ${(error as Error).message}`);
      this.state = 'open';
      this.queueClosed((error as Error).message);
    }
  }

  /** It has been given up. */
  failed(): void {
    this.state = 'failed';
    this.stopTimer();
    this.failWaiting();
    this.qpair?.close();
  }

  private failWaiting(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const request of waiting) this.fail(request);
  }

  private startTimer(): void {
    if (this.fast_io_fail_ms < 0 || this.failTimer !== null || this.failing) return;
    const until = this.reactor.now + this.fast_io_fail_ms * TICKS_PER_MS;
    this.failTimer = this.group.thread.registerPoller(
      'bdev_nvme_fast_io_fail',
      () => {
        if (this.reactor.now < until) return 0;
        this.stopTimer();
        this.failing = true;
        this.failWaiting();
        return 1;
      },
      Math.max(1000, this.fast_io_fail_ms * 100),
    );
  }

  private stopTimer(): void {
    this.failTimer?.unregister();
    this.failTimer = null;
  }

  private close(): void {
    this.ended = true;
    this.stopTimer();
    if (this.qpair !== null) this.qpair.onClosed = null;
    this.qpair?.close();
    const { controller, params } = this;
    if (params !== null) this.reactor.control.notify('bdev_nvme', 'queueReleased', { controller, params });
  }
}
