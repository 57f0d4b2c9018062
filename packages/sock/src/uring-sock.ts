import type { RegionTable } from '@spdk-ts/env';
import type { Sock, SockAddress, SockOwner } from './sock.ts';
import type { UringSockGroup } from './uring-group.ts';

/** Pieces of one send: what the kernel takes in one gather list (IOV_MAX). */
export const PIECES_MAX = 1024;
/** Bytes of a connection's send area: two lists, each a message header (56 bytes, padded) and its pieces. */
const HEADER_BYTES = 64;
const LIST_BYTES = HEADER_BYTES + PIECES_MAX * 16;
export const SEND_BYTES = 2 * LIST_BYTES;

/** Up to here the unconsumed rest moves to the area's start before the next receive, bytes. */
const COMPACT_BYTES = 8192;

/** Memory of a connection: receive area, as bytes and as a place, and send area. */
export interface ConnectionMemory {
  readonly rx: Uint8Array;
  readonly rxRegion: number;
  readonly rxOffset: number;
  readonly rxAddress: number;
  readonly tx: Uint32Array;
  readonly txAddress: number;
}

/** Tags of a connection's operations. */
export const TAG_RECEIVE = 0;
export const TAG_SEND = 1;
export const TAG_CANCEL = 2;
export const TAG_CONNECT = 3;

/**
 * A connection over io_uring: one receive and one send under way at a time. What is sent meanwhile gathers in
 * the other of two lists, and leaves as one message when the first is out.
 */
export class UringSock implements Sock {
  readonly id: number;
  owner: SockOwner;
  ownerIndex = 0;
  local: SockAddress;
  peer: SockAddress;
  readonly rx: Uint8Array;
  readonly rxRegion: number;
  readonly rxOffset: number;
  rxStart = 0;
  rxEnd = 0;
  rxLimit: number;
  directLeft = 0;
  txQueued = 0;
  txDone = 0;
  closed = false;

  readonly fd: number;
  readonly handler: number;
  readonly memory: ConnectionMemory;
  /** Addresses of the receive area and of the send area; the send area as words. */
  private readonly rxAddress: number;
  private readonly txAddress: number;
  private readonly tx: Uint32Array;
  /** How many hold what has been received. */
  private holds = 0;

  receiving = false;
  /** No receive is under way because the area is full. */
  rxStalled = false;
  sending = false;
  connecting = false;
  paused = false;
  /** The peer's end or an error was seen; told once everything under way is back. */
  ended = false;
  error = '';
  told = false;
  readable = false;
  sent = false;
  connected = false;
  listed = false;
  flushListed = false;
  /** It waits for its turn to receive. */
  arming = false;
  /** A flushing close: how long it may take. */
  linger: NodeJS.Timeout | null = null;

  private readonly group: UringSockGroup;
  private readonly regions: RegionTable;
  private directRegion = -1;
  private directOffset = 0;
  /** What the receive under way fills: the area, or the direct place. */
  private receivingDirect = false;
  /** The list that gathers (0 or 1), its pieces and bytes; and the bytes of the list under way. */
  private list = 0;
  private pieces = 0;
  private gathered = 0;
  private underway = 0;
  private lastEnd = -1;
  /** Pieces beyond a list's room: (address, length) pairs in order. */
  private readonly overflow: number[] = [];

  constructor(
    id: number,
    group: UringSockGroup,
    fd: number,
    owner: SockOwner,
    memory: ConnectionMemory,
    addresses: { local: SockAddress; peer: SockAddress },
  ) {
    this.id = id;
    this.group = group;
    this.regions = group.regions;
    this.fd = fd;
    this.owner = owner;
    this.memory = memory;
    this.rx = memory.rx;
    this.rxRegion = memory.rxRegion;
    this.rxOffset = memory.rxOffset;
    this.rxLimit = memory.rx.length;
    this.rxAddress = memory.rxAddress;
    this.tx = memory.tx;
    this.txAddress = memory.txAddress;
    this.local = addresses.local;
    this.peer = addresses.peer;
    this.handler = group.ring.addHandler(group.handlerFor(this));
  }

  /** Prepares the next receive if there is room and none is under way. */
  arm(): void {
    if (this.receiving || this.paused || this.ended || this.connecting) return;
    if (this.closed) return;
    if (this.directLeft > 0) {
      const region = this.regions.get(this.directRegion)!;
      this.receivingDirect = true;
      this.receiving = true;
      this.group.receive(this, region.address + this.directOffset, this.directLeft);
      return;
    }
    if (this.holds === 0) this.makeRoom();
    const room = this.rx.length - this.rxEnd;
    if (room === 0) {
      this.rxStalled = true; // the owner must consume or release first
      return;
    }
    this.receivingDirect = false;
    this.receiving = true;
    this.group.receive(this, this.rxAddress + this.rxEnd, Math.min(room, this.rxLimit));
  }

  /** Moves what is not consumed to the start of the area, where that is little, or the area's end is reached. */
  private makeRoom(): void {
    const left = this.rxEnd - this.rxStart;
    if (this.rxStart === 0) return;
    if (left > 0) {
      if (left > COMPACT_BYTES && this.rxEnd < this.rx.length) return;
      this.rx.copyWithin(0, this.rxStart, this.rxEnd);
    }
    this.rxStart = 0;
    this.rxEnd = left;
  }

  /** A receive has ended. */
  received(result: number): void {
    this.receiving = false;
    if (result <= 0) {
      this.ended = true;
      return;
    }
    if (this.receivingDirect) {
      this.directLeft -= result;
      this.directOffset += result;
      if (this.directLeft === 0) this.readable = true;
    } else {
      const from = this.rxEnd;
      this.rxEnd += result;
      this.readable = true;
      if (this.directLeft > 0) this.redirect(from, result);
    }
  }

