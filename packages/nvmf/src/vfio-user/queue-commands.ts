import {
  adminOpcode,
  commandStatus,
  featureCapability,
  featureSelect,
  fid,
  genericStatus,
  STATUS_DNR,
  status,
  statusType,
} from '@spdk-ts/nvme-spec';
import type { NvmfRequest } from '../request.ts';
import { Status } from '../status.ts';
import { PAGE_BYTES } from './layout.ts';
import { VfioUserMessage } from './messages.ts';
import type { Parts } from './parts.ts';
import type { SessionMemory } from './session-memory.ts';

const command = (code: number): number => status(statusType.commandSpecific, code) | STATUS_DNR;
const CQ_INVALID = command(commandStatus.completionQueueInvalid);
const QID_INVALID = command(commandStatus.invalidQueueIdentifier);
const SIZE_INVALID = command(commandStatus.invalidQueueSize);
const VECTOR_INVALID = command(commandStatus.invalidInterruptVector);
const DELETION_INVALID = command(commandStatus.invalidQueueDeletion);
const PRP_OFFSET_INVALID = status(statusType.generic, genericStatus.prpOffsetInvalid) | STATUS_DNR;

const TWO_32 = 0x1_0000_0000;
const HIGH_MAX = 0x10_0000;
/** An address at which there is no memory, as at none from here on. */
const NOWHERE = HIGH_MAX * TWO_32;
const PRP1 = 6;
const PRP2 = 8;
const PC = 1;
const IEN = 2;
/** Interrupt Vector Configuration: coalescing is disabled for the vector. */
const CD = 0x1_0000;
const SAVE = 0x8000_0000;

/** What these commands need of the session. */
export interface QueueHost {
  readonly parts: Parts;
  readonly shared: SessionMemory;
  readonly max_io_qpairs: number;
  readonly max_queue_depth: number;
  readonly vectors: number;
  readonly shadow: boolean;
  /** The reactor that shall serve one queue more, with a part there. */
  place(): number;
  unplace(reactor: number): void;
  complete(request: NvmfRequest, status: number): void;
}

interface Completion {
  readonly reactor: number;
  users: number;
}

/**
 * Admin commands that the transport carries out itself (Base 2.0, 5.4 to 5.8): creation and deletion of I/O queues, Doorbell
 * Buffer Config, and the features of interrupts. A submission queue lives on the reactor of its completion queue.
 */
export class QueueCommands {
  private readonly host: QueueHost;
  private readonly cqs = new Map<number, Completion>();
  /** Submission queues, and the completion queue of each. */
  private readonly sqs = new Map<number, { readonly cqid: number; deletion: NvmfRequest | null }>();

  constructor(host: QueueHost) {
    this.host = host;
  }

  /** I/O submission queues that there are. */
  get count(): number {
    return this.sqs.size;
  }
  /** The reactor that serves a queue of this id, or -1. */
  reactorOf(qid: number): number {
    return this.cqs.get(this.sqs.get(qid)?.cqid ?? qid)?.reactor ?? -1;
  }

  /** Carries a command out, now or later. False: it is none of these. */
  execute(request: NvmfRequest): boolean {
    switch (request.opcode) {
      case adminOpcode.createIoCq:
        this.createCq(request);
        return true;
      case adminOpcode.createIoSq:
        this.createSq(request);
        return true;
      case adminOpcode.deleteIoSq:
        this.deleteSq(request);
        return true;
      case adminOpcode.deleteIoCq:
        this.deleteCq(request);
        return true;
      case adminOpcode.doorbellBufferConfig:
        if (!this.host.shadow) return false;
        this.setShadow(request);
        return true;
      case adminOpcode.getFeatures:
      case adminOpcode.setFeatures:
        return this.feature(request);
      default:
        return false;
    }
  }

  /** A page address in a command: -1 if it is none of a page. */
  private page(request: NvmfRequest, word: number): number {
    const low = request.cdw(word);
    const high = request.cdw(word + 1);
    if (low % PAGE_BYTES !== 0) return -1;
    return high >= HIGH_MAX ? NOWHERE : low + high * TWO_32;
  }

  /** What is wrong with a command that makes a queue, or 0. */
  private checkCreate(request: NvmfRequest, exists: boolean): number {
    const { max_io_qpairs, max_queue_depth } = this.host;
    const qid = request.cdw(10) & 0xffff;
    const size = (request.cdw(10) >>> 16) + 1;
    if (qid === 0 || qid > max_io_qpairs || exists) return QID_INVALID;
    if (size < 2 || size > max_queue_depth) return SIZE_INVALID;
    if ((request.cdw(11) & PC) === 0) return Status.INVALID_FIELD;
    return this.page(request, PRP1) < 0 ? PRP_OFFSET_INVALID : 0;
  }

  private createCq(request: NvmfRequest): void {
    const { host } = this;
    const qid = request.cdw(10) & 0xffff;
    const cdw11 = request.cdw(11);
    const interrupts = (cdw11 & IEN) !== 0;
    const vector = interrupts ? cdw11 >>> 16 : -1;
    const wrong =
      this.checkCreate(request, this.cqs.has(qid)) || (vector >= host.vectors ? VECTOR_INVALID : 0);
    if (wrong !== 0) {
      host.complete(request, wrong);
      return;
    }
    const reactor = host.place();
    this.cqs.set(qid, { reactor, users: 0 });
    const values = [qid, this.page(request, PRP1), (request.cdw(10) >>> 16) + 1, vector];
    host.parts.ask(reactor, VfioUserMessage.CREATE_CQ, values, (result) => {
      if (result !== 0) this.forgetCq(qid);
      host.complete(request, result);
    });
  }

