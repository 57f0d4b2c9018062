import { dataDigest } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import {
  crc32c,
  encodeH2cData,
  PDU_DIGEST_LENGTH,
  pduDataOffset,
  pduFlag,
  pduHeaderLength,
  pduType,
  sglId,
  viewOf,
} from '@spdk-ts/nvme-spec';
import type { Sock } from '@spdk-ts/sock';
import type { NvmeRequest } from '../request.ts';

/** The share of the ring of one command: its capsule's header, padding and digests, and headers of its data. */
const COMMAND_BYTES = 512;
const RING_BYTES_MIN = 64 * 1024;
const MARKS = 1024;
/** Words of a submission queue entry, and where it begins in its capsule. */
const SQE_WORDS = 16;
const SQE_AT = 2;

/** How a connection was agreed on in ICReq and ICResp. */
export interface TcpTerms {
  /** Digests in use, of `pduFlag`. */
  readonly digests: number;
  /** Alignment that the controller wants. */
  readonly cpda: number;
  readonly maxh2cdata: number;
}

/**
 * What a connection sends. PDU headers are laid out one behind the other in a ring of memory, so that commands without data
 * leave as one piece; data leaves from where it lies. Memory of the ring is in use until the socket has sent it.
 */
export class TcpSender {
  private readonly sock: Sock;
  private readonly regions: RegionTable;
  private readonly bytes: Uint8Array;
  private readonly words: Uint32Array;
  private readonly view: DataView;
  private readonly size: number;
  private readonly hdgst: number;
  private readonly digests: number;
  private readonly capsulePdo: number;
  private readonly dataPdo: number;
  private readonly maxh2cdata: number;
  private readonly h2cHeader: number;
  /** The most that one capsule takes, and one H2CData. */
  readonly capsuleRoom: number;
  private readonly h2cRoom: number;
  /** Where the next header goes, and where those begin that the socket does not have yet. */
  private head = 0;
  private pieceStart = 0;
  /** Bytes laid out since the beginning, with what was left out at the ring's end, and those that are free again. */
  private laidOut = 0;
  private freed = 0;
  /** What is free when the socket has sent up to a position: oldest first. */
  private readonly markPosition = new Float64Array(MARKS);
  private readonly markFreed = new Float64Array(MARKS);
  private markHead = 0;
  private marks = 0;

  constructor(sock: Sock, regions: RegionTable, terms: TcpTerms, depth: number) {
    const { digests, cpda, maxh2cdata } = terms;
    this.sock = sock;
    this.regions = regions;
    this.digests = digests;
    this.hdgst = digests & pduFlag.hdgst;
    this.maxh2cdata = maxh2cdata;
    this.capsulePdo = pduDataOffset(pduHeaderLength.capsuleCmd, this.hdgst, cpda);
    this.dataPdo = pduDataOffset(pduHeaderLength.h2cData, this.hdgst, cpda);
    this.h2cHeader = pduHeaderLength.h2cData + (this.hdgst === 0 ? 0 : PDU_DIGEST_LENGTH);
    this.capsuleRoom = this.capsulePdo + PDU_DIGEST_LENGTH;
    this.h2cRoom = this.dataPdo + PDU_DIGEST_LENGTH;
    this.size = Math.max(RING_BYTES_MIN, depth * COMMAND_BYTES);
    this.bytes = new Uint8Array(this.size);
    this.words = new Uint32Array(this.bytes.buffer);
    this.view = viewOf(this.bytes);
  }

  /** True if the ring has room for `length` bytes more in one piece, wherever its end is. */
  private hasRoom(length: number): boolean {
    const left = this.size - this.head;
    const wanted = left < length ? left + length : length;
    return this.laidOut - this.freed + wanted <= this.size;
  }

  /** True if a command can be laid out. */
  get takesCommand(): boolean {
    return this.hasRoom(this.capsuleRoom);
  }

  /** Takes bytes of the ring: there is room for them. */
  private reserve(length: number): number {
    const left = this.size - this.head;
    if (left < length) {
      this.pushPiece();
      this.laidOut += left;
      this.head = 0;
      this.pieceStart = 0;
    }
    const at = this.head;
    this.head = at + length;
    this.laidOut += length;
    return at;
  }

  private pushPiece(): void {
    if (this.head === this.pieceStart) return;
    this.sock.sendBytes(this.bytes, this.pieceStart, this.head);
    this.pieceStart = this.head;
  }

