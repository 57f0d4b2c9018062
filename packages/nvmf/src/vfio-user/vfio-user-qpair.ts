import { IoVec } from '@spdk-ts/bdev';
import { connectData, FABRICS_OPCODE, fabricsType, oacs, psdt, sgls } from '@spdk-ts/nvme-spec';
import { NvmfQpair, type TransportAddress, type TransportTraits } from '../qpair.ts';
import { NvmfRequest, Transfer } from '../request.ts';
import { RequestPool } from '../request-pool.ts';
import { RequestState } from '../request-state.ts';
import { Status } from '../status.ts';
import type { CompletionQueue } from './completion-queue.ts';
import { DataPointers } from './data-pointers.ts';
import { PAGE_BYTES, PCI_VENDOR, SQE_BYTES } from './layout.ts';
import type { SessionPart } from './session-part.ts';
import { adminTransferLength, ioTransferLength } from './transfer-length.ts';
import { TRTYPE } from './transport-type.ts';

const WORDS = SQE_BYTES / 4;
const PSDT = 0xc000;
/** Commands taken from a queue in one iteration. */
const BURST = 64;
/** Pieces of a transfer beyond one for each page: for SGLs of small blocks. */
const SPARE_PIECES = 96;

const memoryGranted = (request: NvmfRequest): void => (request.qpair as VfioUserQpair).connectReady(request);

/** What such controllers say of themselves; `shadow`: they take Doorbell Buffer Config. */
export function traits(shadow: boolean): TransportTraits {
  return {
    memory_based: true,
    vid: PCI_VENDOR,
    sgls: sgls.supportedDwordAligned,
    oacs: shadow ? oacs.doorbellBufferConfig : 0,
  };
}

/** How a submission queue is made. */
export interface SubmissionQueueOptions {
  readonly qid: number;
  /** Address in the guest, and entries. The admin queue is connected before it is there: address -1. */
  readonly address: number;
  readonly size: number;
}

/**
 * A submission queue in a guest's memory, and the completion queue that it posts to, as a queue pair. Its controller
 * half is connected by a Connect command of its own, which no guest sees.
 */
export class VfioUserQpair extends NvmfQpair {
  readonly trtype = TRTYPE;
  readonly maxIoSize: number;
  readonly maxQueueDepth: number;
  readonly listenAddress: TransportAddress;
  readonly peerAddress: TransportAddress;
  readonly part: SessionPart;
  readonly requests: RequestPool;
  readonly queueId: number;
  private readonly lists: IoVec[] = [];
  private readonly pointers: DataPointers;
  /** A command of our own, at a time: Connect, Property Get and Set. */
  private readonly own: NvmfRequest;
  private ownDone: ((request: NvmfRequest) => void) | null = null;
  private connecting: { entries: number; data: Uint8Array } | null = null;

  cq: CompletionQueue | null = null;
  private address: number;
  private size: number;
  private words: Int32Array | null = null;
  /** Next entry to be taken. */
  private sqHead = 0;
  /** Commands that have ended and found no room in the completion queue, oldest first. */
  private readonly unposted: NvmfRequest[] = [];
  /** What becomes of completions: they are dropped once the queue or the controller is no more. */
  private mute = false;
  /** It is to end as soon as nothing of it executes any more. */
  private ending = false;

  constructor(part: SessionPart, { qid, address, size }: SubmissionQueueOptions) {
    super(part.group.nextQpairId(), part.group, part.traits);
    this.part = part;
    this.queueId = qid;
    this.address = address;
    this.size = size;
    this.maxIoSize = part.maxIoSize;
    this.maxQueueDepth = qid === 0 ? part.options.max_aq_depth : part.options.max_queue_depth;
    this.listenAddress = part.listenAddress;
    this.peerAddress = part.peerAddress;
    this.requests = new RequestPool(this);
    this.pointers = new DataPointers(part.memory, part.group.reactor.regions);
    this.own = new NvmfRequest(this, -1, new Uint8Array(SQE_BYTES));
  }

  // --- commands of our own ---

