import type { Batch } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { dataTransfer } from '@spdk-ts/nvme-spec';
import type { Sleeper } from '@spdk-ts/reactor';
import { describeStatus, NvmeError } from '../errors.ts';
import type { NvmePollGroup, PolledQpair } from '../poll-group.ts';
import { NvmeQpair, QpairState } from '../qpair.ts';
import type { NvmeRequest } from '../request.ts';
import { PrpBuilder, SglBuilder } from './data-pointer.ts';
import { Doorbell, type DoorbellCounts, DoorbellKind } from './doorbell.ts';
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
/** Words of entries. */
const SQE_WORDS = 16;
const CQE_WORDS = 4;
const OPCODE_AND_FLAGS = 0xffff;
/** SGLs instead of PRPs from this many pages on, where the controller takes them: it then reads no list. */
const SGL_PAGES = 3;

/**
 * A queue pair in memory that a PCI controller reads and writes (PCIe Transport 1.0): entries, phase bits, doorbells. Everything that the
 * controller writes is read once, and checked, before it is believed.
 */
export class PciQpair extends NvmeQpair implements PolledQpair, Sleeper {
  readonly doorbells: DoorbellCounts = { mapped: 0, trapped: 0, shadowed: 0 };
  /** Commands whose data were copied, as the controller cannot reach them where they are. */
  copied = 0;
  /** For the admin queue: it is to be given up, with all others. */
  onFail: ((error: NvmeError) => void) | null = null;

  private readonly batch: Batch;
  private link: ReactorLink | null = null;
  private memory: QueueMemory | null = null;
  private prps: PrpBuilder | null = null;
  private sgls: SglBuilder | null = null;
  private readonly sqDoorbell = new Doorbell(this.doorbells);
  private readonly cqDoorbell = new Doorbell(this.doorbells);
  /** Next entries, and the phase of the next completion. */
  private tail = 0;
  private head = 0;
  private phase = 1;
  /** The controller's head of the submission queue, as it last said. */
  private sqHead = 0;
  private unsent = false;
  /** A doorbell that could not be written yet. */
  private owed = false;
  /** Of each slot: the data of its command are in the slot's room. */
  private readonly copies: Uint8Array;
  /** Outstanding requests that take as long as they like. */
  private patient = 0;
  private eventfd = -1;
  private watch: unknown = null;
  private where = '';
  private readonly waiting: (() => void)[] = [];

  constructor(group: NvmePollGroup, entries: number) {
    super(group, entries);
    if (group.batch === null) throw new NvmeError('EUNSUPPORTED', 'vfio-user needs the native addon');
    this.batch = group.batch;
    this.copies = new Uint8Array(this.depth);
  }

  // --- opening ---