  /** Gives what was laid out to the socket. */
  push(): void {
    this.pushPiece();
    if (this.marks === MARKS) {
      const last = (this.markHead + this.marks - 1) % MARKS;
      this.markPosition[last] = this.sock.txQueued;
      this.markFreed[last] = this.laidOut;
      return;
    }
    const at = (this.markHead + this.marks++) % MARKS;
    this.markPosition[at] = this.sock.txQueued;
    this.markFreed[at] = this.laidOut;
  }

  /** The socket has sent more: the ring has room again. */
  reap(): void {
    const done = this.sock.txDone;
    while (this.marks > 0 && this.markPosition[this.markHead]! <= done) {
      this.freed = this.markFreed[this.markHead]!;
      this.markHead = (this.markHead + 1) % MARKS;
      this.marks--;
    }
  }

  private digestHeader(at: number, hlen: number): void {
    this.words[(at + hlen) >> 2] = crc32c(this.bytes, at, at + hlen);
  }

  /** Lays a command out. `in_capsule`: its data goes with it. There is room ({@link takesCommand}). */
  command(request: NvmeRequest, in_capsule: boolean): void {
    const { words, hdgst } = this;
    const { sqe, length } = request;
    const hlen = pduHeaderLength.capsuleCmd;
    const header = hdgst === 0 ? hlen : hlen + PDU_DIGEST_LENGTH;
    const end = in_capsule ? this.capsulePdo : header;
    const at = this.reserve(end);
    const w = at >> 2;
    if (in_capsule) {
      const ddgst = (this.digests & pduFlag.ddgst) === 0 ? 0 : PDU_DIGEST_LENGTH;
      words[w] = pduType.capsuleCmd | (this.digests << 8) | (hlen << 16) | (end << 24);
      words[w + 1] = end + length + ddgst;
    } else {
      words[w] = pduType.capsuleCmd | (hdgst << 8) | (hlen << 16);
      words[w + 1] = header;
    }
    words[w + 2] = (sqe[0]! & 0xffff) | (request.cid << 16);
    for (let i = 1; i < SQE_WORDS; i++) words[w + SQE_AT + i] = sqe[i]!;
    words[w + SQE_AT + 6] = 0;
    words[w + SQE_AT + 7] = 0;
    words[w + SQE_AT + 8] = length;
    words[w + SQE_AT + 9] = (in_capsule ? sglId.inCapsule : sglId.transportDataBlock) << 24;
    if (hdgst !== 0) this.digestHeader(at, hlen);
    if (!in_capsule) return;
    for (let i = header >> 2; i < end >> 2; i++) words[w + i] = 0;
    this.pushPiece();
    this.payload(request, 0, length);
    this.digestData(request, 0, length);
    request.sent_end = this.sock.txQueued;
  }

  private digestData(request: NvmeRequest, from: number, length: number): void {
    if ((this.digests & pduFlag.ddgst) === 0) return;
    const digest = dataDigest(this.regions, request, from, length);
    this.words[this.reserve(PDU_DIGEST_LENGTH) >> 2] = digest;
  }

  private payload(request: NvmeRequest, from: number, length: number): void {
    const { iovs } = request;
    if (iovs === null) {
      this.sock.send(request.region, request.offset + from, length);
      return;
    }
    let skip = from;
    let left = length;
    for (let i = 0; i < iovs.count && left > 0; i++) {
      const piece = iovs.length[i]!;
      if (skip < piece) {
        const taken = Math.min(piece - skip, left);
        this.sock.send(iovs.region[i]!, iovs.offset[i]! + skip, taken);
        left -= taken;
        skip = 0;
      } else skip -= piece;
    }
  }

  /**
   * Sends what an R2T has asked for, from `r2t_from` on, as far as there is room: the rest stays in `r2t_length`. True if all of it
   * is laid out.
   */
  data(request: NvmeRequest): boolean {
    while (request.r2t_length > 0) {
      if (!this.hasRoom(this.h2cRoom + PDU_DIGEST_LENGTH)) return false;
      const length = Math.min(request.r2t_length, this.maxh2cdata);
      const from = request.r2t_from;
      const pdo = this.dataPdo;
      const at = this.reserve(pdo);
      const flags = this.digests | (length === request.r2t_length ? pduFlag.last : 0);
      encodeH2cData(this.view, at, flags, pdo, request.cid, request.r2t_tag, from, length);
      if (this.hdgst !== 0) this.digestHeader(at, pduHeaderLength.h2cData);
      for (let end = at + this.h2cHeader; end < at + pdo; end++) this.bytes[end] = 0;
      this.pushPiece();
      this.payload(request, from, length);
      this.digestData(request, from, length);
      request.r2t_from = from + length;
      request.r2t_length -= length;
    }
    request.sent_end = this.sock.txQueued;
    return true;
  }
}
