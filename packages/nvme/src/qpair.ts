import { TICKS_PER_MS } from '@spdk-ts/env';
import { dataTransfer, nvmOpcode } from '@spdk-ts/nvme-spec';
import type { CommandFaults } from './command-faults.ts';
import { hostStatus, type NvmeError } from './errors.ts';
import type { NvmePollGroup } from './poll-group.ts';
import { NvmeRequest, type NvmeRequestOwner, RequestState } from './request.ts';

export const QpairState = {
  /** Connection and its parameters are being agreed on. */
  CONNECTING: 0,
  /** Commands go out. */
  OPEN: 1,
  /** It is being closed; what is outstanding ends when it is. */
  CLOSING: 2,
  CLOSED: 3,
} as const;

/** What submit returns besides 0. */
export const SubmitError = {
  /** ENXIO: the queue pair is not open. */
  CLOSED: -6,
  /** EINVAL: longer than the controller takes at once, and not of a kind that can be split. */
  TOO_LONG: -22,
} as const;

const NO_LIMIT = 2 ** 32;
/** What a completion takes, and the header of data (TCP Transport 1.0, 3.6.2). */
const HEADER_BYTES = 24;

function answerBytes(request: NvmeRequest): number {
  return request.transfer === dataTransfer.controllerToHost
    ? request.length + 2 * HEADER_BYTES
    : HEADER_BYTES;
}

/**
 * A submission and a completion queue, whatever the transport. It lives on one reactor and is used there. Requests beyond its
 * depth wait; nothing is allocated for a command.
 */
export abstract class NvmeQpair implements NvmeRequestOwner {
  readonly group: NvmePollGroup;
  readonly entries: number;
  /** Commands outstanding at most. */
  readonly depth: number;
  qid = -1;
  /** Of {@link QpairState}. */
  state: number = QpairState.CLOSED;
  /** Why it is closed, or is being closed. */
  error: NvmeError | null = null;
  /** Bytes of data that a command may bring in its capsule. */
  capsule_bytes = 0;
  /** Bytes of data of one command: longer reads, writes and compares are split. */
  transfer_bytes = NO_LIMIT;
  /** How long a command may take, ms; 0: as long as it likes. */
  timeout_ms = 0;
  /** Told of a command that takes longer, once in each `timeout_ms`. */
  onTimeout: ((request: NvmeRequest) => void) | null = null;
  /** Told when the connection is gone and nothing is outstanding any more. */
  onClosed: ((error: NvmeError) => void) | null = null;
  /** Commands that have been submitted, pieces counted singly, and those that had to wait. */
  submitted = 0;
  waited = 0;
  /** Errors that commands end with on purpose, or null. */
  faults: CommandFaults | null = null;
  /** Bytes that the controller is about to send for what is outstanding, roughly. */
  protected due = 0;

  private readonly slots: (NvmeRequest | null)[] = [];
  private readonly free: Int32Array;
  private freeTop = 0;
  private readonly slotBits: number;
  private readonly slotMask: number;
  /** A slot's commands get CIDs that differ: an answer that comes twice finds nobody. */
  private readonly uses: Uint16Array;
  private readonly usesMax: number;
  private readonly startedAt: Float64Array;
  private queueHead: NvmeRequest | null = null;
  private queueTail: NvmeRequest | null = null;
  private readonly ended: NvmeRequest[] = [];
  private endedCount = 0;
  private telling = false;
  private pieces: NvmeRequest | null = null;

  constructor(group: NvmePollGroup, entries: number) {
    this.group = group;
    this.entries = entries;
    this.depth = entries - 1;
    this.slotBits = Math.ceil(Math.log2(Math.max(2, this.depth + 1)));
    this.slotMask = 2 ** this.slotBits - 1;
    this.usesMax = Math.max(1, 2 ** (16 - this.slotBits) - 1);
    this.uses = new Uint16Array(this.depth);
    this.startedAt = new Float64Array(this.depth);
    this.free = new Int32Array(this.depth);
    for (let slot = this.depth - 1; slot >= 0; slot--) this.free[this.freeTop++] = slot;
    for (let slot = 0; slot < this.depth; slot++) this.slots.push(null);
  }

  /** Closes the connection in order: what is laid out is sent, what is outstanding is aborted. */
  abstract close(error?: NvmeError): void;
  /** Closes it at once. */
  abstract fail(error: NvmeError): void;
  /** Closes it, and resolves when nothing of it is left. */
  abstract closeAndWait(error: NvmeError): Promise<void>;
  /** For logs: address and number. */
  abstract readonly name: string;
  /** True if the transport has room for one more command. */
  protected abstract readonly takesCommand: boolean;
  /** Sends a command that has its CID. */
  protected abstract send(request: NvmeRequest): void;

  /** Commands that the controller has. */
  get outstanding(): number {
    return this.depth - this.freeTop;
  }

  /**
   * Takes a request. Returns 0, or one of {@link SubmitError}, and the request stays its owner's. The owner is told of its end
   * later, in the group's poll.
   */
  submit(request: NvmeRequest): number {
    if (this.state !== QpairState.OPEN) return SubmitError.CLOSED;
    if (request.length > this.transfer_bytes) return this.split(request);
    if (this.faults?.take(this, request)) return 0;
    request.status = 0;
    if (this.freeTop === 0 || this.queueHead !== null || !this.takesCommand) this.enqueue(request);
    else this.start(request);
    return 0;
  }

