import type { Logger } from '@spdk-ts/log';
import {
  type AuthParams,
  authenticateQueue,
  type CommandFaults,
  type IoQueueParams,
  NvmeError,
  NvmePollGroup,
  type NvmeQpair,
  openIoQueue,
  QpairState,
} from '@spdk-ts/nvme';
import type { Reactor } from '@spdk-ts/reactor';
import type { ControllerMessage } from './context.ts';

const GONE = new NvmeError('ECLOSED', 'the controller has been connected again');
/** How often {@link ReactorPath.drain} looks. */
const DRAIN_POLL_MS = 1;

/** A channel that may use a path: told when the queue comes, goes, or will not come any more. */
export interface PathUser {
  pathChanged(): void;
}

/**
 * A reactor's way to one controller: an I/O queue that all channels of its namespaces share here. It is opened when the first of them
 * comes, and again whenever the controller is connected again.
 */
export class ReactorPath {
  readonly controller: number;
  /** The queue while it can be used, or null. */
  qpair: NvmeQpair | null = null;
  /** Without a queue: there may be one again. */
  hope = true;
  /** See {@link ControllerMessage.retry_delays_ms}. */
  retry_delays_ms: readonly number[] = [0];
  private readonly reactor: Reactor;
  private readonly log: Logger;
  private readonly users = new Set<PathUser>();
  /** What the control thread says. */
  private told: ControllerMessage;
  /** Epoch whose queue was opened, or could not be. */
  private tried = -1;
  /** The queue, usable or not, and the number that it was granted. */
  private queue: NvmeQpair | null = null;
  private params: IoQueueParams | null = null;
  private opening = false;
  private injected: CommandFaults | null = null;
  /** This reactor is granted no queue in this epoch. */
  private refused = false;

  constructor(reactor: Reactor, told: ControllerMessage, log: Logger) {
    this.reactor = reactor;
    this.controller = told.controller;
    this.told = told;
    this.log = log;
    this.take(told);
  }

  /** The queue's connection is there, whether it is to be used or not. */
  get connected(): boolean {
    return this.queue?.state === QpairState.OPEN;
  }

  /** Errors that its commands end with on purpose, or null. */
  get faults(): CommandFaults | null {
    return this.injected;
  }
  set faults(faults: CommandFaults | null) {
    this.injected = faults;
    if (this.queue !== null) this.queue.faults = faults;
  }

  use(user: PathUser): void {
    this.users.add(user);
    void this.open();
  }

  /** The last user's leaving closes the queue. */
  leave(user: PathUser): void {
    if (this.users.delete(user) && this.users.size === 0) this.close();
  }

  /** The control thread tells how the controller is. */
  take(told: ControllerMessage): void {
    if (told.epoch !== this.told.epoch) this.refused = false;
    if (told.incarnation !== this.told.incarnation) this.params = null;
    this.told = told;
    this.retry_delays_ms = told.retry_delays_ms;
    if (!told.up) this.queue?.close();
    this.update();
    void this.open();
  }

  /** Says what can be used now, if that is something else than before. */
  private update(): void {
    const { told, queue } = this;
    const hope = told.hope && !this.refused;
    const qpair = told.up && !told.held && queue?.state === QpairState.OPEN ? queue : null;
    if (qpair === this.qpair && hope === this.hope) return;
    this.qpair = qpair;
    this.hope = hope;
    for (const user of [...this.users]) user.pathChanged();
  }

  /** Opens a queue for the present connection of the controller, once; a failure means that the controller is lost, too. */
  private async open(): Promise<void> {
    if (this.opening) return;
    this.opening = true;
    while (this.told.up && this.users.size > 0 && this.tried !== this.told.epoch) {
      this.tried = this.told.epoch;
      const { epoch } = this.told;
      try {
        await this.openQueue();
      } catch (error) {
        this.openFailed(error as Error, epoch);
      }
    }
    this.opening = false;
    if (this.users.size === 0) this.close();
  }

  private async openQueue(): Promise<void> {
    const { controller, queue } = this;
    if (queue !== null) await queue.closeAndWait(queue.error ?? GONE);
    this.queue = null;
    const again = this.params?.qid ?? 0;
    this.params = (await this.reactor.control.call('bdev_nvme', 'queue', {
      controller,
      again,
    })) as IoQueueParams;
    const qpair = await openIoQueue(NvmePollGroup.of(this.reactor), this.params);
    this.queue = qpair;
    qpair.faults = this.injected;
    qpair.onClosed = (error) => this.queueClosed(qpair, error.message);
    qpair.onTimeout = (request) => {
      const which = { controller, qid: qpair.qid, cid: request.cid, again: request.aborting };
      request.aborting = true;
      this.reactor.control.notify('bdev_nvme', 'timedOut', which);
    };
    this.update();
  }

  private openFailed(error: Error, epoch: number): void {
    if (this.users.size === 0) return;
    this.log.warn(`reactor ${this.reactor.index}: no I/O queue: ${error.message}`);
    // Whatever the network does, there is no more to be had.
    if ((error as NvmeError).code === 'EUNSUPPORTED') {
      this.refused = true;
      this.update();
    } else if (epoch === this.told.epoch) this.tellLost(error.message);
  }

  private queueClosed(queue: NvmeQpair, message: string): void {
    if (queue !== this.queue) return;
    this.update();
    if (this.told.up) this.tellLost(message);
  }

  private tellLost(message: string): void {
    const { controller } = this;
    const { epoch } = this.told;
    this.reactor.control.notify('bdev_nvme', 'queueLost', { controller, epoch, message });
  }

  /** Resolves when nothing is outstanding any more, true, or after so long. */
  async drain(timeout_ms: number): Promise<boolean> {
    const group = NvmePollGroup.of(this.reactor);
    const deadline = group.deadline(timeout_ms);
    while ((this.queue?.outstanding ?? 0) > 0) {
      if (group.reactor.clock.now() > deadline) return false;
      await group.sleep(DRAIN_POLL_MS);
    }
    return true;
  }

  /**
   * The controller has other keys: the queue proves itself with them. If it is not believed its connection ends, and the controller is
   * connected anew.
   */
  async authenticate(params: AuthParams): Promise<void> {
    const { queue } = this;
    if (queue?.state !== QpairState.OPEN) return;
    await authenticateQueue(queue, params).catch((error: NvmeError) => queue.fail(error));
  }

  private close(): void {
    if (this.opening) return; // and so it is closed when that ends
    const { queue, params, controller } = this;
    this.queue = null;
    this.params = null;
    this.qpair = null;
    this.tried = -1;
    if (queue !== null) {
      queue.onClosed = null;
      queue.close();
    }
    if (params !== null) this.reactor.control.notify('bdev_nvme', 'queueReleased', { controller, params });
  }
}
