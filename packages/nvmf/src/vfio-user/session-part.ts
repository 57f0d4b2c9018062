import { GuestMemory, GuestMemoryError } from '@spdk-ts/guest-memory';
import { connectData } from '@spdk-ts/nvme-spec';
import { Errno, errnoOf } from '@spdk-ts/vfio-user';
import type { NvmfPollGroup } from '../poll-group.ts';
import type { TransportAddress, TransportTraits } from '../qpair.ts';
import type { NvmfRequest } from '../request.ts';
import { Status } from '../status.ts';
import type { TransportOptions } from '../transport.ts';
import { CompletionQueue, type CompletionQueueOptions } from './completion-queue.ts';
import { type DoorbellCounts, Doorbells } from './doorbells.ts';
import { SessionMemory, type SessionText } from './session-memory.ts';
import { TRTYPE } from './transport-type.ts';
import { type SubmissionQueueOptions, VfioUserQpair } from './vfio-user-qpair.ts';

/** What a part tells the session, on the reactor of the admin queue. */
export interface PartOwner {
  /** A queue pair of this queue id has ended. */
  queueGone(qid: number): void;
  /** The guest has done what no controller can go on after. */
  fatal(reason: number): void;
}

/** Reasons of {@link PartOwner.fatal}. */
export const Fatal = { DOORBELL: 1, MEMORY: 2 } as const;
export const fatalText: Readonly<Record<number, string>> = {
  [Fatal.DOORBELL]: 'a doorbell was written with what is no place in its queue',
  [Fatal.MEMORY]: 'memory that it had lent was taken away',
};

/** What parts have in common on one reactor. */
export interface PartContext {
  readonly group: NvmfPollGroup;
  readonly options: TransportOptions;
  readonly maxIoSize: number;
  readonly traits: TransportTraits;
  readonly counts: DoorbellCounts;
  /** BAR0 can be mapped: the client tells nobody of a doorbell. */
  readonly isMapped: boolean;
  /** Logs what a client has done, at a limited rate. */
  complain(text: string): void;
}

/** A range that is to be unmapped when nothing uses it any more. */
interface Unmapping {
  readonly address: number;
  readonly length: number;
  readonly done: (errno: number) => void;
}

/** How many iterations lie between two looks whether the guest has cut its memory. */
const LOST_PERIOD = 4096;

/**
 * A session on one reactor: the guest's memory as this thread has it mapped, and the queues that are served here. The
 * reactor of the admin queue has one, and every other that serves I/O queues of the session.
 */
export class SessionPart {
  readonly id: number;
  readonly group: NvmfPollGroup;
  readonly options: TransportOptions;
  readonly maxIoSize: number;
  readonly traits: TransportTraits;
  readonly isMapped: boolean;
  private readonly adaptive: boolean;
  readonly memory: GuestMemory;
  readonly shared: SessionMemory;
  readonly doorbells: Doorbells;
  readonly listenAddress: TransportAddress;
  readonly peerAddress: TransportAddress;
  /** Carries out a command of the admin queue that is the transport's; null elsewhere. */
  ownCommands: ((request: NvmfRequest) => boolean) | null = null;
  private readonly owner: PartOwner;
  private readonly context: PartContext;
  private readonly cqs = new Map<number, CompletionQueue>();
  private readonly sqs = new Map<number, VfioUserQpair>();
  /** The same, for the loop; and those that end. */
  private list: VfioUserQpair[] = [];
  private endings: VfioUserQpair[] = [];
  private unmapping: Unmapping[] = [];
  /** Completion queues with entries that the guest may have to be interrupted for. */
  private announcing: CompletionQueue[] = [];
  private stopped = false;
  private polls = 0;

  constructor(id: number, context: PartContext, sharedFd: number, bar0Fd: number, owner: PartOwner) {
    this.id = id;
    this.context = context;
    this.group = context.group;
    this.options = context.options;
    this.maxIoSize = context.maxIoSize;
    this.traits = context.traits;
    this.isMapped = context.isMapped;
    this.adaptive = context.options.extra['disable_adaptive_irq'] !== true;
    this.owner = owner;
    this.memory = new GuestMemory(this.group.reactor.regions);
    this.shared = new SessionMemory(sharedFd);
    this.doorbells = new Doorbells(bar0Fd, context.counts, context.isMapped);
    const { traddr } = this.shared.text;
    const address = { trtype: TRTYPE, adrfam: '', traddr, trsvcid: '0' };
    this.listenAddress = address;
    this.peerAddress = address;
  }

  get hasQueues(): boolean {
    return this.sqs.size > 0 || this.endings.length > 0;
  }

  // --- memory ---

