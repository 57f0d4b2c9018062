import {
  checkIcReq,
  decodeIcReq,
  fes,
  fesText,
  genericStatus,
  PDU_OK,
  pduError,
  pduFlag,
  pduRules,
  pduTtag,
  pduType,
  status,
  statusType,
  termReqFei,
  termReqFes,
} from '@spdk-ts/nvme-spec';
import type { Sock } from '@spdk-ts/sock';
import { NvmfQpair, type TransportAddress } from '../qpair.ts';
import { type NvmfRequest, Transfer } from '../request.ts';
import { RequestPool } from '../request-pool.ts';
import { RequestState } from '../request-state.ts';
import { isInCapsule, loadCommandData, r2tBufferBytes } from './command-data.ts';
import { checkH2cData, DataDeadlines } from './h2c-data.ts';
import { ADMIN_CAPSULE_DATA_MAX, type TcpTimeouts } from './limits.ts';
import { PDU_WAIT, type PduHandler, PduReceiver } from './pdu-receiver.ts';
import { StallWatch } from './stall-watch.ts';
import { NO_ANSWER, NO_REQUEST, TcpSender } from './tcp-send.ts';
import type { TcpTransport } from './tcp-transport.ts';

/** Where a connection is in its life. */
export const TcpState = {
  /** ICReq is due. */
  INITIALIZING: 0,
  RUNNING: 1,
  /** A termination request is out: the host is to close. */
  TERMINATING: 2,
  /** We are closing. */
  CLOSING: 3,
  /** The socket is gone; requests may still execute. */
  CLOSED: 4,
  /** Nothing is left of it. */
  ENDED: 5,
} as const;

/** Data of this many bytes and more go straight from the socket to their place. */
const LARGE_BYTES = 64 * 1024;

/** Words of a submission queue entry, and where it begins in its capsule. */
const SQE_WORDS = 16;
const SQE_AT = 8;

const DIGEST_WRONG = status(statusType.generic, genericStatus.transientTransportError);
const ABORTED = status(statusType.generic, genericStatus.abortRequested);
const INTERRUPTED = status(statusType.generic, genericStatus.commandInterrupted);

const memoryGranted = (request: NvmfRequest): void => (request.qpair as TcpQpair).memoryGranted(request);

/** A queue pair over one TCP connection (TCP Transport 1.0, 3). */
export class TcpQpair extends NvmfQpair implements PduHandler {
  readonly trtype = 'TCP';
  readonly transport: TcpTransport;
  readonly maxIoSize: number;
  readonly listenAddress: TransportAddress;
  peerAddress: TransportAddress;
  override readonly pskIdentity: string | null;
  readonly requests: RequestPool;
  state: number = TcpState.INITIALIZING;
  /** Which listener it came through: the reactor that accepted it, and its number there. */
  readonly listenerReactor: number;
  readonly listenerId: number;
  /** On the transport's list of those with something to send. */
  unsent = false;

  private sock!: Sock;
  private receiver!: PduReceiver;
  private sender: TcpSender | null = null;
  private watch!: StallWatch;
  private readonly capsuleMax: number;
  private readonly c2hSuccess: boolean;
  private dataDigest = false;
  /** Commands that there is memory for headers for. */
  private depth = 0;
  private readonly timeouts: TcpTimeouts;
  private readonly dataDeadlines: DataDeadlines;
  /** Requests whose answers lie in the sender's memory, or will when copies have been made: the first {@link laidOutCount}. */
  private readonly laidOut: NvmfRequest[] = [];
  private laidOutCount = 0;
  /** Commands with much data that the host was asked for. */
  private largeExpected = 0;

  constructor(
    id: number,
    transport: TcpTransport,
    listenAddress: TransportAddress,
    listenerReactor: number,
    listenerId: number,
    pskIdentity: string | null = null,
  ) {
    super(id, transport.group);
    this.transport = transport;
    this.maxIoSize = transport.maxIoSize;
    this.listenAddress = listenAddress;
    this.peerAddress = listenAddress;
    this.listenerReactor = listenerReactor;
    this.listenerId = listenerId;
    this.pskIdentity = pskIdentity;
    this.capsuleMax = Math.min(transport.options.in_capsule_data_size, transport.maxIoSize);
    this.c2hSuccess = transport.options.c2h_success;
    this.requests = new RequestPool(this);
    this.timeouts = transport.timeouts;
    this.dataDeadlines = new DataDeadlines(this.requests.all, this.timeouts.receive);
  }

  get maxQueueDepth(): number {
    const { max_queue_depth, max_aq_depth } = this.transport.options;
    return this.qid < 0
      ? Math.max(max_queue_depth, max_aq_depth)
      : this.qid === 0
        ? max_aq_depth
        : max_queue_depth;
  }

