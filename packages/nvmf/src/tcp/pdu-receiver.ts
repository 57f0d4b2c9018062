import { dataDigest } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import {
  checkPduHeader,
  crc32c,
  fes,
  PDU_DIGEST_LENGTH,
  PDU_OK,
  type PduRules,
  pduDataLength,
  pduErrorFei,
  pduErrorFes,
  pduFlag,
  pduHeaderLength,
  pduHlen,
  pduPdo,
  pduPlen,
  pduType,
  viewOf,
} from '@spdk-ts/nvme-spec';
import type { Sock } from '@spdk-ts/sock';
import type { NvmfRequest } from '../request.ts';

/** What a handler of PDU headers returns besides an error: look at the same header again after {@link PduReceiver.resume}. */
export const PDU_WAIT = -1;

/**
 * Who the receiver works for. A header is at `at` of `view`, complete, in itself valid and its digest right. The
 * answer is PDU_OK, an error (`pduError`) that ends the connection, or PDU_WAIT.
 *
 * Where data follows a header, the handler says where it goes: it sets {@link PduReceiver.target} (null: dropped)
 * and {@link PduReceiver.targetFrom}, and {@link PduReceiver.blocked} if the target's memory is still to come. Where
 * the PDU is {@link PduReceiver.whole} it may set {@link PduReceiver.inPlace} instead of giving the target memory.
 */
export interface PduHandler {
  pduHeader(type: number, view: DataView, at: number, dataLength: number): number;
  /** All data of a PDU has arrived in the target's memory. `intact`: its digest, if there is one, is right. */
  pduData(request: NvmfRequest, length: number, intact: boolean): void;
  /** The stream cannot be understood any more. `length` bytes of the header at fault are at `at` of `rx`. */
  pduBroken(fes: number, fei: number, rx: Uint8Array, at: number, length: number): void;
}

const State = { HEADER: 0, SKIP: 1, DATA: 2, DIGEST: 3, STOPPED: 4 } as const;

/** A command capsule up to this part of the receive area is waited for until all of it is there. */
const WHOLE_SHARE = 4;
/** The first two dwords of a command capsule without data or digests: type, no flags, HLEN; PLEN. */
const PLAIN_CAPSULE = pduType.capsuleCmd | (pduHeaderLength.capsuleCmd << 16);
const PLAIN_PLEN = pduHeaderLength.capsuleCmd;
/** What is received at once while data whose place is known will follow some header, bytes. */
const SPARING_BYTES = 1024;

/** Takes PDUs out of a socket's receive area: headers are read where they lie, data goes straight to its place. */
export class PduReceiver {
  readonly sock: Sock;
  readonly rules: PduRules;
  target: NvmfRequest | null = null;
  /** Where in the target's data this PDU's begins. */
  targetFrom = 0;
  /** Nothing is taken from the stream before {@link resume}. */
  blocked = false;
  /** The PDU whose header is being looked at is there with all its data, in memory that has a place. */
  whole = false;
  /** Set by the handler: the target's data are left where they are, and held there until it lets go of them. */
  inPlace = false;
  /** Large data are on their way: receive little beyond headers, so that they can go straight to their place. */
  sparing = false;
  /** PDUs that have begun to arrive: with the bytes below, tells progress from silence. */
  pdus = 0;

  private readonly handler: PduHandler;
  private readonly regions: RegionTable;
  private readonly view: DataView;
  /** The receive area as dwords. */
  readonly words: Uint32Array;
  private state: number = State.HEADER;
  private running = false;
  /** Bytes of the area that are read and not yet given back. */
  private at = 0;
  /** Bytes to drop before the data, or in its place. */
  private skip = 0;
  private afterSkip: number = State.HEADER;
  private dataLength = 0;
  /** Bytes of the PDU's data that have been asked for, and those of the piece under way. */
  private dataDone = 0;
  private piece = 0;
  private digest = false;
  private readonly wholeMax: number;
  /** Bytes without which nothing can be taken. */
  private needed = 0;

  constructor(sock: Sock, regions: RegionTable, rules: PduRules, handler: PduHandler) {
    this.sock = sock;
    this.regions = regions;
    this.rules = rules;
    this.handler = handler;
    this.view = viewOf(sock.rx);
    this.words = new Uint32Array(sock.rx.buffer, sock.rx.byteOffset, sock.rx.length >>> 2);
    this.wholeMax = sock.rxRegion < 0 ? 0 : sock.rx.length / WHOLE_SHARE;
  }