  /** Maps a range: 0, or an errno. */
  map(address: number, length: number, fd: number, offset: number, writable: boolean): number {
    try {
      this.memory.map({ address, length, fd, offset, writable });
    } catch (error) {
      if (!(error instanceof GuestMemoryError)) throw error;
      this.context.complain(`${this.listenAddress.traddr}: refused ${error.message}`);
      return errnoOf(error.code, Errno.EINVAL);
    }
    this.attachQueues();
    return 0;
  }

  /** Unmaps a range, when nothing that was begun uses the guest's memory any more; nothing is begun meanwhile. */
  unmap(address: number, length: number, done: (errno: number) => void): void {
    this.unmapping.push({ address, length, done });
    this.group.reactor.wake();
    this.tryUnmap();
  }

  private tryUnmap(): number {
    for (const qpair of this.list) if (qpair.usesMemory) return 0;
    for (const qpair of this.endings) if (qpair.usesMemory) return 0;
    const ready = this.unmapping;
    this.unmapping = [];
    const regions = ready.flatMap(({ address, length }) => this.memory.regionsOf(address, length));
    for (const qpair of this.list) qpair.releaseHeld(regions);
    this.detachQueues();
    for (const { address, length } of ready) this.memory.unmap(address, length);
    this.attachQueues();
    for (const { done } of ready) done(0);
    return ready.length;
  }

  private attachQueues(): void {
    this.doorbells.attach(this.memory);
    for (const cq of this.cqs.values()) if (!cq.isAttached) cq.attach(this.memory);
    for (const qpair of this.list) qpair.attach();
  }
  private detachQueues(): void {
    this.doorbells.detach();
    for (const cq of this.cqs.values()) cq.detach();
    for (const qpair of this.list) qpair.detach();
  }

  // --- queues ---

  createCq(options: Omit<CompletionQueueOptions, 'adaptive'>): number {
    const cq = new CompletionQueue({ ...options, adaptive: this.adaptive }, this.shared, this.doorbells);
    if (!cq.attach(this.memory)) return Status.INVALID_FIELD;
    this.doorbells.clear(options.qid, false);
    this.cqs.set(options.qid, cq);
    return Status.SUCCESS;
  }
  deleteCq(qid: number): void {
    this.cqs.delete(qid);
  }

  /** Makes a submission queue and connects it: `done` with a status. */
  createSq(options: SubmissionQueueOptions, cqid: number, done: (status: number) => void): void {
    const { qid, size } = options;
    const cq = this.cqs.get(cqid);
    const qpair = new VfioUserQpair(this, options);
    if (cq === undefined) {
      done(Status.INTERNAL_ERROR);
      return;
    }
    qpair.cq = cq;
    if (!qpair.attach()) {
      done(Status.INVALID_FIELD);
      return;
    }
    qpair.detach();
    this.doorbells.clear(qid, true);
    this.group.addQpair(qpair);
    this.sqs.set(qid, qpair);
    this.list = [...this.sqs.values()];
    cq.users++;
    qpair.connect(this.connectData(), size, ({ status }) => {
      if (status !== Status.SUCCESS) qpair.disconnect('it could not be connected');
      else if (!this.endings.includes(qpair)) qpair.attach();
      done(status);
    });
  }

  /** Data of a Connect command: who the guest is, and which controller is meant (FFFFh: a new one). */
  private connectData(): Uint8Array {
    const { subnqn, hostnqn, hostid }: SessionText = this.shared.text;
    const bytes = new Uint8Array(connectData.size);
    connectData.encode(
      { hostid: Uint8Array.from(Buffer.from(hostid, 'hex')), cntlid: this.shared.cntlid, subnqn, hostnqn },
      bytes,
    );
    return bytes;
  }

  /** The queue pair of the admin queue, which is there before the guest has made its queue. */
  createAdmin(entries: number, done: (request: NvmfRequest) => void): VfioUserQpair {
    const qpair = new VfioUserQpair(this, { qid: 0, address: -1, size: 0 });
    this.group.addQpair(qpair);
    this.sqs.set(0, qpair);
    this.list = [...this.sqs.values()];
    qpair.connect(this.connectData(), entries, done);
    return qpair;
  }

  /** Makes the admin queue's rings. False: their memory is not there. */
  enableAdmin(qpair: VfioUserQpair, asq: number, acq: number, entries: number, completions: number): boolean {
    const options = { qid: 0, address: acq, size: completions, vector: 0 };
    if (this.createCq(options) !== Status.SUCCESS) return false;
    this.doorbells.clear(0, true);
    qpair.enable(asq, entries, this.cqs.get(0)!);
    this.stopped = false;
    return qpair.attach();
  }
  disableAdmin(qpair: VfioUserQpair): void {
    qpair.disable();
    this.cqs.delete(0);
    this.forgetQueues();
  }