  /** Begins to serve the connection. */
  start(sock: Sock): void {
    this.sock = sock;
    this.peerAddress = { trtype: this.trtype, ...sock.peer };
    const rules = pduRules(true, Math.max(ADMIN_CAPSULE_DATA_MAX, this.capsuleMax), this.maxIoSize);
    this.receiver = new PduReceiver(sock, this.group.reactor.regions, rules, this);
    this.watch = new StallWatch(sock, this.receiver, this.timeouts, this.group.reactor.now);
  }

  // What the socket tells.

  sockReadable(): void {
    this.receiver.receive();
  }

  sockSent(): void {
    const sender = this.sender;
    if (sender === null || this.state !== TcpState.RUNNING) return;
    const requests = this.requests;
    let freed = false;
    for (let index = sender.reap(); index !== NO_ANSWER; index = sender.reap()) {
      requests.sending--;
      if (index === NO_REQUEST) requests.leaving--;
      else this.release(requests.all[index]!);
      freed = true;
    }
    // A command may have been waiting for a request; data in its capsule waits for something else.
    if (freed && this.receiver.blocked && this.receiver.target === null) this.goOn();
  }

  sockClosed(_sock: Sock, error: string): void {
    if (this.state >= TcpState.CLOSED) return;
    if (error !== '') this.transport.log.info(`${this.name}: ${error}`);
    this.state = TcpState.CLOSED;
    this.receiver.stop();
    this.sender?.end();
    if (!this.disconnecting) this.group.qpairClosing(this);
    const all = this.requests.all;
    for (let i = 0; i < all.length; i++) {
      const request = all[i]!;
      if (request.state !== RequestState.FREE && request.state !== RequestState.EXECUTING)
        this.release(request);
    }
    this.requests.sending = 0;
    this.requests.leaving = 0;
    this.laidOutCount = 0;
    this.finish();
  }

  // What the receiver finds.

  pduHeader(type: number, view: DataView, at: number, dataLength: number): number {
    switch (type) {
      case pduType.capsuleCmd:
        return this.sender === null
          ? pduError(fes.pduSequenceError, 0)
          : this.takeCommand(view, at, dataLength);
      case pduType.h2cData:
        return this.sender === null ? pduError(fes.pduSequenceError, 0) : this.takeData(view, at, dataLength);
      case pduType.icReq:
        return this.sender === null ? this.takeIcReq(view, at) : pduError(fes.pduSequenceError, 0);
      default:
        return this.takeTermReq(view, at);
    }
  }

  private takeIcReq(view: DataView, at: number): number {
    const wrong = checkIcReq(view, at);
    if (wrong !== PDU_OK) return wrong;
    const { hpda, dgst: digests } = decodeIcReq(view, at);
    const { rules } = this.receiver;
    rules.alignment = hpda;
    rules.digests = digests;
    this.dataDigest = (digests & pduFlag.ddgst) !== 0;
    // The host gets its answer in the form that it knows before it knows the answer: without digests.
    this.depth = this.maxQueueDepth;
    this.sender = new TcpSender(
      this.sock,
      this.group.reactor.regions,
      this.transport.copies,
      digests,
      hpda,
      this.depth,
    );
    this.sender.icResp(hpda, digests, this.maxIoSize);
    this.state = TcpState.RUNNING;
    this.watch.initialized(this.group.reactor.now);
    this.wantSend();
    return PDU_OK;
  }

  private takeTermReq(view: DataView, at: number): number {
    const text = fesText(termReqFes(view, at));
    this.disconnect(`the host ends the connection: ${text} (${termReqFei(view, at)})`);
    return PDU_OK;
  }

  private takeCommand(view: DataView, at: number, dataLength: number): number {
    const requests = this.requests;
    const request = requests.get(this.sqSize > 0 ? Math.min(this.sqSize, this.depth) : this.depth);
    if (request === null) {
      // An answer that the host may have seen is not known to have left yet: then it may send the next command.
      if (requests.sending > 0) return PDU_WAIT;
      this.disconnect('the host sends more commands than the queue holds');
      return PDU_OK;
    }
    this.copyEntry(request.sqe32, view, at + SQE_AT);
    request.load();
    this.group.classify(request);
    const capsuleMax = this.qid > 0 ? this.capsuleMax : ADMIN_CAPSULE_DATA_MAX;
    const wrong = loadCommandData(request, dataLength, capsuleMax, this.maxIoSize);
    if (wrong !== 0) this.fail(request, wrong);
    else if (request.length === 0 || request.transfer === Transfer.NONE) this.execute(request);
    else if (request.transfer === Transfer.CONTROLLER_TO_HOST) this.beginRead(request);
    else if (isInCapsule(request)) this.beginCapsuleData(request);
    else this.beginR2t(request);
    return PDU_OK;
  }