  /** True in the middle of a PDU: more bytes are due. */
  get midPdu(): boolean {
    return this.state !== State.HEADER || this.sock.rxEnd !== this.sock.rxStart;
  }

  /** From now on whatever arrives is dropped. */
  stop(): void {
    this.state = State.STOPPED;
    this.blocked = false;
  }

  /** Goes on after PDU_WAIT or `blocked`: the caller then calls {@link receive}. */
  resume(): void {
    this.blocked = false;
  }

  /** Gives up on memory for the data that waits for it: it will be dropped. */
  dropData(): void {
    this.target = null;
    this.skip = this.dataLength + (this.digest ? PDU_DIGEST_LENGTH : 0);
    this.state = State.SKIP;
    this.afterSkip = State.HEADER;
  }

  /** Takes what has been received. */
  receive(): void {
    if (this.running) return;
    this.running = true;
    let more = true;
    while (more && !this.blocked) {
      switch (this.state) {
        case State.HEADER:
          more = this.takeHeader();
          break;
        case State.SKIP:
          more = this.takeSkip();
          break;
        case State.DATA:
          more = this.takeData();
          break;
        case State.DIGEST:
          more = this.takeDigest();
          break;
        default:
          this.at = this.sock.rxEnd - this.sock.rxStart;
          more = false;
      }
    }
    this.giveBack();
    this.sock.rxLimit = this.sparing ? Math.max(SPARING_BYTES, this.needed) : this.sock.rx.length;
    this.running = false;
  }

  private giveBack(): void {
    if (this.at === 0) return;
    const length = this.at;
    this.at = 0;
    this.sock.consume(length);
  }

  /** Bytes of the area that are not read yet. */
  private get available(): number {
    return this.sock.rxEnd - this.sock.rxStart - this.at;
  }

  private takeHeader(): boolean {
    const have = this.available;
    if (have < pduHeaderLength.common) return false;
    const at = this.sock.rxStart + this.at;
    const view = this.view;
    const rules = this.rules;
    if (this.isPlain(at, have)) {
      this.needed = 0;
      this.whole = false;
      return this.hand(pduType.capsuleCmd, at, PLAIN_PLEN, 0);
    }
    const wrong = checkPduHeader(view, at, rules);
    if (wrong !== PDU_OK) return this.broken(wrong, at, have);
    const hlen = pduHlen(view, at);
    const type = view.getUint8(at);
    const hdgst = type >= pduType.capsuleCmd && (rules.digests & pduFlag.hdgst) !== 0;
    const header = hlen + (hdgst ? PDU_DIGEST_LENGTH : 0);
    if (have < header) return false;
    if (hdgst) {
      const digest = view.getUint32(at + hlen, true);
      if (digest !== crc32c(this.sock.rx, at, at + hlen)) {
        this.handler.pduBroken(fes.headerDigestError, digest, this.sock.rx, at, hlen);
        return true;
      }
    }
    // A termination request's data is a header of ours: nobody reads it.
    const dataLength = type < pduType.capsuleCmd ? 0 : pduDataLength(view, at);
    this.needed = 0;
    this.whole = false;
    if (dataLength > 0 && type === pduType.capsuleCmd) {
      const plen = pduPlen(view, at);
      if (plen <= this.wholeMax) {
        if (have < plen) {
          this.needed = plen - have;
          return false;
        }
        this.whole = true;
      }
    }
    return this.hand(type, at, header, dataLength);
  }

  /** True if there is a command capsule whole, without data or digests: most are, and need no other check. */
  private isPlain(at: number, have: number): boolean {
    const { words } = this;
    const word = at >>> 2;
    return (
      (at & 3) === 0 &&
      have >= PLAIN_PLEN &&
      words[word] === PLAIN_CAPSULE &&
      words[word + 1] === PLAIN_PLEN &&
      this.rules.digests === 0
    );
  }

