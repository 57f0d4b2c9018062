import { dataDigest, placeDigest } from '@spdk-ts/bdev';
import type { Batch, RegionTable } from '@spdk-ts/env';
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
import type { NvmeRequest } from '../request.ts';

/** Who the receiver works for. A header is at `at` of `view`, complete, in itself valid and its digest right. */
export interface PduTaker {
  /** An ICResp, CapsuleResp, R2T or C2HTermReq. False: it was the last that is taken. */
  takePdu(type: number, view: DataView, at: number): boolean;
  /** A C2HData: the request that its data is for, or null, and it was the last that is taken. */
  takeData(view: DataView, at: number, length: number): NvmeRequest | null;
  /** All of it is in place, or will be when {@link PduReceiver.receive} returns. */
  dataTaken(request: NvmeRequest, length: number, flags: number, intact: boolean): void;
  /** The stream cannot be understood any more. `length` bytes of the header at fault are at `at`. */
  broken(fes: number, fei: number, at: number, length: number): void;
}

const State = { HEADER: 0, SKIP: 1, DATA: 2, DIGEST: 3, STOPPED: 4 } as const;

/** Data of this many bytes and more go straight from the socket to their place. */
export const LARGE_BYTES = 32 * 1024;
/** What is received at once while such data will follow some header, bytes. */
const SPARING_BYTES = 1024;

/**
 * Takes PDUs out of a socket's receive area. Headers are read where they lie; small data are copied, many by one native call;
 * large data go straight to their place.
 */
export class PduReceiver {
  readonly rules: PduRules;
  /** Large data are on their way: receive little beyond headers, so that they can go straight to their place. */
  sparing = false;
  /** PDUs that have begun to arrive. */
  pdus = 0;

  private readonly sock: Sock;
  private readonly regions: RegionTable;
  private readonly taker: PduTaker;
  private readonly view: DataView;
  private readonly batch: Batch | null;
  private state: number = State.HEADER;
  private running = false;
  /** Bytes of the area that are read and not yet given back. */
  private at = 0;
  private skip = 0;
  private target: NvmeRequest | null = null;
  /** Of the PDU whose data goes to the target: where that begins in the command's data, its length, what is done of it. */
  private from = 0;
  private length = 0;
  private done = 0;
  private piece = 0;
  private flags = 0;
  /** Bytes without which nothing can be taken. */
  private needed = 0;

  constructor(sock: Sock, regions: RegionTable, batch: Batch | null, rules: PduRules, taker: PduTaker) {
    this.sock = sock;
    this.regions = regions;
    this.batch = batch;
    this.rules = rules;
    this.taker = taker;
    this.view = viewOf(sock.rx);
  }

  /** True in the middle of a PDU: more bytes are due. */
  get midPdu(): boolean {
    return this.state !== State.HEADER || this.sock.rxEnd !== this.sock.rxStart;
  }

  /** From now on whatever arrives is dropped. */
  stop(): void {
    this.state = State.STOPPED;
  }

