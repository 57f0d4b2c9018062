import { dataDigest } from '@spdk-ts/bdev';
import type { Batch, RegionTable } from '@spdk-ts/env';
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
/** Data up to here leave as a copy behind their header, bytes: the kernel takes one long piece sooner than many short ones. */
const SMALL_BYTES = 1024;
/** Ids of regions that are left to others: with so many connections, further ones copy nothing. */
const REGIONS_LEFT_MIN = 8192;
/** Room for such copies, bytes: data beyond it leave from where they lie. */
const SMALL_ROOM = 64 * 1024;

/** What {@link TcpSender.reap} returns beside indexes: the answer's request is not in use any more; nothing was sent. */
export const NO_REQUEST = -2;
export const NO_ANSWER = -1;

/**
 * What a connection sends. PDU headers are laid out one behind the other in a ring of memory, so that headers
 * without data between them leave as one piece. Large data leaves from where it lies, and its request is in use until
 * the socket has sent that far; small data is copied behind its header, by the next run of `copies`.
 *
 * The ring cannot overflow: each command has its share from its arrival until its answer has been sent, commands are
 * bounded by the queue's depth, and copies have room of their own.
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
  /** Who copies small data, or null; the ring as a region; bytes of copies in it, and their limit. */
  private readonly copies: Batch | null;
  private readonly region: number;
  private readonly room: number;
  private copied = 0;
  private copiedUnaccounted = 0;
  /** The answer being laid out names memory of its request. */
  private lent = false;

  /** Answers on their way, oldest first: stream position of their end, request, bytes of the ring, and of copies in them. */
  private readonly fifoMask: number;
  private readonly fifoPosition: Float64Array;
  private readonly fifoRequest: Int32Array;
  private readonly fifoBytes: Int32Array;
  private readonly fifoCopied: Int32Array;
  private fifoHead = 0;
  private fifoTail = 0;

  /**
   * `copies`: who copies small data, run before the socket's group flushes; null: nothing is copied. `digests` as negotiated
   * (pduFlag); `hpda` is the host's alignment; `depth` bounds the commands.
   */
  constructor(
    sock: Sock,
    regions: RegionTable,
    copies: Batch | null,
    digests: number,
    hpda: number,
    depth: number,
  ) {
    this.sock = sock;
    this.regions = regions;
    this.flags = digests;
    this.hpda = hpda;
    const hdgst = digests & pduFlag.hdgst;
    this.c2hPdo = pduDataOffset(pduHeaderLength.c2hData, hdgst, hpda);
    const header = pduHeaderLength.r2t + (hdgst === 0 ? 0 : PDU_DIGEST_LENGTH);
    const perRequest = 2 * header + this.c2hPdo + PDU_DIGEST_LENGTH;
    this.copies = regions.localLeft > REGIONS_LEFT_MIN ? copies : null;
    this.room = this.copies === null ? 0 : Math.min(SMALL_ROOM, depth * SMALL_BYTES);
    // What is left at the ring's end, where the next answer does not fit, is less than the largest.
    const largest = perRequest + (this.copies === null ? 0 : SMALL_BYTES);
    this.bytes = new Uint8Array(depth * perRequest + EXTRA_BYTES + this.room + largest);
    this.region = this.copies === null ? -1 : regions.addLocal(this.bytes).id;
    this.view = viewOf(this.bytes);
    let entries = 4;
    while (entries < depth + 1) entries *= 2;
    this.fifoMask = entries - 1;
    this.fifoPosition = new Float64Array(entries);
    this.fifoRequest = new Int32Array(entries);
    this.fifoBytes = new Int32Array(entries);
    this.fifoCopied = new Int32Array(entries);
  }

  /** Takes `length` bytes of the ring, contiguous, and returns where: they are sent in their turn. */
  reserve(length: number): number {
    if (this.live === 0) {
      // From the start again: what is short of its depth uses the same few lines of the caches.
      this.head = 0;
      this.pieceStart = 0;
    }
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
    const { length } = request;
    const small = this.copies !== null && this.isSmall(request);
    const at = this.reserve(small ? pdo + length : pdo);
    const flags = this.flags | pduFlag.last | (success ? pduFlag.success : 0);
    encodeC2hData(this.view, at, flags, pdo, request.cid, 0, request.length);
    let end = at + pduHeaderLength.c2hData;
    if ((flags & pduFlag.hdgst) !== 0) {
      this.digest(at);
      end += PDU_DIGEST_LENGTH;
    }
    if (this.hpda !== 0) for (; end < at + pdo; end++) this.bytes[end] = 0;
    if (small) {
      this.copied += length;
      this.copiedUnaccounted += length;
      this.copies!.copy(this.region, at + pdo, request.region, request.offset, length);
    } else {
      this.push();
      this.payload(request);
      this.lent = true;
    }
    if ((flags & pduFlag.ddgst) !== 0) {
      const digest = dataDigest(this.regions, request, 0, request.length);
      this.view.setUint32(this.reserve(PDU_DIGEST_LENGTH), digest, true);
    }
  }

  /** True if a request's data are to be copied. */
  private isSmall({ length, iovs }: NvmfRequest): boolean {
    return length <= SMALL_BYTES && iovs === null && this.copied + length <= this.room;
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

  /**
   * Everything of a request's answer has been laid out. True: its memory is in use until the socket has sent that far; false:
   * only until the copies are made.
   */
  answered(request: NvmfRequest): boolean {
    const { lent } = this;
    this.lent = false;
    const slot = this.fifoTail;
    this.fifoTail = (slot + 1) & this.fifoMask;
    if (this.fifoTail === this.fifoHead) throw new Error('list of answers overflows');
    this.fifoPosition[slot] = this.sock.txQueued + this.head - this.pieceStart;
    this.fifoRequest[slot] = lent ? request.index : NO_REQUEST;
    this.fifoBytes[slot] = this.unaccounted;
    this.unaccounted = 0;
    this.fifoCopied[slot] = this.copiedUnaccounted;
    this.copiedUnaccounted = 0;
    return lent;
  }

  /** The oldest answer that has been sent, which is then forgotten here: the index of its request, NO_REQUEST, or NO_ANSWER. */
  reap(): number {
    const slot = this.fifoHead;
    if (slot === this.fifoTail || this.fifoPosition[slot]! > this.sock.txDone) return NO_ANSWER;
    this.fifoHead = (slot + 1) & this.fifoMask;
    this.live -= this.fifoBytes[slot]!;
    this.copied -= this.fifoCopied[slot]!;
    return this.fifoRequest[slot]!;
  }

  /** The connection is gone. */
  end(): void {
    if (this.copies === null) return;
    this.copies.run(); // some may be for this ring
    this.regions.remove(this.region);
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