  private copyEntry(sqe32: Uint32Array, view: DataView, from: number): void {
    const { words } = this.receiver;
    if ((from & 3) === 0) for (let i = 0; i < SQE_WORDS; i++) sqe32[i] = words[(from >>> 2) + i]!;
    else for (let i = 0; i < SQE_WORDS; i++) sqe32[i] = view.getUint32(from + 4 * i, true);
  }

  private execute(request: NvmfRequest): void {
    request.state = RequestState.EXECUTING;
    this.group.execute(request);
  }

  private fail(request: NvmfRequest, wrong: number): void {
    request.state = RequestState.EXECUTING;
    this.group.endCommand(request, wrong);
  }

  private beginRead(request: NvmfRequest): void {
    // With a data digest, what is sent must not change between digest and sending, as a bdev's own memory may.
    if (!this.dataDigest || this.qid <= 0) this.execute(request);
    else {
      request.state = RequestState.NEED_READ_BUFFER;
      if (this.group.allocate(request, request.length, memoryGranted)) this.execute(request);
    }
  }

  private beginCapsuleData(request: NvmfRequest): void {
    this.receiver.target = request;
    this.receiver.targetFrom = 0;
    request.state = RequestState.RECEIVING_CAPSULE;
    if (request.at_once && this.receiver.whole) {
      this.receiver.inPlace = true;
      return;
    }
    if (this.group.allocate(request, request.length, memoryGranted)) return;
    request.state = RequestState.NEED_CAPSULE_BUFFER;
    this.receiver.blocked = true;
    this.watch.blocked(this.group.reactor.now);
  }

  private beginR2t(request: NvmfRequest): void {
    request.state = RequestState.NEED_R2T_BUFFER;
    // A digest that is wrong must not leave its data on the medium.
    if (!this.dataDigest && this.group.placedWrites.begin(request, memoryGranted)) return;
    const size = r2tBufferBytes(this.group.reactor.buffers, request.length);
    if (this.group.allocate(request, size, memoryGranted)) this.sendR2t(request);
  }

  private sendR2t(request: NvmfRequest): void {
    request.state = RequestState.AWAITING_DATA;
    this.dataDeadlines.set(request, this.group.reactor.now);
    if (request.length >= LARGE_BYTES) {
      this.largeExpected++;
      this.receiver.sparing = true;
    }
    this.sender!.r2t(request);
    this.wantSend();
  }

  /** The group has found memory for a request that waited for it. */
  memoryGranted(request: NvmfRequest): void {
    switch (request.state) {
      case RequestState.NEED_CAPSULE_BUFFER:
        if (request.status !== 0) this.fail(request, request.status);
        else {
          request.state = RequestState.RECEIVING_CAPSULE;
          this.goOn();
        }
        break;
      case RequestState.NEED_R2T_BUFFER:
        if (request.status !== 0) this.fail(request, request.status);
        else if (this.state === TcpState.RUNNING) this.sendR2t(request);
        break;
      case RequestState.NEED_READ_BUFFER:
        if (this.state === TcpState.RUNNING) this.execute(request);
        break;
    }
  }

  private goOn(): void {
    this.receiver.resume();
    this.receiver.receive();
  }

  private takeData(view: DataView, at: number, dataLength: number): number {
    const wrong = checkH2cData(view, at, dataLength, this.requests.all);
    if (wrong !== PDU_OK) return wrong;
    const request = this.requests.all[pduTtag(view, at)]!;
    this.dataDeadlines.set(request, this.group.reactor.now);
    this.receiver.target = request;
    this.receiver.targetFrom = request.received;
    return PDU_OK;
  }

  pduData(request: NvmfRequest, length: number, intact: boolean): void {
    request.received += length;
    // The command fails once all of its data is there: until then the host goes on sending it.
    if (!intact) request.status = DIGEST_WRONG;
    if (request.received < request.length) return;
    if (request.state === RequestState.AWAITING_DATA && request.length >= LARGE_BYTES)
      this.receiver.sparing = --this.largeExpected > 0;
    if (request.status !== 0) this.fail(request, request.status);
    else if (request.abortRequested) this.fail(request, ABORTED);
    else if (request.placed === null) this.execute(request);
    else {
      request.state = RequestState.EXECUTING;
      this.group.executePlaced(request);
    }
  }

  pduBroken(status: number, information: number, rx: Uint8Array, at: number, length: number): void {
    if (this.state > TcpState.RUNNING) {
      this.receiver.stop();
      return;
    }
    this.transport.complain(`${this.name}: terminated: ${fesText(status)} (${information})`);
    this.sender ??= new TcpSender(this.sock, this.group.reactor.regions, null, 0, 0, 1);
    this.sender.termReq(status, information, rx, at, length);
    this.beginEnd(TcpState.TERMINATING);
  }