  /** Takes what has been received. Afterwards all data is in place. */
  receive(): void {
    if (this.running) return;
    this.running = true;
    let more = true;
    while (more) {
      switch (this.state) {
        case State.HEADER:
          more = this.takeHeader();
          break;
        case State.SKIP:
          more = this.takeSkip();
          break;
        case State.DATA:
          more = this.takeDirect();
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
    this.running = false;
  }

  /** Says how much may be received at once, bytes, where no large data are on their way. */
  limit(bytes: number): void {
    this.sock.rxLimit = Math.max(this.sparing ? SPARING_BYTES : bytes, this.needed);
  }

  /** Copies are made before what they are made of is given back. */
  private giveBack(): void {
    if (this.batch !== null) this.batch.run();
    const length = this.at;
    if (length === 0) return;
    this.at = 0;
    this.sock.consume(length);
  }

  private takeHeader(): boolean {
    const { sock, view, rules } = this;
    const at = sock.rxStart + this.at;
    const have = sock.rxEnd - at;
    if (have < pduHeaderLength.common) return false;
    const wrong = checkPduHeader(view, at, rules);
    if (wrong !== PDU_OK) return this.wrong(pduErrorFes(wrong), pduErrorFei(wrong), at, have);
    const type = view.getUint8(at);
    const hlen = pduHlen(view, at);
    const hdgst = type >= pduType.capsuleCmd && (rules.digests & pduFlag.hdgst) !== 0;
    const header = hdgst ? hlen + PDU_DIGEST_LENGTH : hlen;
    if (have < header) return false;
    if (hdgst) {
      const digest = view.getUint32(at + hlen, true);
      if (digest !== crc32c(sock.rx, at, at + hlen))
        return this.wrong(fes.headerDigestError, digest, at, hlen);
    }
    if (type === pduType.c2hData) return this.takeDataHeader(at, have, header);
    this.pdus++;
    this.at += header;
    if (this.taker.takePdu(type, view, at)) return true;
    this.stop();
    return true;
  }

  private wrong(status: number, information: number, at: number, have: number): boolean {
    const quoted = Math.min(have, Math.max(pduHeaderLength.common, pduHlen(this.view, at)));
    this.stop();
    this.taker.broken(status, information, at, quoted);
    return true;
  }

  private takeDataHeader(at: number, have: number, header: number): boolean {
    const { view } = this;
    const length = pduDataLength(view, at);
    const plen = pduPlen(view, at);
    const whole = have >= plen;
    if (!whole && length < LARGE_BYTES && plen <= this.sock.rx.length) {
      this.needed = plen - have;
      return false;
    }
    this.pdus++;
    this.needed = 0;
    const request = this.taker.takeData(view, at, length);
    if (request === null) {
      this.stop();
      return true;
    }
    const flags = view.getUint8(at + 1);
    if (whole) this.copyData(request, at, length, plen, flags);
    else {
      this.at += header;
      this.target = request;
      this.from = request.received;
      this.length = length;
      this.done = 0;
      this.piece = 0;
      this.flags = flags;
      this.skip = pduPdo(view, at) - header;
      this.state = this.skip === 0 ? State.DATA : State.SKIP;
    }
    return true;
  }

  /** All data of a PDU is in the area. */
  private copyData(request: NvmeRequest, at: number, length: number, plen: number, flags: number): void {
    const { sock } = this;
    const data = at + pduPdo(this.view, at);
    this.at += plen;
    let intact = true;
    if ((flags & pduFlag.ddgst) !== 0) {
      const sent = this.view.getUint32(data + length, true);
      const found =
        sock.rxRegion < 0
          ? crc32c(sock.rx, data, data + length)
          : placeDigest(this.regions, sock.rxRegion, sock.rxOffset + data, length);
      intact = found === sent;
    }
    if (request.iovs !== null) this.scatter(request, data, length);
    else this.copy(request.region, request.offset + request.received, data, length);
    this.taker.dataTaken(request, length, flags, intact);
  }

  private copy(region: number, offset: number, data: number, length: number): void {
    const { sock } = this;
    if (this.batch !== null && sock.rxRegion >= 0)
      this.batch.copy(region, offset, sock.rxRegion, sock.rxOffset + data, length);
    else this.regions.bytes(region).set(sock.rx.subarray(data, data + length), offset);
  }

  private scatter(request: NvmeRequest, data: number, length: number): void {
    const iovs = request.iovs!;
    let skip = request.received;
    for (let i = 0, done = 0; done < length; i++) {
      const piece = iovs.length[i]!;
      if (skip >= piece) {
        skip -= piece;
        continue;
      }
      const taken = Math.min(piece - skip, length - done);
      this.copy(iovs.region[i]!, iovs.offset[i]! + skip, data + done, taken);
      done += taken;
      skip = 0;
    }
  }

  private takeSkip(): boolean {
    const taken = Math.min(this.skip, this.sock.rxEnd - this.sock.rxStart - this.at);
    this.at += taken;
    this.skip -= taken;
    if (this.skip > 0) return false;
    this.state = State.DATA;
    return true;
  }

  /** Sends the stream into the target's memory, one piece after another. */
  private takeDirect(): boolean {
    const { sock } = this;
    if (sock.directLeft > 0) return false;
    this.done += this.piece;
    this.piece = 0;
    if (this.done === this.length) {
      if ((this.flags & pduFlag.ddgst) !== 0) this.state = State.DIGEST;
      else this.endData(true);
      return true;
    }
    this.giveBack();
    this.beginPiece(this.target!, this.from + this.done, this.length - this.done);
    return sock.directLeft === 0;
  }

  private beginPiece(request: NvmeRequest, from: number, left: number): void {
    const { iovs } = request;
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
    const at = this.sock.rxStart + this.at;
    if (this.sock.rxEnd - at < PDU_DIGEST_LENGTH) return false;
    this.at += PDU_DIGEST_LENGTH;
    const found = dataDigest(this.regions, this.target!, this.from, this.length);
    this.endData(found === this.view.getUint32(at, true));
    return true;
  }

  private endData(intact: boolean): void {
    const request = this.target!;
    this.target = null;
    this.state = State.HEADER;
    this.taker.dataTaken(request, this.length, this.flags, intact);
  }
}