  /** Gives a PDU's header to the handler, and begins with what follows it. */
  private hand(type: number, at: number, header: number, dataLength: number): boolean {
    const { view } = this;
    this.target = null;
    const answer = this.handler.pduHeader(type, view, at, dataLength);
    if (answer === PDU_WAIT) {
      this.blocked = true;
      return false;
    }
    if (answer !== PDU_OK) return this.broken(answer, at, pduHlen(view, at));
    if (this.state === State.STOPPED) return true;
    this.pdus++;
    this.at += header;
    if (this.inPlace) this.takeInPlace(pduPdo(view, at) - header, dataLength);
    else if (dataLength > 0) this.expectData(pduPdo(view, at) - header, dataLength);
    else if (type < pduType.capsuleCmd) this.beginSkip(pduPlen(view, at) - header, State.HEADER);
    return true;
  }

  private broken(error: number, at: number, length: number): boolean {
    const quoted = Math.min(length, Math.max(pduHeaderLength.common, pduHlen(this.view, at)));
    this.handler.pduBroken(pduErrorFes(error), pduErrorFei(error), this.sock.rx, at, quoted);
    return true;
  }

  private expectData(padding: number, length: number): void {
    const digest = (this.rules.digests & pduFlag.ddgst) !== 0;
    this.digest = digest;
    this.dataLength = length;
    this.dataDone = 0;
    this.piece = 0;
    if (this.target === null)
      this.beginSkip(padding + length + (digest ? PDU_DIGEST_LENGTH : 0), State.HEADER);
    else this.beginSkip(padding, State.DATA);
  }

  /** The target's data are all here, and stay here. */
  private takeInPlace(padding: number, length: number): void {
    const { sock } = this;
    const request = this.target!;
    this.inPlace = false;
    this.target = null;
    const from = sock.rxStart + this.at + padding;
    this.at += padding + length;
    request.region = sock.rxRegion;
    request.offset = sock.rxOffset + from;
    request.holds = true;
    sock.holdReceived();
    let intact = true;
    if ((this.rules.digests & pduFlag.ddgst) !== 0) {
      intact = dataDigest(this.regions, request, 0, length) === this.view.getUint32(from + length, true);
      this.at += PDU_DIGEST_LENGTH;
    }
    this.handler.pduData(request, length, intact);
  }

  private beginSkip(length: number, after: number): void {
    this.skip = length;
    this.afterSkip = after;
    this.state = length === 0 ? after : State.SKIP;
  }

  private takeSkip(): boolean {
    const taken = Math.min(this.skip, this.available);
    this.at += taken;
    this.skip -= taken;
    if (this.skip > 0) return false;
    this.state = this.afterSkip;
    return true;
  }

  /** Sends the stream into the target's memory, one piece after another. */
  private takeData(): boolean {
    const sock = this.sock;
    if (sock.directLeft > 0) return false;
    this.dataDone += this.piece;
    this.piece = 0;
    if (this.dataDone === this.dataLength) {
      this.state = this.digest ? State.DIGEST : State.HEADER;
      if (!this.digest) this.finishData(true);
      return true;
    }
    this.giveBack();
    this.beginPiece(this.target!, this.targetFrom + this.dataDone, this.dataLength - this.dataDone);
    return sock.directLeft === 0;
  }

  private beginPiece(request: NvmfRequest, from: number, left: number): void {
    const iovs = request.iovs;
    if (iovs === null) {
      this.piece = left;
      this.sock.receiveInto(request.region, request.offset + from, left);
      return;
    }
    let i = 0;
    let skip = from;
    while (skip >= iovs.length[i]!) skip -= iovs.length[i++]!;
    this.piece = Math.min(left, iovs.length[i]! - skip);
    this.sock.receiveInto(iovs.region[i]!, iovs.offset[i]! + skip, this.piece);
  }

  private takeDigest(): boolean {
    if (this.available < PDU_DIGEST_LENGTH) return false;
    const sent = this.view.getUint32(this.sock.rxStart + this.at, true);
    this.at += PDU_DIGEST_LENGTH;
    this.state = State.HEADER;
    const found = dataDigest(this.regions, this.target!, this.targetFrom, this.dataLength);
    this.finishData(found === sent);
    return true;
  }

  private finishData(intact: boolean): void {
    const request = this.target!;
    this.target = null;
    this.handler.pduData(request, this.dataLength, intact);
  }
}
