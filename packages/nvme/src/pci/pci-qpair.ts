import type { Sleeper } from '@spdk-ts/reactor';
import { describeStatus, NvmeError } from '../errors.ts';
import { QpairState } from '../qpair.ts';
import { CommandData } from './command-data.ts';
import { DoorbellKind } from './doorbell.ts';
import { PciRings } from './pci-rings.ts';
import { QueueEvent } from './queue-event.ts';
import { QueueMemory } from './queue-memory.ts';
import { ReactorLink } from './reactor-link.ts';
import { LinkState, QueueState, SharedState } from './shared-state.ts';

/** What a queue pair of a PCI controller is opened with, on any reactor: cloneable. */
export interface PciQueueParams {
  readonly trtype: 'VFIOUSER';
  /** For messages: where the controller is. */
  readonly name: string;
  readonly qid: number;
  readonly entries: number;
  readonly timeout_ms: number;
  /** For the creation of the queue. */
  readonly open_timeout_ms: number;
  readonly interrupts: boolean;
  /** Number of the controller in this process, and what its reactors share. */
  readonly link: number;
  readonly shared: SharedArrayBuffer;
  readonly queues: number;
}

const OPEN_POLL_MS = 1;

/** A queue pair of a PCI controller: how it is opened, sleeps and ends. Its rings are {@link PciRings}. */
export class PciQpair extends PciRings implements Sleeper {
  /** For the admin queue: it is to be given up, with all others. */
  onFail: ((error: NvmeError) => void) | null = null;
  private event: QueueEvent | null = null;
  private where = '';
  private readonly waiting: (() => void)[] = [];

  // --- opening ---

  /** Opens an I/O queue. Rejects with an {@link NvmeError}. */
  async open(params: PciQueueParams): Promise<void> {
    const { qid, entries, open_timeout_ms } = params;
    const shared = new SharedState(params.shared, params.queues);
    this.begin(params.name, qid);
    try {
      if (shared.state !== LinkState.UP) throw this.notConnected();
      const deadline = this.group.deadline(open_timeout_ms);
      await this.attach(params.link, shared, deadline);
      const { terms, generation } = this.link!;
      // It may be another connection than the one that was seen, and not be ready yet.
      if (!shared.isUp(generation)) throw this.notConnected();
      this.ringAt(terms.doorbells);
      if (params.interrupts && qid < terms.vectors) this.event = new QueueEvent(this.group.reactor);
      const { address, cq_at } = this.memory!;
      const queue = { qid, entries, sq_address: address, cq_address: address + cq_at, eventfd: this.eventfd };
      shared.wantQueue(queue);
      this.link!.ring();
      await this.until(
        () => shared.queueState(qid) !== QueueState.WANTED,
        deadline,
        'the queue is not created',
      );
      if (shared.queueState(qid) === QueueState.NONE) throw this.notConnected();
      if (shared.queueState(qid) !== QueueState.OPEN) {
        const status = shared.queueStatus(qid);
        shared.setQueueState(qid, QueueState.NONE);
        throw new NvmeError('ESTATUS', `${this.name}: no queue: ${describeStatus(status)}`, status);
      }
      this.opened();
    } catch (error) {
      this.error ??= error as NvmeError;
      await this.undo(shared, qid);
      throw this.error;
    }
  }

  private notConnected(): NvmeError {
    return new NvmeError('ECLOSED', `${this.name}: the controller is not connected`);
  }

  /** A queue that may have been created is deleted before its memory goes. */
  private async undo(shared: SharedState, qid: number): Promise<void> {
    const { link } = this;
    if (link !== null && [QueueState.WANTED, QueueState.OPEN].includes(shared.queueState(qid) as 1)) {
      shared.setQueueState(qid, QueueState.UNWANTED);
      link.ring();
      while (shared.isUp(link.generation) && shared.queueState(qid) !== QueueState.NONE)
        await this.group.sleep(OPEN_POLL_MS);
      while (shared.generation === link.generation && shared.state === LinkState.LOST)
        await this.group.sleep(OPEN_POLL_MS);
    }
    this.finish();
  }

  /** Prepares the admin queue of a connection that is being made; {@link startAdmin} when its registers are set. */
  async prepareAdmin(
    name: string,
    link: number,
    shared: SharedState,
    deadline: number,
  ): Promise<QueueMemory> {
    this.begin(name, 0);
    await this.attach(link, shared, deadline);
    return this.memory!;
  }

  /** The admin queue's eventfd, or -1. */
  startAdmin(kind: number, interrupts: boolean): number {
    this.ringAt(kind);
    if (interrupts) this.event = new QueueEvent(this.group.reactor);
    this.opened();
    return this.eventfd;
  }

  private begin(name: string, qid: number): void {
    if (this.state !== QpairState.CLOSED) throw new NvmeError('EINVAL', `${this.name} is open`);
    this.where = name;
    this.qid = qid;
    this.state = QpairState.CONNECTING;
    this.error = null;
    this.clear();
    this.group.qpairs.add(this);
  }