  /** Connects it to its controller: `done` with the status, and the CNTLID in dword 0. */
  connect(data: Uint8Array, entries: number, done: (request: NvmfRequest) => void): void {
    const { own, group } = this;
    own.sqe32.fill(0);
    own.sqe32[0] = FABRICS_OPCODE | (psdt.sgl << 14);
    own.sqe32[1] = fabricsType.connect;
    own.sqe32[10] = (this.queueId << 16) >>> 0;
    own.sqe32[11] = entries - 1;
    own.load();
    own.length = connectData.size;
    own.transfer = Transfer.HOST_TO_CONTROLLER;
    this.ownDone = done;
    this.connecting = { entries, data };
    if (group.allocate(own, connectData.size, memoryGranted)) this.connectReady(own);
  }

  connectReady(own: NvmfRequest): void {
    const { data } = this.connecting!;
    this.group.reactor.regions.bytes(own.region).set(data, own.offset);
    this.group.execute(own);
  }

  /** Reads a property of the admin queue's controller: both dwords, or null if there is none such. */
  getProperty(offset: number, wide: boolean): readonly [number, number] | null {
    const { own } = this;
    this.property(fabricsType.propertyGet, offset, wide ? 1 : 0, 0);
    return own.status === Status.SUCCESS ? [own.dw0 >>> 0, own.dw1 >>> 0] : null;
  }

  /** Writes a property of four bytes: returns the status. */
  setProperty(offset: number, value: number): number {
    this.property(fabricsType.propertySet, offset, 0, value);
    return this.own.status;
  }

  /** Properties are read and written within the call. */
  private property(type: number, offset: number, size: number, value: number): void {
    const { own } = this;
    own.sqe32.fill(0);
    own.sqe32[0] = FABRICS_OPCODE;
    own.sqe32[1] = type;
    own.sqe32[10] = size;
    own.sqe32[11] = offset;
    own.sqe32[12] = value;
    own.load();
    own.status = Status.INTERNAL_ERROR;
    this.group.execute(own);
  }

  // --- the guest's queue ---

  /** The admin queue is made (CC.EN): where it is, and how many entries it has. */
  enable(address: number, size: number, cq: CompletionQueue): void {
    this.address = address;
    this.size = size;
    this.sqHead = 0;
    this.cq = cq;
    this.mute = false;
  }

  /** The admin queue is no more (CC.EN cleared): what still executes ends into nothing. */
  disable(): void {
    this.cq = null;
    this.words = null;
    this.mute = true;
    this.dropUnposted();
  }

  /** Looks for its memory, which has come or gone. False: it is not there. */
  attach(): boolean {
    if (this.cq === null) return true;
    this.words = this.part.memory.words(this.address, this.size * SQE_BYTES, false);
    return this.words !== null;
  }
  detach(): void {
    this.words = null;
  }

  /** One iteration. Returns the work done. */
  poll(): number {
    const cq = this.cq;
    const words = this.words;
    if (cq === null || words === null) return 0;
    let work = this.unposted.length > 0 ? this.postLate(cq) : 0;
    const tail = this.part.doorbells.tail(this.queueId, this.sqHead, this.size);
    if (tail === this.sqHead) return work;
    for (; this.sqHead !== tail && work < BURST; work++) {
      if (this.unposted.length > 0 || !cq.hasRoom()) break;
      const request = this.requests.get(this.maxQueueDepth);
      if (request === null) break;
      const at = this.sqHead * WORDS;
      const { sqe32 } = request;
      for (let i = 0; i < WORDS; i++) sqe32[i] = words[at + i]!;
      this.sqHead = this.sqHead + 1 === this.size ? 0 : this.sqHead + 1;
      this.begin(request);
      // A command may have ended the queue.
      if (this.words !== words) break;
    }
    return work;
  }

  private begin(request: NvmfRequest): void {
    const { group } = this;
    request.load();
    request.state = RequestState.EXECUTING;
    if (request.opcode === FABRICS_OPCODE) group.endCommand(request, Status.INVALID_OPCODE);
    else if (this.queueId !== 0 || !this.part.executeOwn(request)) {
      group.classify(request);
      const status = request.transfer === Transfer.NONE ? 0 : this.loadData(request);
      if (status === 0) group.execute(request);
      else group.endCommand(request, status);
    }
  }