  private enqueue(request: NvmeRequest): void {
    request.state = RequestState.QUEUED;
    request.next = null;
    this.waited++;
    if (this.queueTail === null) this.queueHead = request;
    else this.queueTail.next = request;
    this.queueTail = request;
  }

  private start(request: NvmeRequest): void {
    const slot = this.free[--this.freeTop]!;
    const use = this.uses[slot]! + 1 >= this.usesMax ? 0 : this.uses[slot]! + 1;
    this.uses[slot] = use;
    this.slots[slot] = request;
    this.startedAt[slot] = this.group.reactor.now;
    this.submitted++;
    this.due += answerBytes(request);
    request.cid = slot | (use << this.slotBits);
    request.state = RequestState.OUTSTANDING;
    request.received = 0;
    request.asked = 0;
    request.sent_end = 0;
    request.r2t_length = 0;
    request.aborting = false;
    this.send(request);
  }

  /** The request that is outstanding with a CID, or null. */
  find(cid: number): NvmeRequest | null {
    const slot = cid & this.slotMask;
    if (slot >= this.depth) return null;
    const request = this.slots[slot]!;
    return request !== null && request.cid === cid ? request : null;
  }

  /** The place in the queue of a request with this CID: 0 … {@link depth} - 1. */
  protected slotOf(cid: number): number {
    return cid & this.slotMask;
  }

  /** Gives a request's place in the queue back. */
  protected release(request: NvmeRequest): void {
    const slot = request.cid & this.slotMask;
    this.slots[slot] = null;
    this.due -= answerBytes(request);
    this.free[this.freeTop++] = slot;
  }

  /** The request has ended: its owner is told by {@link tellDone}. */
  protected done(request: NvmeRequest): void {
    request.state = RequestState.DONE;
    this.ended[this.endedCount++] = request;
  }

  /** Tells owners, and sends what waits. */
  protected tellDone(): void {
    if (this.telling) return;
    this.telling = true;
    const { ended } = this;
    for (let i = 0; i < this.endedCount; i++) {
      const request = ended[i]!;
      request.state = RequestState.IDLE;
      request.owner.nvmeDone(request);
    }
    this.endedCount = 0;
    while (this.queueHead !== null && this.freeTop > 0 && this.state === QpairState.OPEN && this.takesCommand)
      this.start(this.dequeue());
    this.telling = false;
  }

  private dequeue(): NvmeRequest {
    const request = this.queueHead!;
    this.queueHead = request.next;
    if (this.queueHead === null) this.queueTail = null;
    request.next = null;
    return request;
  }

  /** Ends everything: the connection is gone. */
  protected abortAll(): void {
    for (let slot = 0; slot < this.depth; slot++) {
      const request = this.slots[slot]!;
      if (request === null) continue;
      request.status = hostStatus.ABORTED;
      this.release(request);
      this.done(request);
    }
    while (this.queueHead !== null) {
      const request = this.dequeue();
      request.status = hostStatus.NO_PATH;
      this.done(request);
    }
  }

  /** Looks for commands that take too long. */
  protected checkTimeouts(now: number): void {
    if (this.timeout_ms === 0 || this.freeTop === this.depth) return;
    const limit = now - this.timeout_ms * TICKS_PER_MS;
    for (let slot = 0; slot < this.depth; slot++) {
      const request = this.slots[slot]!;
      if (request === null || request.patient || this.startedAt[slot]! > limit) continue;
      this.startedAt[slot] = now;
      this.onTimeout?.(request);
    }
  }

  // --- requests that are longer than the controller takes ---

  /** Takes a read, write or compare apart. Its pieces have the same owner's data, one after the other. */
  private split(request: NvmeRequest): number {
    const opcode = request.sqe[0]! & 0xff;
    const of_blocks =
      this.qid > 0 &&
      (opcode === nvmOpcode.read || opcode === nvmOpcode.write || opcode === nvmOpcode.compare);
    if (!of_blocks || request.iovs !== null) return SubmitError.TOO_LONG;
    const blocks = (request.sqe[12]! & 0xffff) + 1;
    const block_bytes = request.length / blocks;
    const piece_blocks = Math.floor(this.transfer_bytes / block_bytes);
    if (piece_blocks === 0 || !Number.isInteger(block_bytes)) return SubmitError.TOO_LONG;
    request.status = 0;
    request.received = 0;
    request.state = RequestState.SPLIT;
    request.pieces = Math.ceil(blocks / piece_blocks);
    const slba = request.sqe[10]! + request.sqe[11]! * 0x1_0000_0000;
    for (let from = 0; from < blocks; from += piece_blocks) {
      const piece = this.takePiece();
      const count = Math.min(piece_blocks, blocks - from);
      piece.sqe.set(request.sqe);
      piece.range(slba + from, count, request.sqe[12]! & 0xffff_0000);
      piece.place(request.transfer, request.region, request.offset + from * block_bytes, count * block_bytes);
      piece.parent = request;
      this.submit(piece);
    }
    return 0;
  }

  private takePiece(): NvmeRequest {
    const piece = this.pieces;
    if (piece === null) return new NvmeRequest(this);
    this.pieces = piece.next;
    piece.next = null;
    return piece;
  }

  /** A piece has ended: the whole ends with its last one, and with the status of the first that failed. */
  nvmeDone(piece: NvmeRequest): void {
    const request = piece.parent!;
    if (request.status === 0) request.status = piece.status;
    if (piece.transfer === dataTransfer.controllerToHost) request.received += piece.received;
    piece.parent = null;
    piece.next = this.pieces;
    this.pieces = piece;
    if (--request.pieces === 0) this.done(request);
  }
}