  /**
   * The completion queues are no more: nobody is interrupted for them, which would look at their doorbells, and what was
   * found there concerns no controller to come.
   */
  private forgetQueues(): void {
    this.announcing = [];
    this.doorbells.broken = -1;
  }

  deleteSq(qid: number): void {
    this.sqs.get(qid)?.delete();
  }

  /** The controller is reset: queues end, as its other half has told them, and shadow doorbells are no more. */
  reset(): void {
    this.doorbells.setShadow(0, 0);
    for (const qid of [...this.cqs.keys()]) if (qid !== 0) this.cqs.delete(qid);
    this.forgetQueues();
    this.stopped = false;
  }

  /** Shadow doorbells (Doorbell Buffer Config): a status. */
  setShadow(shadow: number, events: number): number {
    this.doorbells.setShadow(shadow, events);
    if (!this.doorbells.attach(this.memory)) {
      this.doorbells.setShadow(0, 0);
      return Status.INVALID_FIELD;
    }
    for (const qid of new Set([...this.sqs.keys(), ...this.cqs.keys()]))
      if (qid !== 0) this.doorbells.takeOver(qid);
    return Status.SUCCESS;
  }

  /** For queue pairs: nothing new begins there; it has ended when nothing of it executes. */
  mayEnd(qpair: VfioUserQpair): void {
    if (!this.endings.includes(qpair)) this.endings.push(qpair);
    this.group.reactor.wake();
  }

  /** For queue pairs: an entry was posted. */
  posted(cq: CompletionQueue): void {
    if (cq.posted) return;
    cq.posted = true;
    this.announcing.push(cq);
  }

  /** For queue pairs: carries out an admin command that is the transport's. False: it is none. */
  executeOwn(request: NvmfRequest): boolean {
    return this.ownCommands?.(request) ?? false;
  }

  /** No command is taken any more: the controller has failed. */
  stop(): void {
    this.stopped = true;
  }

  // --- the loop ---

  poll(): number {
    let work = 0;
    if (this.endings.length > 0) work += this.endQueues();
    if (this.unmapping.length > 0) return work + this.tryUnmap();
    if (this.stopped) return work;
    const { list, doorbells } = this;
    for (let i = 0; i < list.length; i++) work += list[i]!.poll();
    if (doorbells.broken >= 0) {
      doorbells.broken = -1;
      this.fail(Fatal.DOORBELL);
    }
    this.polls++;
    if (this.polls >= LOST_PERIOD) {
      this.polls = 0;
      if (this.memory.lost) this.fail(Fatal.MEMORY);
    }
    return work;
  }

  private fail(reason: number): void {
    this.stopped = true;
    this.owner.fatal(reason);
  }

  /** Later in the iteration: interrupts. Returns the work done, or left. */
  flush(): number {
    const { announcing } = this;
    if (announcing.length === 0) return 0;
    const { now } = this.group.reactor;
    let kept = 0;
    for (let i = 0; i < announcing.length; i++) {
      const cq = announcing[i]!;
      if (cq.announce(now)) cq.posted = false;
      else announcing[kept++] = cq;
    }
    const work = announcing.length;
    announcing.length = kept;
    return work;
  }

  private endQueues(): number {
    const ended = this.endings.filter((qpair) => qpair.ended());
    if (ended.length === 0) return 0;
    this.endings = this.endings.filter((qpair) => !ended.includes(qpair));
    for (const qpair of ended) {
      const { queueId, cq } = qpair;
      if (cq !== null) cq.users--;
      if (this.sqs.get(queueId) === qpair) this.sqs.delete(queueId);
      this.list = [...this.sqs.values()];
      this.owner.queueGone(queueId);
    }
    return ended.length;
  }

  /**
   * Before a sleep: true if there is something to do. Guests with shadow doorbells are asked to ring from now on; what
   * rings without telling anybody (BAR0 in the client's memory) is looked at by a timer.
   */
  armSleep(): boolean {
    if (this.stopped || this.unmapping.length > 0) return false;
    let changed = false;
    for (const { cq, queueId, known, isAttached } of this.list) {
      if (cq === null || !isAttached || !cq.isAttached) continue;
      // Nothing is taken from the one while there is no room in the other.
      if (cq.hasRoom() ? this.doorbells.watch(queueId * 2, known) : cq.watch()) changed = true;
    }
    return changed;
  }
  disarmSleep(): void {
    for (const { queueId, known } of this.list) if (queueId !== 0) this.doorbells.unwatch(queueId * 2, known);
  }

  /** Ends everything that is left; the memory goes when it has ended. */
  end(reason: string): void {
    for (const qpair of this.list) qpair.disconnect(reason);
  }
  /** Gives the memory back. Nothing uses it any more. */
  close(): void {
    for (const { done } of this.unmapping.splice(0)) done(0);
    this.cqs.clear();
    this.announcing = [];
    this.memory.clear();
  }
}