  // What the controller asks for.

  sendCompletion(request: NvmfRequest): void {
    if (request.holds) {
      request.holds = false;
      request.region = -1;
      this.sock.releaseReceived();
    }
    if (this.state !== TcpState.RUNNING) {
      // Memory that the socket may still send from is only reused once it is closed.
      if (this.state === TcpState.CLOSED) {
        this.release(request);
        this.finish();
      } else request.state = RequestState.SENDING;
      return;
    }
    request.state = RequestState.SENDING;
    this.requests.sending++;
    const sender = this.sender!;
    if (!sender.dataOf(request, this.c2hSuccess && this.sqFlowControlDisabled))
      sender.response(request, this.sqhd);
    if (!sender.answered(request)) this.laidOut[this.laidOutCount++] = request;
    this.wantSend();
  }

  findRequest(cid: number): NvmfRequest | null {
    return this.requests.find(cid);
  }

  get allRequests(): readonly NvmfRequest[] {
    return this.requests.all;
  }

  abortHeld(request: NvmfRequest): boolean {
    switch (request.state) {
      case RequestState.NEED_R2T_BUFFER:
      case RequestState.NEED_READ_BUFFER:
        this.group.releaseRequest(request);
        this.fail(request, ABORTED);
        return true;
      case RequestState.AWAITING_DATA:
      case RequestState.RECEIVING_CAPSULE:
      case RequestState.NEED_CAPSULE_BUFFER:
        // Its data is on the way and cannot be called back: the command ends when it has arrived.
        request.abortRequested = true;
        return true;
      default:
        return false;
    }
  }

  disconnect(reason: string): void {
    if (this.state >= TcpState.CLOSING) return;
    this.transport.complain(`${this.name}: ${reason}`);
    this.beginEnd(TcpState.CLOSING);
    this.sender?.push();
    this.transport.copies?.run(); // closing may send at once
    this.sock.close(true);
  }

  // For the transport.

  /** Looks whether something has taken too long: true if it had to act. */
  checkDeadlines(now: number): boolean {
    if (this.state >= TcpState.CLOSING) return false;
    let late = this.watch.check(now, this.qid < 0);
    const { receive, lent } = this.timeouts;
    const hurry = this.controller?.subsystem.hurries === true ? receive - lent : 0;
    if (late === '' && !this.receiver.blocked && this.dataDeadlines.missed(now, hurry))
      late = 'sends no data that it was asked for';
    if (late !== '') {
      this.transport.complain(`${this.name}: ${late}`);
      this.beginEnd(TcpState.CLOSING);
      this.sock.close();
      return true;
    }
    if (!this.receiver.blocked || !this.watch.blockedTooLong(now)) return false;
    this.giveUpMemory();
    return true;
  }

  /** Data in a capsule has waited too long for memory, and with it all that follows in the stream. */
  private giveUpMemory(): void {
    const request = this.receiver.target;
    if (request === null) return;
    request.status = INTERRUPTED;
    this.receiver.dropData();
    this.goOn();
  }

  /** Gives what was laid out since the last call to the socket. */
  pushSends(): void {
    this.unsent = false;
    if (this.state <= TcpState.TERMINATING) this.sender?.push();
  }

  /**
   * What was laid out has been copied: requests of which nothing else is sent are free. What waited for them may go on, and
   * be laid out in its turn.
   */
  releaseLaidOut(): void {
    const { laidOut, requests, laidOutCount: count } = this;
    for (let i = 0; i < count; i++) {
      requests.leaving++;
      this.release(laidOut[i]!);
    }
    laidOut.copyWithin(0, count, this.laidOutCount);
    this.laidOutCount -= count;
  }

  get name(): string {
    const { traddr, trsvcid } = this.peerAddress;
    return `${traddr}:${trsvcid}${this.qid < 0 ? '' : ` (queue ${this.qid})`}`;
  }

  private wantSend(): void {
    if (this.unsent) return;
    this.unsent = true;
    this.transport.wantSend(this);
  }

  private beginEnd(state: number): void {
    this.state = state;
    this.receiver.stop();
    this.watch.ending(this.group.reactor.now);
    if (!this.disconnecting) this.group.qpairClosing(this);
  }

  private release(request: NvmfRequest): void {
    this.group.releaseRequest(request);
    this.requests.put(request);
  }

  /** Ends for good, once nothing is left. */
  private finish(): void {
    if (this.state !== TcpState.CLOSED || this.requests.used > 0) return;
    this.state = TcpState.ENDED;
    this.group.removeQpair(this);
    this.transport.ended(this);
  }
}
