import {
  CAPSULE_ENTRY_OFFSET,
  checkDataLength,
  checkIcResp,
  cqeCid,
  cqeDw0,
  cqeDw1,
  cqeStatus,
  dataTransfer,
  decodeIcResp,
  encodeIcReq,
  encodeTermReq,
  fes,
  fesText,
  genericStatus,
  PDU_OK,
  pduCccid,
  pduDatal,
  pduDatao,
  pduErrorFei,
  pduFlag,
  pduHeaderLength,
  pduRules,
  pduTtag,
  pduType,
  status,
  statusType,
  TERM_REQ_PLEN_MAX,
  termReqFei,
  termReqFes,
  viewOf,
} from '@spdk-ts/nvme-spec';
import type { Sock, SockOwner } from '@spdk-ts/sock';
import type { TlsKey } from '@spdk-ts/sock/tls';
import { NvmeError } from '../errors.ts';
import type { PolledQpair } from '../poll-group.ts';
import { NvmeQpair, QpairState } from '../qpair.ts';
import { type NvmeRequest, RequestState } from '../request.ts';
import { LARGE_BYTES, PduReceiver, type PduTaker } from './tcp-receive.ts';
import { TcpSender } from './tcp-send.ts';
import { handshakeError } from './tls-errors.ts';

const DIGEST_WRONG = status(statusType.generic, genericStatus.transientTransportError);
/** R2Ts of one command at once. */
const MAXR2T = 1;

/** Less than this is never received at once, bytes: answers in halves take two receives. */
const RECEIVE_BYTES_MIN = 8192;

/** Where a queue pair connects to, and what it asks for there. */
export interface TcpAddress {
  /** Numeric. */
  readonly traddr: string;
  readonly trsvcid: number;
  /** Digests to ask for, of `pduFlag`. */
  readonly digests: number;
  readonly timeout_ms: number;
  /** Address to connect from; empty: the system chooses it. */
  readonly hostaddr: string;
  /** Null: the connection is not secured. */
  readonly tls: TlsKey | null;
}

/** A queue pair over one TCP connection (TCP Transport 1.0, 3), the host's side. */
export class TcpQpair extends NvmeQpair implements SockOwner, PduTaker, PolledQpair {
  private sock: Sock | null = null;
  private sender: TcpSender | null = null;
  private receiver: PduReceiver | null = null;
  private unsent = false;
  private readonly waiting: (() => void)[] = [];
  /** ICReq, and the termination request: held for as long as the socket may send from them. */
  private readonly aside = new Uint8Array(pduHeaderLength.icReq + TERM_REQ_PLEN_MAX);
  private digestsAsked = 0;
  private deadline = Number.POSITIVE_INFINITY;
  private where = '';
  /** Identity that the connection is secured with; empty: it is not. */
  private identity = '';
  private opened: { resolve: () => void; reject: (error: Error) => void } | null = null;
  /** Reads of much data that are outstanding. */
  private largeReads = 0;
  /** Requests that have ended while the socket still reads their data. */
  private readonly sending: NvmeRequest[] = [];
  /** Requests whose data the controller has asked for and there was no room to send. */
  private readonly unanswered: NvmeRequest[] = [];

  /** Opens the connection and exchanges ICReq and ICResp. Rejects with an {@link NvmeError}. */
  open(address: TcpAddress): Promise<void> {
    if (this.state !== QpairState.CLOSED)
      return Promise.reject(new NvmeError('EINVAL', `${this.name} is open`));
    if (address.tls !== null && this.group.secure === null)
      return this.group.prepareSecure().then(() => this.open(address));
    this.where = `${address.traddr}:${address.trsvcid}`;
    this.identity = address.tls?.identity ?? '';
    this.state = QpairState.CONNECTING;
    this.error = null;
    this.digestsAsked = address.digests;
    this.deadline = this.group.deadline(address.timeout_ms);
    this.group.enter(this);
    return new Promise((resolve, reject) => {
      this.opened = { resolve, reject };
      try {
        this.sock = this.connect(address);
      } catch (error) {
        this.sock = null;
        this.error = new NvmeError('ECONNECT', `${this.where}: ${(error as Error).message}`);
        this.connectionEnded();
      }
    });
  }