  /** Takes part in the connection, and waits until the controller reaches the queue's memory. */
  private async attach(id: number, shared: SharedState, deadline: number): Promise<void> {
    const { regions } = this.group.reactor;
    this.link = ReactorLink.use(this.group, id, shared);
    const { page_bytes, transfer_bytes, sgl_alignment } = this.link.terms;
    this.memory = new QueueMemory(regions, this.entries, page_bytes, transfer_bytes);
    this.transfer_bytes = this.memory.copy_bytes;
    const { region } = this.memory;
    const reached = this.link.memory;
    // Admin commands have PRPs (PSDT: Base 2.0, 3.3.3.1).
    const alignment = this.qid > 0 ? sgl_alignment : 0;
    this.data = new CommandData(this.memory, reached, regions, this.batch, this.depth, alignment);
    await this.until(
      () => reached.reaches(region) || reached.refused(region),
      deadline,
      'the server does not map the memory of the queue',
    );
    if (reached.refused(region))
      throw new NvmeError('EUNSUPPORTED', `${this.name}: the server cannot map the memory of the queue`);
    // I/O buffers will be needed: they are on their way when the first command comes.
    reached.reaches(this.group.reactor.buffers.region);
  }

  /** Waits for something. Rejects if it takes too long, or the connection is lost. */
  private async until(done: () => boolean, deadline: number, what: string): Promise<void> {
    const { shared, generation } = this.link!;
    while (!done()) {
      if (this.error !== null) throw this.error;
      if (shared.generation !== generation || shared.state === LinkState.LOST)
        throw new NvmeError('ECLOSED', `${this.name}: ${shared.failure || 'the controller has been lost'}`);
      if (this.group.reactor.clock.now() > deadline) throw new NvmeError('ETIMEOUT', `${this.name}: ${what}`);
      await this.group.sleep(OPEN_POLL_MS);
    }
  }

  private ringAt(kind: number): void {
    const link = this.link!;
    this.sqDoorbell.open(link.doorbell(this.qid, false, kind));
    this.cqDoorbell.open(link.doorbell(this.qid, true, kind));
  }

  private get eventfd(): number {
    return this.event?.fd ?? -1;
  }

  private opened(): void {
    this.state = QpairState.OPEN;
    this.group.addPolled(this);
    this.group.reactor.addSleeper(this);
  }

  // --- sleep ---

  armSleep(): boolean {
    if (this.hasUnsent) return true;
    const { event } = this;
    // Without an interrupt, what has no time limit is seen at the next deadline.
    if (event === null) return this.outstanding > this.patient;
    event.drain();
    if (this.hasCompletion) return true;
    event.arm();
    return false;
  }

  disarmSleep(): void {
    this.event?.disarm();
  }

  // --- the end ---

  protected override lost(link: ReactorLink): number {
    if (this.state === QpairState.OPEN) {
      this.state = QpairState.CLOSING;
      this.error ??= new NvmeError(
        'ECONNECT',
        `${this.name}: ${link.shared.failure || 'the controller has been lost'}`,
      );
    }
    if (this.isOver(link)) this.finish();
    return 1;
  }

  /** Deletes an I/O queue: what is outstanding is aborted, or completes. The admin queue takes the controller with it. */
  override close(error: NvmeError = new NvmeError('ECLOSED', `${this.name} has been closed`)): void {
    const { link } = this;
    if (this.state >= QpairState.CLOSING) return;
    if (this.qid === 0 || link === null || !link.shared.isUp(link.generation)) {
      this.fail(error);
      return;
    }
    this.error ??= error;
    if (this.state === QpairState.CONNECTING) return; // open() sees it
    this.state = QpairState.CLOSING;
    link.shared.setQueueState(this.qid, QueueState.UNWANTED);
    link.ring();
    this.group.reactor.wake();
  }

  /** Gives the controller up, and all its queues: memory that it may touch comes back when it is still. */
  override fail(error: NvmeError): void {
    if (this.state >= QpairState.CLOSING) return;
    this.error ??= error;
    if (this.state === QpairState.CONNECTING) return; // who opens it sees it
    this.state = QpairState.CLOSING;
    if (this.qid === 0) this.onFail?.(error);
    else {
      this.link!.shared.fail(error.message);
      this.link!.ring();
    }
    this.group.reactor.wake();
  }

  /** Closes it, and resolves when nothing of it is left. */
  override async closeAndWait(error: NvmeError): Promise<void> {
    this.close(error);
    if (this.state !== QpairState.CLOSED) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Nothing touches the queue's memory any more, and all of it is free again. Also for what failed to open. */
  finish(): void {
    const { group } = this;
    const error = this.error!;
    group.qpairs.delete(this);
    const was_open = this.state !== QpairState.CONNECTING;
    if (was_open) {
      group.removePolled(this);
      group.reactor.removeSleeper(this);
    }
    this.state = QpairState.CLOSED;
    this.abortAll();
    if (this.batch.pending > 0) this.batch.run(); // to or from the memory that goes
    this.event?.close();
    this.event = null;
    this.memory?.release();
    this.memory = null;
    this.data = null;
    this.link?.release();
    this.link = null;
    this.tellDone();
    if (was_open) this.onClosed?.(error);
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  /** How doorbells of this queue are written, one of the option's names. */
  get doorbellKind(): 'mapped' | 'trapped' | 'shadow' {
    const kind = this.link === null || this.qid === 0 ? DoorbellKind.TRAPPED : this.link.terms.doorbells;
    return kind === DoorbellKind.MAPPED ? 'mapped' : kind === DoorbellKind.SHADOW ? 'shadow' : 'trapped';
  }

  get name(): string {
    return `${this.where}${this.qid < 0 ? '' : ` (queue ${this.qid})`}`;
  }
}