  /** Opens an I/O queue. Rejects with an {@link NvmeError}. */
  async open(params: PciQueueParams): Promise<void> {
    const { qid, entries, open_timeout_ms } = params;
    const shared = new SharedState(params.shared, params.queues);
    this.begin(params.name, qid);
    try {
      if (shared.state !== LinkState.UP)
        throw new NvmeError('ECLOSED', `${this.name}: the controller is not connected`);
      const deadline = this.group.deadline(open_timeout_ms);
      await this.attach(params.link, shared, deadline);
      const { terms } = this.link!;
      this.ringAt(terms.doorbells);
      if (params.interrupts && qid < terms.vectors) this.listen();
      const { address, cq_at } = this.memory!;
      const queue = { qid, entries, sq_address: address, cq_address: address + cq_at, eventfd: this.eventfd };
      shared.wantQueue(queue);
      this.link!.ring();
      await this.until(
        () => shared.queueState(qid) !== QueueState.WANTED,
        deadline,
        'the queue is not created',
      );
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
    if (interrupts) this.listen();
    this.opened();
    return this.eventfd;
  }

  private begin(name: string, qid: number): void {
    if (this.state !== QpairState.CLOSED) throw new NvmeError('EINVAL', `${this.name} is open`);
    this.where = name;
    this.qid = qid;
    this.state = QpairState.CONNECTING;
    this.error = null;
    this.tail = 0;
    this.head = 0;
    this.phase = 1;
    this.sqHead = 0;
    this.unsent = false;
    this.owed = false;
    this.patient = 0;
    this.copies.fill(0);
    this.group.qpairs.add(this);
  }

  /** Takes part in the connection, and waits until the controller reaches the queue's memory. */
  private async attach(id: number, shared: SharedState, deadline: number): Promise<void> {
    const { regions } = this.group.reactor;
    this.link = ReactorLink.use(this.group, id, shared);
    const { page_bytes, transfer_bytes, sgl_alignment } = this.link.terms;
    this.memory = new QueueMemory(regions, this.entries, page_bytes, transfer_bytes);
    this.transfer_bytes = this.memory.copy_bytes;
    this.prps = new PrpBuilder(page_bytes);
    const sgls = this.qid > 0 && sgl_alignment > 0;
    this.sgls = sgls ? new SglBuilder(page_bytes, sgl_alignment === 4 ? 4 : 1) : null;
    const { region } = this.memory;
    const reached = this.link.memory;
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

  private listen(): void {
    this.eventfd = native!.eventFd();
    this.watch = native!.ringWatch(this.eventfd, () => this.group.reactor.wake());
  }

  private opened(): void {
    this.state = QpairState.OPEN;
    this.group.addPolled(this);
    this.group.reactor.addSleeper(this);
  }

  // --- the way of a command ---

  protected override get takesCommand(): boolean {
    return true;
  }

  protected override send(request: NvmeRequest): void {
    const { sq } = this.memory!;
    const { sqe } = request;
    const at = this.tail * SQE_WORDS;
    for (let i = 1; i < SQE_WORDS; i++) sq[at + i] = sqe[i]!;
    sq[at] = (sqe[0]! & OPCODE_AND_FLAGS & ~0xc000) | (request.cid << 16);
    if (request.length > 0) this.point(request, at);
    if (request.patient) this.patient++;
    this.tail = this.tail + 1 === this.entries ? 0 : this.tail + 1;
    if (this.unsent) return;
    this.unsent = true;
    this.group.wantSend(this);
  }

  /** Says where the data of the command at word `at` are: where they lie, or in a copy. */
  private point(request: NvmeRequest, at: number): void {
    const memory = this.memory!;
    const { page_bytes } = memory;
    const slot = this.slotOf(request.cid);
    const list_at = memory.lists_at + slot * page_bytes;
    const many = request.iovs !== null || request.length >= SGL_PAGES * page_bytes;
    const builder = many && this.sgls !== null ? this.sgls : this.prps!;
    builder.begin(memory.words, list_at >> 2, memory.address + list_at);
    if (this.describe(request, builder)) builder.end(memory.sq, at);
    else this.pointToCopy(request, slot, at);
  }

  /** Data that the controller does not reach, or not in these pieces, are copied to or from the slot's room. */
  private pointToCopy(request: NvmeRequest, slot: number, at: number): void {
    const memory = this.memory!;
    const list_at = memory.lists_at + slot * memory.page_bytes;
    const address = memory.address + memory.copies_at + slot * memory.copy_bytes;
    const prps = this.prps!;
    prps.begin(memory.words, list_at >> 2, memory.address + list_at);
    prps.add(address, request.length);
    prps.end(memory.sq, at);
    this.copied++;
    this.copies[slot] = 1;
    if (request.transfer !== dataTransfer.controllerToHost) this.copy(request, slot, true);
  }

  /** Describes data where they lie. False if the controller does not reach them there, or not in these pieces. */
  private describe(request: NvmeRequest, builder: PrpBuilder | SglBuilder): boolean {
    const reached = this.link!.memory;
    const { regions } = this.group.reactor;
    const { iovs, region } = request;
    if (iovs === null)
      return reached.reaches(region) && builder.add(regions.address(region, request.offset), request.length);
    for (let i = 0; i < iovs.count; i++) {
      const piece = iovs.region[i]!;
      if (!reached.reaches(piece)) return false;
      if (!builder.add(regions.address(piece, iovs.offset[i]!), iovs.length[i]!)) return false;
    }
    return true;
  }

  /** Copies between a request's data and its slot's room, when the batch runs. */
  private copy(request: NvmeRequest, slot: number, out: boolean): void {
    const { region, copies_at, copy_bytes } = this.memory!;
    const { iovs, batch } = { iovs: request.iovs, batch: this.batch };
    let at = copies_at + slot * copy_bytes;
    if (iovs === null) {
      if (out) batch.copy(region, at, request.region, request.offset, request.length);
      else batch.copy(request.region, request.offset, region, at, request.length);
      return;
    }
    for (let i = 0; i < iovs.count; i++) {
      const length = iovs.length[i]!;
      if (out) batch.copy(region, at, iovs.region[i]!, iovs.offset[i]!, length);
      else batch.copy(iovs.region[i]!, iovs.offset[i]!, region, at, length);
      at += length;
    }
  }

  /** Tells the controller of what was laid out in this iteration. */
  pushSends(): void {
    this.unsent = false;
    if (this.batch.pending > 0) this.batch.run();
    if (this.state === QpairState.OPEN) this.owed = !this.sqDoorbell.ring(this.tail);
  }

  // --- completions ---

  /** Takes completions. Returns how many. */
  poll(): number {
    const link = this.link!;
    if (this.state === QpairState.OPEN) {
      // The admin queue is told by its link.
      if (this.qid > 0 && !link.shared.isUp(link.generation)) return this.lost(link);
    } else if (this.isOver(link)) return this.lost(link);
    if (this.owed) this.owed = !(this.sqDoorbell.ring(this.tail) && this.cqDoorbell.ring(this.head));
    return this.take();
  }

  private take(): number {
    const { cq } = this.memory!;
    let taken = 0;
    while (taken < this.depth) {
      const at = this.head * CQE_WORDS;
      const last = Atomics.load(cq, at + 3);
      if (((last >>> 16) & 1) !== this.phase) break;
      if (!this.complete(cq[at]!, cq[at + 1]!, cq[at + 2]!, last)) break;
      taken++;
      this.head++;
      if (this.head === this.entries) {
        this.head = 0;
        this.phase ^= 1;
      }
    }
    if (taken === 0) return 0;
    if (this.batch.pending > 0) this.batch.run();
    if (this.state < QpairState.CLOSED && !this.cqDoorbell.ring(this.head)) this.owed = true;
    this.tellDone();
    return taken;
  }

  /** Takes one completion, whose words were read. False if it breaks the rules. */
  private complete(dw0: number, dw1: number, heads: number, last: number): boolean {
    const cid = last & 0xffff;
    const sqhd = heads & 0xffff;
    const request = this.find(cid);
    if (request === null) return this.violated(`a completion for CID ${cid}, which is not outstanding`);
    if (heads >>> 16 !== this.qid)
      return this.violated(`a completion of CID ${cid} names submission queue ${heads >>> 16}`);
    const passed = this.distance(sqhd);
    if (sqhd >= this.entries || passed > this.distance(this.tail))
      return this.violated(
        `a completion says that entry ${sqhd} of ${this.entries} is next: ${this.sqHead} was, and there are entries up to ${this.tail}`,
      );
    this.sqHead = sqhd;
    request.status = last >>> 17;
    request.dw0 = dw0 >>> 0;
    request.dw1 = dw1 >>> 0;
    if (request.patient) this.patient--;
    const slot = this.slotOf(cid);
    if (request.transfer === dataTransfer.controllerToHost && request.status === 0) {
      request.received = request.length;
      if (this.copies[slot] === 1) this.copy(request, slot, false);
    }
    this.copies[slot] = 0;
    this.release(request);
    this.done(request);
    return true;
  }

  /** Entries from the controller's head to a place in the submission queue. */
  private distance(place: number): number {
    return place >= this.sqHead ? place - this.sqHead : place + this.entries - this.sqHead;
  }

  private violated(what: string): false {
    this.fail(new NvmeError('EPROTOCOL', `${this.name}: ${what}`));
    return false;
  }

  // --- sleep ---

  armSleep(): boolean {
    if (this.unsent || this.owed) return true;
    // Without an interrupt, what has no time limit is seen at the next deadline.
    if (this.eventfd < 0) return this.outstanding > this.patient;
    native!.drainEventFd(this.eventfd);
    const last = Atomics.load(this.memory!.cq, this.head * CQE_WORDS + 3);
    if (((last >>> 16) & 1) === this.phase) return true;
    native!.ringWatchStart(this.watch);
    return false;
  }

  disarmSleep(): void {
    if (this.watch !== null) native!.ringWatchStop(this.watch);
  }

  // --- the end ---

  /** True if nothing of the controller touches the queue's memory any more. */
  private isOver({ shared, generation }: ReactorLink): boolean {
    if (shared.generation !== generation || shared.state === LinkState.DOWN) return true;
    return this.qid > 0 && shared.state === LinkState.UP && shared.queueState(this.qid) === QueueState.NONE;
  }

  /** The connection is lost, or a queue that was closed is deleted. */
  private lost(link: ReactorLink): number {
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

  checkDeadlines(now: number): void {
    if (this.state === QpairState.OPEN) this.checkTimeouts(now);
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
    if (this.watch !== null) native!.ringWatchClose(this.watch);
    this.watch = null;
    if (this.eventfd >= 0) native!.closeFd(this.eventfd);
    this.eventfd = -1;
    this.memory?.release();
    this.memory = null;
    this.prps = null;
    this.sgls = null;
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