  private connect({ traddr, trsvcid, tls, hostaddr }: TcpAddress): Sock {
    const { socks, secure } = this.group;
    return tls === null
      ? socks.connect(traddr, trsvcid, this, hostaddr)
      : secure!.connect(traddr, trsvcid, tls, this, hostaddr);
  }

  // What the socket tells.

  sockConnected(sock: Sock): void {
    if (this.state !== QpairState.CONNECTING) return;
    this.sock = sock;
    const { regions } = this.group.reactor;
    this.receiver = new PduReceiver(sock, regions, this.group.batch, pduRules(false, 0, 2 ** 31), this);
    const bytes = this.aside;
    encodeIcReq(viewOf(bytes), 0, { pfv: 0, hpda: 0, dgst: this.digestsAsked, maxr2t: MAXR2T });
    sock.sendBytes(bytes, 0, pduHeaderLength.icReq);
  }

  sockReadable(sock: Sock): void {
    const { receiver } = this;
    if (receiver === null) return;
    receiver.receive();
    this.tellDone();
    // A lone queue takes half of what is due at once: while it deals with that, the controller is busy with the other half.
    receiver.limit(this.group.busyQpairs > 1 ? sock.rx.length : Math.max(RECEIVE_BYTES_MIN, this.due >> 1));
  }

  sockSent(sock: Sock): void {
    const { sender } = this;
    if (sender === null) return;
    sender.reap();
    if (this.sending.length > 0) this.endSent(sock.txDone);
    if (this.unanswered.length > 0) this.answerMore();
    this.tellDone();
  }

  sockClosed(_sock: Sock, error: string): void {
    this.error ??= this.connectionError(error);
    this.connectionEnded();
  }

  /** Why there is no connection, from what the socket says: nothing if the peer has closed. */
  private connectionError(error: string): NvmeError {
    const why = error === '' ? 'the peer has closed' : error;
    if (this.state !== QpairState.CONNECTING || (this.receiver === null && this.identity === ''))
      return new NvmeError('ECONNECT', `${this.where}: ${why}`);
    if (this.receiver === null) return handshakeError(this.where, this.identity, why);
    const hint = this.identity === '' ? '; its listener may be one for TLS: give a psk' : '';
    return new NvmeError('ECONNECT', `${this.where}: ${why} before its ICResp${hint}`);
  }

