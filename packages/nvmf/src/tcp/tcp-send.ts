import { dataDigest } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import {
  CAPSULE_ENTRY_OFFSET,
  crc32c,
  encodeC2hData,
  encodeCapsuleRespHeader,
  encodeCqe,
  encodeIcResp,
  encodeR2t,
  encodeTermReq,
  PDU_DIGEST_LENGTH,
  pduDataOffset,
  pduFlag,
  pduHeaderLength,
  pduType,
  TERM_REQ_PLEN_MAX,
  viewOf,
} from '@spdk-ts/nvme-spec';
import type { Sock } from '@spdk-ts/sock';
import { type NvmfRequest, Transfer } from '../request.ts';

/** Room for ICResp and a termination request besides the answers to commands. */
const EXTRA_BYTES = 512;

/**
 * What a connection sends. PDU headers are laid out one behind the other in a ring of memory, so that headers
 * without data between them leave as one piece; data leaves from where it lies. An answer's request, and its part
 * of the ring, are in use until the socket has sent that far.
 *
 * The ring cannot overflow: each request has its share from its command on until its answer has been sent, and
 * commands are bounded by the queue's depth.
 */
export class TcpSender {
  readonly sock: Sock;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  private readonly regions: RegionTable;
  private readonly flags: number;
  private readonly hpda: number;
  private readonly c2hPdo: number;
  /** Where the next header goes, and where those begin that the socket does not have yet. */
  private head = 0;
  private pieceStart = 0;
  /** Bytes of the ring in use, and those of them that no answer accounts for yet. */
  private live = 0;
  private unaccounted = 0;

  /** Answers on their way, oldest first: stream position of their end, request, bytes of the ring. */
  private readonly fifoMask: number;
  private readonly fifoPosition: Float64Array;
  private readonly fifoRequest: Int32Array;
  private readonly fifoBytes: Int32Array;
  private fifoHead = 0;
  private fifoTail = 0;

  /** `digests` as negotiated (pduFlag); `hpda` is the host's alignment; `depth` bounds the requests. */
  constructor(sock: Sock, regions: RegionTable, digests: number, hpda: number, depth: number) {
    this.sock = sock;
    this.regions = regions;
    this.flags = digests;
    this.hpda = hpda;
    const hdgst = digests & pduFlag.hdgst;
    this.c2hPdo = pduDataOffset(pduHeaderLength.c2hData, hdgst, hpda);
    const header = pduHeaderLength.r2t + (hdgst === 0 ? 0 : PDU_DIGEST_LENGTH);
    const perRequest = 2 * header + this.c2hPdo + PDU_DIGEST_LENGTH;
    this.bytes = new Uint8Array(depth * perRequest + EXTRA_BYTES + perRequest);
    this.view = viewOf(this.bytes);
    let entries = 4;
    while (entries < depth + 1) entries *= 2;
    this.fifoMask = entries - 1;
    this.fifoPosition = new Float64Array(entries);
    this.fifoRequest = new Int32Array(entries);
    this.fifoBytes = new Int32Array(entries);
  }

  /** Takes `length` bytes of the ring, contiguous, and returns where: they are sent in their turn. */
  reserve(length: number): number {
    if (this.head + length > this.bytes.length) {
      this.push();
      const waste = this.bytes.length - this.head;
      this.live += waste;
      this.unaccounted += waste;
      this.head = 0;
      this.pieceStart = 0;
    }
    const at = this.head;
    this.head += length;
    this.live += length;
    this.unaccounted += length;
    if (this.live > this.bytes.length) throw new Error('ring of PDU headers overflows');
    return at;
  }

  /** Gives the headers laid out so far to the socket. */
  push(): void {
    if (this.head === this.pieceStart) return;
    this.sock.sendBytes(this.bytes, this.pieceStart, this.head);
    this.pieceStart = this.head;
  }

  private digest(at: number): void {
    this.view.setUint32(at + pduHeaderLength.r2t, crc32c(this.bytes, at, at + pduHeaderLength.r2t), true);
  }

  /** Asks for all of a command's data. */
  r2t(request: NvmfRequest): void {
    const hdgst = this.flags & pduFlag.hdgst;
    const at = this.reserve(pduHeaderLength.r2t + (hdgst === 0 ? 0 : PDU_DIGEST_LENGTH));
    encodeR2t(this.view, at, hdgst, request.cid, request.index, 0, request.length);
    if (hdgst !== 0) this.digest(at);
  }