  /** Bytes landed in the area although a direct receive was asked for meanwhile: it takes the first of them. */
  private redirect(from: number, received: number): void {
    const length = Math.min(received, this.directLeft);
    const source = this.rx.subarray(from, from + length);
    this.regions.bytes(this.directRegion).set(source, this.directOffset);
    this.directOffset += length;
    this.directLeft -= length;
    this.consume(length);
  }

  consume(length: number): void {
    this.rxStart += length;
    if (this.rxStart > this.rxEnd)
      throw new RangeError(`consumed ${this.rxStart - this.rxEnd} bytes too many`);
    if (this.rxStalled) {
      this.rxStalled = false;
      this.group.tell(this);
    }
  }

  holdReceived(): void {
    this.holds++;
  }

  releaseReceived(): void {
    this.holds--;
    if (this.holds < 0) throw new RangeError('released more often than held');
    if (this.holds > 0) return;
    if (this.rxStalled || this.ended || this.closed) this.group.tell(this);
    this.rxStalled = false;
  }

  get txProgress(): number {
    return this.ended ? this.txDone : this.group.acknowledged(this.fd);
  }

  /** True while somebody reads what has been received. */
  get held(): boolean {
    return this.holds > 0;
  }

  receiveInto(region: number, offset: number, length: number): void {
    if (this.directLeft > 0) throw new Error('a direct receive is under way');
    if (!this.regions.contains(region, offset, length))
      throw new RangeError('the place is not in its region');
    const have = Math.min(length, this.rxEnd - this.rxStart);
    if (have > 0) {
      this.regions.bytes(region).set(this.rx.subarray(this.rxStart, this.rxStart + have), offset);
      this.consume(have);
    }
    this.directRegion = region;
    this.directOffset = offset + have;
    this.directLeft = length - have;
    if (this.directLeft === 0) {
      this.readable = true;
      this.group.tell(this);
    }
  }

  send(region: number, offset: number, length: number): void {
    const memory = this.regions.get(region);
    if (memory === undefined || offset < 0 || offset + length > memory.bytes.length)
      throw new RangeError(`bytes ${offset}…${offset + length} are not in region ${region}`);
    this.gather(memory.address + offset, length);
  }

  sendBytes(bytes: Uint8Array, start: number, end: number): void {
    if (start < 0 || end > bytes.length)
      throw new RangeError(`bytes ${start}…${end} are not in the memory sent`);
    this.gather(this.group.addressOf(bytes) + start, end - start);
  }

  private gather(address: number, length: number): void {
    this.txQueued += length;
    if (!this.flushListed) this.group.wantFlush(this);
    const at = (this.list * LIST_BYTES + HEADER_BYTES) / 4 + (this.pieces - 1) * 4;
    const tx = this.tx;
    if (address === this.lastEnd && this.overflow.length === 0) {
      tx[at + 2] = tx[at + 2]! + length;
      this.gathered += length;
      this.lastEnd = address + length;
      return;
    }
    if (this.pieces === PIECES_MAX || this.overflow.length > 0) {
      this.overflow.push(address, length);
      return;
    }
    tx[at + 4] = address;
    tx[at + 5] = address / 0x1_0000_0000;
    tx[at + 6] = length;
    tx[at + 7] = 0;
    this.pieces++;
    this.gathered += length;
    this.lastEnd = address + length;
  }

  /** Hands the gathered list over, if none is under way. */
  flush(): void {
    if (this.sending || this.pieces === 0 || this.ended || this.connecting) return;
    const base = this.txAddress + this.list * LIST_BYTES;
    const at = (this.list * LIST_BYTES) / 4;
    const tx = this.tx;
    const iov = base + HEADER_BYTES;
    const first = at + HEADER_BYTES / 4;
    if (this.pieces === 1)
      this.group.sendPiece(this, tx[first]! + tx[first + 1]! * 0x1_0000_0000, tx[first + 2]!);
    else {
      tx.fill(0, at, first);
      tx[at + 4] = iov; // msg_iov
      tx[at + 5] = iov / 0x1_0000_0000;
      tx[at + 6] = this.pieces; // msg_iovlen
      this.group.sendMessage(this, base);
    }
    this.sending = true;
    this.underway = this.gathered;
    this.list ^= 1;
    this.pieces = 0;
    this.gathered = 0;
    this.lastEnd = -1;
    if (this.overflow.length > 0) this.refill();
  }

  private refill(): void {
    const waiting = this.overflow.splice(0);
    for (let i = 0; i < waiting.length; i += 2) {
      this.txQueued -= waiting[i + 1]!;
      this.gather(waiting[i]!, waiting[i + 1]!);
    }
  }

  /** A send has ended. MSG_WAITALL: less than everything means that the connection is over. */
  wasSent(result: number): void {
    this.sending = false;
    if (result < this.underway) {
      this.ended = true;
      return;
    }
    this.txDone += this.underway;
    this.underway = 0;
    this.sent = true;
    if (this.pieces > 0) this.group.wantFlush(this);
  }

  get allSent(): boolean {
    return this.txDone === this.txQueued;
  }

  pauseReceive(): void {
    this.paused = true;
  }
  resumeReceive(): void {
    if (!this.paused) return;
    this.paused = false;
    this.group.tell(this);
  }

  close(flush = false): void {
    if (this.closed) return;
    this.closed = true;
    this.group.closing(this, flush && !this.ended);
  }
}