  /** Nothing of the connection is left: all memory is free again. */
  private connectionEnded(): void {
    this.group.leave(this);
    const error = this.error!;
    const { opened } = this;
    this.opened = null;
    this.sock = null;
    this.sender = null;
    this.receiver = null;
    this.largeReads = 0;
    this.unanswered.length = 0;
    for (const request of this.sending.splice(0)) this.done(request);
    this.state = QpairState.CLOSED;
    this.abortAll();
    this.tellDone();
    opened?.reject(error);
    this.onClosed?.(error);
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  // What the receiver finds.

  takePdu(type: number, view: DataView, at: number): boolean {
    if (type === pduType.capsuleResp && this.sender !== null) return this.takeResponse(view, at);
    if (type === pduType.r2t && this.sender !== null) return this.takeR2t(view, at);
    if (type === pduType.icResp && this.sender === null) return this.takeIcResp(view, at);
    if (type === pduType.c2hTermReq) {
      const text = `${fesText(termReqFes(view, at))} (${termReqFei(view, at)})`;
      this.fail(new NvmeError('EPROTOCOL', `${this.name}: the controller ends the connection: ${text}`));
      return false;
    }
    return this.violated(`PDU of type ${type} out of sequence`, fes.pduSequenceError, 0, at);
  }

  private takeIcResp(view: DataView, at: number): boolean {
    const wrong = checkIcResp(view, at, this.digestsAsked);
    if (wrong !== PDU_OK) {
      const fei = pduErrorFei(wrong);
      return this.violated(`ICResp is wrong at byte ${fei}`, fes.invalidHeaderField, fei, at);
    }
    const { cpda, dgst: digests, maxh2cdata } = decodeIcResp(view, at);
    this.receiver!.rules.digests = digests;
    this.sender = new TcpSender(
      this.sock!,
      this.group.reactor.regions,
      { digests, cpda, maxh2cdata },
      this.depth,
    );
    this.state = QpairState.OPEN;
    this.deadline = Number.POSITIVE_INFINITY;
    const { opened } = this;
    this.opened = null;
    opened?.resolve();
    return true;
  }

  private takeResponse(view: DataView, at: number): boolean {
    const entry = at + CAPSULE_ENTRY_OFFSET;
    const cid = cqeCid(view, entry);
    const request = this.find(cid);
    if (request === null)
      return this.violated(
        `completion for CID ${cid}, which is not outstanding`,
        fes.pduSequenceError,
        0,
        at,
      );
    const ended = cqeStatus(view, entry);
    if (ended === 0) {
      const why = this.incomplete(request);
      if (why !== '') return this.violated(why, fes.pduSequenceError, 0, at);
    }
    if (request.status === 0) request.status = ended;
    request.dw0 = cqeDw0(view, entry);
    request.dw1 = cqeDw1(view, entry);
    this.finish(request);
    return true;
  }

  /** Why a command cannot have succeeded, or an empty text. */
  private incomplete(request: NvmeRequest): string {
    const { transfer, length, received, asked } = request;
    if (transfer === dataTransfer.controllerToHost) {
      if (received === length || request.may_be_short) return '';
      return `command ${request.cid} succeeded with ${received} of ${length} bytes of data`;
    }
    if (transfer !== dataTransfer.hostToController || (asked === length && request.r2t_length === 0))
      return '';
    return `command ${request.cid} succeeded without ${length - asked + request.r2t_length} of its ${length} bytes`;
  }

  private takeR2t(view: DataView, at: number): boolean {
    const cid = pduCccid(view, at);
    const request = this.find(cid);
    const from = pduDatao(view, at);
    const length = pduDatal(view, at);
    if (request === null)
      return this.violated(`R2T for CID ${cid}, which is not outstanding`, fes.invalidHeaderField, 8, at);
    if (request.transfer !== dataTransfer.hostToController || length === 0)
      return this.violated(
        `R2T for ${length} bytes of command ${cid}, which has none`,
        fes.pduSequenceError,
        0,
        at,
      );
    if (from !== request.asked || from + length > request.length) {
      const what = `R2T for bytes ${from}…${from + length} of command ${cid}, of which ${request.asked}…${request.length} are left`;
      return this.violated(what, fes.dataTransferOutOfRange, 12, at);
    }
    if (request.r2t_length > 0)
      return this.violated(`more than ${MAXR2T} R2T for command ${cid}`, fes.r2tLimitExceeded, 0, at);
    request.asked = from + length;
    request.r2t_tag = pduTtag(view, at);
    request.r2t_from = from;
    request.r2t_length = length;
    if (!this.sender!.data(request)) this.unanswered.push(request);
    this.wantSend();
    return true;
  }

  takeData(view: DataView, at: number, length: number): NvmeRequest | null {
    if (this.sender === null) {
      this.violated('C2HData before ICResp', fes.pduSequenceError, 0, at);
      return null;
    }
    const cid = pduCccid(view, at);
    const request = this.find(cid);
    if (request === null || request.transfer !== dataTransfer.controllerToHost) {
      this.violated(`data for CID ${cid}, which wants none`, fes.invalidHeaderField, 8, at);
      return null;
    }
    if (checkDataLength(view, at) !== PDU_OK || length === 0) {
      this.violated(`C2HData of ${length} bytes says ${pduDatal(view, at)}`, fes.invalidHeaderField, 16, at);
      return null;
    }
    const from = pduDatao(view, at);
    if (from === request.received && from + length <= request.length) return request;
    const left = `${request.received}…${request.length}`;
    this.violated(
      `bytes ${from}…${from + length} for command ${cid}, where ${left} are due`,
      fes.dataTransferOutOfRange,
      12,
      at,
    );
    return null;
  }

  dataTaken(request: NvmeRequest, length: number, flags: number, intact: boolean): void {
    request.received += length;
    if (!intact) request.status = DIGEST_WRONG;
    if ((flags & pduFlag.success) === 0) return;
    const why = (flags & pduFlag.last) === 0 ? 'SUCCESS without LAST_PDU' : this.incomplete(request);
    if (why !== '') {
      this.fail(new NvmeError('EPROTOCOL', `${this.name}: ${why}`));
      return;
    }
    request.dw0 = 0;
    request.dw1 = 0;
    this.finish(request);
  }

  broken(status: number, information: number, at: number, length: number): void {
    this.terminate(
      `${fesText(status)} (${information}) in what the controller sends`,
      status,
      information,
      at,
      length,
    );
  }

  /** The controller has broken a rule: false, for the receiver. */
  private violated(what: string, status: number, information: number, at: number): boolean {
    this.terminate(what, status, information, at, pduHeaderLength.c2hData);
    return false;
  }

  private terminate(what: string, status: number, information: number, at: number, length: number): void {
    if (this.state >= QpairState.CLOSING) return;
    this.sender?.push();
    const start = pduHeaderLength.icReq;
    const out = this.aside.subarray(start);
    const plen = encodeTermReq(out, pduType.h2cTermReq, status, information, this.sock!.rx, at, length);
    this.sock!.sendBytes(this.aside, start, start + plen);
    this.fail(new NvmeError('EPROTOCOL', `${this.name}: ${what}`), true);
  }

  // What the owner asks for.

  protected override get takesCommand(): boolean {
    return this.sender!.takesCommand;
  }

  protected override send(request: NvmeRequest): void {
    let in_capsule = false;
    if (request.transfer === dataTransfer.hostToController) {
      in_capsule = request.length <= this.capsule_bytes;
      if (in_capsule) request.asked = request.length;
    } else if (request.length >= LARGE_BYTES) {
      this.largeReads++;
      this.receiver!.sparing = true;
    }
    this.sender!.command(request, in_capsule && request.length > 0);
    this.wantSend();
  }

  private finish(request: NvmeRequest): void {
    this.release(request);
    if (request.transfer === dataTransfer.controllerToHost) {
      if (request.length >= LARGE_BYTES) this.receiver!.sparing = --this.largeReads > 0;
      this.done(request);
      return;
    }
    if (request.r2t_length > 0) this.forgetUnanswered(request);
    if (request.sent_end <= this.sock!.txDone) this.done(request);
    else {
      request.state = RequestState.SENDING;
      this.sending.push(request);
    }
  }

  private forgetUnanswered(request: NvmeRequest): void {
    request.r2t_length = 0;
    const at = this.unanswered.indexOf(request);
    if (at >= 0) this.unanswered.splice(at, 1);
  }

  private endSent(position: number): void {
    const { sending } = this;
    let kept = 0;
    for (let i = 0; i < sending.length; i++) {
      const request = sending[i]!;
      if (request.sent_end <= position) this.done(request);
      else sending[kept++] = request;
    }
    sending.length = kept;
  }

  private answerMore(): void {
    while (this.unanswered.length > 0 && this.sender!.data(this.unanswered[0]!)) this.unanswered.shift();
    this.wantSend();
  }

  private wantSend(): void {
    if (this.unsent) return;
    this.unsent = true;
    this.group.wantSend(this);
  }

  pushSends(): void {
    this.unsent = false;
    if (this.state < QpairState.CLOSING) this.sender?.push();
  }

  checkDeadlines(now: number): void {
    if (now > this.deadline) {
      const unreached = this.identity === '' ? 'cannot be reached' : 'answers no TLS handshake';
      const what = this.receiver === null ? unreached : 'answers no ICReq';
      this.fail(new NvmeError('ETIMEOUT', `${this.where} ${what} in time`));
      return;
    }
    this.checkTimeouts(now);
  }

  override close(error: NvmeError = new NvmeError('ECLOSED', `${this.name} has been closed`)): void {
    this.fail(error, true);
  }

  /** Closes it, and resolves when the connection is gone. */
  override async closeAndWait(error: NvmeError): Promise<void> {
    this.close(error);
    if (this.state !== QpairState.CLOSED) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  override fail(error: NvmeError, flush = false): void {
    if (this.state >= QpairState.CLOSING) return;
    this.state = QpairState.CLOSING;
    this.error = error;
    this.receiver?.stop();
    if (flush) this.sender?.push();
    this.sock?.close(flush);
  }

  get name(): string {
    return `${this.where}${this.qid < 0 ? '' : ` (queue ${this.qid})`}`;
  }
}