  private createSq(request: NvmfRequest): void {
    const { host } = this;
    const qid = request.cdw(10) & 0xffff;
    const cqid = request.cdw(11) >>> 16;
    const wrong = this.checkCreate(request, this.sqs.has(qid));
    const cq = this.cqs.get(cqid);
    if (wrong !== 0 || cq === undefined) {
      const outside = cqid === 0 || cqid > host.max_io_qpairs;
      host.complete(request, wrong !== 0 ? wrong : outside ? QID_INVALID : CQ_INVALID);
      return;
    }
    this.sqs.set(qid, { cqid, deletion: null });
    cq.users++;
    const values = [qid, this.page(request, PRP1), (request.cdw(10) >>> 16) + 1, cqid];
    host.parts.ask(cq.reactor, VfioUserMessage.CREATE_SQ, values, (result) => {
      // One whose Connect failed tells of its end by itself; one whose memory is not there never was.
      if (result === Status.INVALID_FIELD) this.gone(qid);
      host.complete(request, result);
    });
  }

  private deleteSq(request: NvmfRequest): void {
    const { host } = this;
    const qid = request.cdw(10) & 0xffff;
    const sq = this.sqs.get(qid);
    if (sq === undefined || sq.deletion !== null) {
      host.complete(request, QID_INVALID);
      return;
    }
    sq.deletion = request;
    host.parts.ask(this.reactorOf(qid), VfioUserMessage.DELETE_SQ, [qid], () => {});
  }

  /** A submission queue has ended, for whatever reason. */
  gone(qid: number): void {
    const sq = this.sqs.get(qid);
    if (sq === undefined) return;
    this.sqs.delete(qid);
    const cq = this.cqs.get(sq.cqid);
    if (cq !== undefined) cq.users--;
    if (sq.deletion !== null) this.host.complete(sq.deletion, Status.SUCCESS);
  }

  private deleteCq(request: NvmfRequest): void {
    const { host } = this;
    const qid = request.cdw(10) & 0xffff;
    const cq = this.cqs.get(qid);
    if (cq === undefined) host.complete(request, QID_INVALID);
    else if (cq.users > 0) host.complete(request, DELETION_INVALID);
    else {
      this.forgetCq(qid);
      host.parts.ask(cq.reactor, VfioUserMessage.DELETE_CQ, [qid], (result) =>
        host.complete(request, result),
      );
    }
  }

  private forgetCq(qid: number): void {
    const cq = this.cqs.get(qid);
    if (cq !== undefined) this.host.unplace(cq.reactor);
    this.cqs.delete(qid);
  }

  private setShadow(request: NvmfRequest): void {
    const { host } = this;
    const shadow = this.page(request, PRP1);
    const events = this.page(request, PRP2);
    if (shadow <= 0 || events <= 0) host.complete(request, PRP_OFFSET_INVALID);
    else if (shadow === events) host.complete(request, Status.INVALID_FIELD);
    else {
      this.shadowAt = [shadow, events];
      host.parts.askAll(VfioUserMessage.SHADOW, [shadow, events], (result) => {
        if (result !== 0) this.shadowAt = null;
        host.complete(request, result);
      });
    }
  }

  /** Where the shadow doorbells are, for parts that come later; null: there are none. */
  shadowAt: readonly [number, number] | null = null;

  /** Interrupt Coalescing (08h) and Interrupt Vector Configuration (09h): false for every other feature. */
  private feature(request: NvmfRequest): boolean {
    const id = request.cdw(10) & 0xff;
    if (id !== fid.interruptCoalescing && id !== fid.interruptVectorConfiguration) return false;
    const { host } = this;
    const set = request.opcode === adminOpcode.setFeatures;
    if (set && (request.cdw(10) & SAVE) !== 0) host.complete(request, Status.NOT_SAVEABLE);
    else if (id === fid.interruptCoalescing) this.coalescing(request, set);
    else this.vectorConfiguration(request, set);
    return true;
  }

  private coalescing(request: NvmfRequest, set: boolean): void {
    const { shared } = this.host;
    if (set) shared.coalescing = request.cdw(11) & 0xffff;
    else request.dw0 = this.selected(request, shared.coalescing, 0);
    this.host.complete(request, Status.SUCCESS);
  }

  private vectorConfiguration(request: NvmfRequest, set: boolean): void {
    const { shared, vectors } = this.host;
    const vector = request.cdw(11) & 0xffff;
    if (vector >= vectors) {
      this.host.complete(request, Status.INVALID_FIELD);
      return;
    }
    if (set) shared.setDirect(vector, (request.cdw(11) & CD) !== 0);
    else request.dw0 = this.selected(request, vector | (shared.isDirect(vector) ? CD : 0), vector);
    this.host.complete(request, Status.SUCCESS);
  }

  /** What Get Features answers, by its Select field. */
  private selected(request: NvmfRequest, current: number, otherwise: number): number {
    const select = (request.cdw(10) >>> 8) & 7;
    if (select === featureSelect.supportedCapabilities) return featureCapability.changeable;
    return select === featureSelect.current ? current : otherwise;
  }

  /** The controller is reset: completion queues are no more; submission queues end by themselves. */
  reset(): void {
    for (const qid of [...this.cqs.keys()]) this.forgetCq(qid);
    this.shadowAt = null;
  }
}