  /** Finds the place of a command's data. Returns a status, 0 if all is well. */
  private loadData(request: NvmfRequest): number {
    const bytes = this.transferLength(request);
    if (bytes === 0) return 0;
    if (bytes > this.maxIoSize) return DataPointers.TOO_LONG;
    // Admin commands have PRPs (Base 2.0, 3.3.3.1).
    if (this.queueId === 0 && (request.sqe32[0]! & PSDT) !== 0) return Status.INVALID_FIELD;
    const at = request.index;
    while (this.lists.length <= at) this.lists.push(new IoVec(this.maxIoSize / PAGE_BYTES + SPARE_PIECES));
    return this.pointers.load(request, this.lists[at]!, bytes);
  }

  private transferLength(request: NvmfRequest): number {
    if (this.queueId === 0) return adminTransferLength(request);
    const ns = this.controller?.subsystem.find(request.nsid) ?? null;
    return ns === null ? 0 : ioTransferLength(request, ns);
  }

  sendCompletion(request: NvmfRequest): void {
    if (request === this.own) {
      this.group.releaseRequest(request);
      const done = this.ownDone;
      this.ownDone = null;
      this.connecting = null;
      done?.(request);
      return;
    }
    const { cq } = this;
    // Its data are where they belong: only the completion may have to wait.
    this.group.releaseRequest(request);
    if (this.mute || cq === null) this.requests.put(request);
    else if (this.unposted.length === 0 && cq.hasRoom()) this.post(request, cq);
    else this.unposted.push(request);
  }

  private post(request: NvmfRequest, cq: CompletionQueue): void {
    cq.post(request, this.sqHead, this.queueId, this.group.reactor.now);
    this.part.posted(cq);
    this.requests.put(request);
  }

  private postLate(cq: CompletionQueue): number {
    const { unposted } = this;
    let count = 0;
    while (count < unposted.length && cq.hasRoom()) this.post(unposted[count++]!, cq);
    unposted.splice(0, count);
    return count;
  }

  private dropUnposted(): void {
    for (const request of this.unposted.splice(0)) this.requests.put(request);
  }

  /** Where its doorbell was last seen to be. */
  get known(): number {
    return this.sqHead;
  }
  get isAttached(): boolean {
    return this.words !== null;
  }

  /** Commands that use the guest's memory: such as wait for an event, or for the other half of a fused operation, are none. */
  get usesMemory(): boolean {
    const { fused } = this.group.io;
    for (const request of this.requests.all)
      if (
        request.state === RequestState.EXECUTING &&
        (request.region >= 0 || request.iovs !== null) &&
        request.length > 0 &&
        !fused.isHeld(request)
      )
        return true;
    return false;
  }

  /** These regions go: halves of fused operations whose data lie there end without the other half. */
  releaseHeld(regions: readonly number[]): void {
    const { fused } = this.group.io;
    for (const request of this.requests.all)
      if (fused.isHeld(request) && liesIn(request, regions)) fused.memoryGone(request);
  }

  // --- its end ---

  /** Delete I/O Submission Queue: what executes is completed first. */
  delete(): void {
    if (this.ending) return;
    this.ending = true;
    this.words = null;
    this.group.qpairClosing(this);
    this.part.mayEnd(this);
  }

  disconnect(_reason: string): void {
    this.mute = true;
    this.dropUnposted();
    this.words = null;
    if (this.ending) return;
    this.ending = true;
    if (!this.disconnecting) this.group.qpairClosing(this);
    this.part.mayEnd(this);
  }

  /** True once it has ended: nothing of it executes any more. */
  ended(): boolean {
    if (this.ownDone !== null || this.requests.used > this.unposted.length) return false;
    if (this.unposted.length > 0) {
      if (this.cq !== null && !this.mute) this.postLate(this.cq);
      if (this.unposted.length > 0 && !this.mute) return false;
    }
    this.group.removeQpair(this);
    return true;
  }

  findRequest(cid: number): NvmfRequest | null {
    return this.requests.find(cid);
  }
  get allRequests(): readonly NvmfRequest[] {
    return this.requests.all;
  }
  abortHeld(_request: NvmfRequest): boolean {
    return false;
  }
}

function liesIn({ region, iovs }: NvmfRequest, regions: readonly number[]): boolean {
  if (iovs === null) return regions.includes(region);
  return iovs.region.subarray(0, iovs.count).some((piece) => regions.includes(piece));
}