  /**
   * Sends the data of a command that succeeded and has some for the host. True if that is all of the answer, as it
   * may be where the host `needsNoResponse`.
   */
  dataOf(request: NvmfRequest, needsNoResponse: boolean): boolean {
    if (request.transfer !== Transfer.CONTROLLER_TO_HOST || request.status !== 0) return false;
    if (request.length === 0 || (request.region < 0 && request.iovs === null)) return false;
    const success = needsNoResponse && request.dw0 === 0 && request.dw1 === 0;
    this.data(request, success);
    return success;
  }

  /** Sends all of a request's data in one PDU. `success`: no CapsuleResp follows. */
  private data(request: NvmfRequest, success: boolean): void {
    const pdo = this.c2hPdo;
    const at = this.reserve(pdo);
    const flags = this.flags | pduFlag.last | (success ? pduFlag.success : 0);
    encodeC2hData(this.view, at, flags, pdo, request.cid, 0, request.length);
    let end = at + pduHeaderLength.c2hData;
    if ((flags & pduFlag.hdgst) !== 0) {
      this.digest(at);
      end += PDU_DIGEST_LENGTH;
    }
    if (this.hpda !== 0) for (; end < at + pdo; end++) this.bytes[end] = 0;
    this.push();
    this.payload(request);
    if ((flags & pduFlag.ddgst) !== 0) {
      const digest = dataDigest(this.regions, request, 0, request.length);
      this.view.setUint32(this.reserve(PDU_DIGEST_LENGTH), digest, true);
    }
  }

  private payload(request: NvmfRequest): void {
    const iovs = request.iovs;
    if (iovs === null) {
      this.sock.send(request.region, request.offset, request.length);
      return;
    }
    let left = request.length;
    for (let i = 0; i < iovs.count && left > 0; i++) {
      const length = Math.min(left, iovs.length[i]!);
      if (length > 0) this.sock.send(iovs.region[i]!, iovs.offset[i]!, length);
      left -= length;
    }
  }

  /** Sends a completion queue entry. */
  response(request: NvmfRequest, sqhd: number): void {
    const hdgst = this.flags & pduFlag.hdgst;
    const at = this.reserve(pduHeaderLength.capsuleResp + (hdgst === 0 ? 0 : PDU_DIGEST_LENGTH));
    encodeCapsuleRespHeader(this.view, at, hdgst);
    const entry = at + CAPSULE_ENTRY_OFFSET;
    encodeCqe(this.view, entry, request.dw0, request.dw1, sqhd, 0, request.cid, request.status, 0);
    if (hdgst !== 0) this.digest(at);
  }

  /** Everything of a request's answer has been laid out: it is in use until the socket has sent that far. */
  answered(request: NvmfRequest): void {
    const slot = this.fifoTail;
    this.fifoTail = (slot + 1) & this.fifoMask;
    if (this.fifoTail === this.fifoHead) throw new Error('list of answers overflows');
    this.fifoPosition[slot] = this.sock.txQueued + this.head - this.pieceStart;
    this.fifoRequest[slot] = request.index;
    this.fifoBytes[slot] = this.unaccounted;
    this.unaccounted = 0;
  }

  /** The index of the oldest request whose answer has been sent, which is then forgotten here; -1 if there is none. */
  reap(): number {
    const slot = this.fifoHead;
    if (slot === this.fifoTail || this.fifoPosition[slot]! > this.sock.txDone) return -1;
    this.fifoHead = (slot + 1) & this.fifoMask;
    this.live -= this.fifoBytes[slot]!;
    return this.fifoRequest[slot]!;
  }

  /** Answers the ICReq. */
  icResp(cpda: number, digests: number, maxh2cdata: number): void {
    const at = this.reserve(pduHeaderLength.icResp);
    encodeIcResp(this.view, at, { pfv: 0, cpda, dgst: digests, maxh2cdata });
  }

  /** Sends a termination request that quotes `length` bytes of the PDU at fault, at `at` of `pdu`. */
  termReq(fes: number, fei: number, pdu: Uint8Array, at: number, length: number): void {
    const out = new Uint8Array(TERM_REQ_PLEN_MAX);
    const plen = encodeTermReq(out, pduType.c2hTermReq, fes, fei, pdu, at, length);
    this.push();
    this.sock.sendBytes(out, 0, plen);
  }
}
