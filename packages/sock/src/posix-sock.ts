import type { Socket } from 'node:net';
import type { RegionTable } from '@spdk-ts/env';
import type { PosixSockGroup } from './posix-group.ts';
import type { Sock, SockAddress, SockOwner } from './sock.ts';

/** How long a connection is silent before the kernel asks whether the peer is still there. */
const KEEP_ALIVE_MS = 30_000;

/** A connection over node:net. */
export class PosixSock implements Sock {
  readonly id: number;
  owner: SockOwner;
  ownerIndex = 0;
  readonly local: SockAddress;
  readonly peer: SockAddress;
  readonly rx: Uint8Array;
  readonly rxRegion = -1;
  readonly rxOffset = 0;
  rxStart = 0;
  rxEnd = 0;
  rxLimit = Number.POSITIVE_INFINITY;
  directLeft = 0;
  txQueued = 0;
  txDone = 0;
  closed = false;

  /** What the group's next poll has to tell. */
  readable = false;
  sent = false;
  connected = false;
  ended = false;
  error = '';
  /** On the group's list of sockets with something to tell, or to flush. */
  listed = false;
  flushListed = false;

  private readonly socket: Socket;
  private readonly group: PosixSockGroup;
  private readonly regions: RegionTable;
  private directRegion = -1;
  private directOffset = 0;
  /** Received chunks that found the area full, oldest first. */
  private backlog: Uint8Array[] = [];
  private paused = false;
  private readonly pending: Uint8Array[] = [];
  private linger: NodeJS.Timeout | null = null;

  constructor(
    id: number,
    group: PosixSockGroup,
    socket: Socket,
    owner: SockOwner,
    addresses: { local: SockAddress; peer: SockAddress },
    /** What says that an outgoing connection is established. */
    established: 'connect' | 'secureConnect' = 'connect',
  ) {
    this.id = id;
    this.group = group;
    this.regions = group.regions;
    this.socket = socket;
    this.owner = owner;
    this.local = addresses.local;
    this.peer = addresses.peer;
    this.rx = new Uint8Array(group.options.receive_bytes);
    socket.setNoDelay(true);
    // A peer that vanished without a word is noticed even where no protocol above asks for signs of life.
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', (chunk: Uint8Array) => this.take(chunk));
    socket.on(established, () => {
      this.connected = true;
      group.tell(this);
    });
    socket.on('error', (error) => {
      this.error = error.message;
    });
    // The peer will send no more. Nothing that we serve goes on over half a connection.
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      if (this.linger !== null) clearTimeout(this.linger);
      this.ended = true;
      group.tell(this);
    });
    if (socket.destroyed) {
      // It was over before anybody served it: its 'close' has been, or finds the handler above.
      this.ended = true;
      group.tell(this);
    }
    // An accepted socket is paused until somebody serves it.
    socket.resume();
  }

  /** New bytes from the event loop. */
  private take(chunk: Uint8Array): void {
    if (this.closed) return;
    if (this.backlog.length > 0) this.backlog.push(chunk);
    else {
      const rest = this.place(chunk);
      if (rest !== null) this.backlog.push(rest);
    }
    if (this.backlog.length > 0) this.socket.pause();
    this.readable = true;
    this.group.tell(this);
  }

  /** Puts bytes where they belong; what finds no room comes back. */
  private place(chunk: Uint8Array): Uint8Array | null {
    let from = 0;
    if (this.directLeft > 0) {
      const length = Math.min(this.directLeft, chunk.length);
      this.regions.bytes(this.directRegion).set(chunk.subarray(0, length), this.directOffset);
      this.directOffset += length;
      this.directLeft -= length;
      from = length;
      if (from === chunk.length) return null;
    }
    // While a finished direct receive is not yet acknowledged, what follows it goes to the area as usual.
    for (;;) {
      // The owner may need more than there is room for behind what it has not consumed.
      if (this.rxEnd === this.rx.length && this.rxStart > 0) this.compact();
      const room = Math.min(this.rx.length - this.rxEnd, chunk.length - from);
      this.rx.set(
        from === 0 && room === chunk.length ? chunk : chunk.subarray(from, from + room),
        this.rxEnd,
      );
      this.rxEnd += room;
      from += room;
      if (from === chunk.length) return null;
      if (this.rxStart === 0) return chunk.subarray(from);
    }
  }

  private compact(): void {
    this.rx.copyWithin(0, this.rxStart, this.rxEnd);
    this.rxEnd -= this.rxStart;
    this.rxStart = 0;
  }

  private drainBacklog(): void {
    while (this.backlog.length > 0) {
      const chunk = this.backlog[0]!;
      const rest = this.place(chunk);
      if (rest === null) this.backlog.shift();
      else if (rest.length === chunk.length) break;
      else this.backlog[0] = rest;
      this.readable = true;
      this.group.tell(this);
    }
    if (this.backlog.length === 0 && !this.paused && !this.closed) this.socket.resume();
  }

  consume(length: number): void {
    this.rxStart += length;
    if (this.rxStart > this.rxEnd)
      throw new RangeError(`consumed ${this.rxStart - this.rxEnd} bytes too many`);
    if (this.rxStart === this.rxEnd) {
      this.rxStart = 0;
      this.rxEnd = 0;
    }
    if (this.backlog.length > 0) {
      if (this.rxStart > 0) this.compact();
      this.drainBacklog();
    }
  }

  receiveInto(region: number, offset: number, length: number): void {
    if (this.directLeft > 0) throw new Error('a direct receive is under way');
    const have = Math.min(length, this.rxEnd - this.rxStart);
    if (have > 0) {
      this.regions.bytes(region).set(this.rx.subarray(this.rxStart, this.rxStart + have), offset);
    }
    this.directRegion = region;
    this.directOffset = offset + have;
    this.directLeft = length - have;
    if (have > 0) this.consume(have);
    else if (this.backlog.length > 0) this.drainBacklog();
    if (this.directLeft === 0) {
      this.readable = true;
      this.group.tell(this);
    }
  }

  get rxStalled(): boolean {
    return this.backlog.length > 0;
  }

  get txProgress(): number {
    return this.txDone;
  }

  holdReceived(): void {
    throw new Error('what node:net received is in no region: it cannot be held');
  }
  releaseReceived(): void {}

  send(region: number, offset: number, length: number): void {
    this.sendBytes(this.regions.bytes(region), offset, offset + length);
  }

  sendBytes(bytes: Uint8Array, start: number, end: number): void {
    if (start < 0 || end > bytes.length)
      throw new RangeError(`bytes ${start}…${end} are not in the memory sent`);
    this.pending.push(bytes.subarray(start, end));
    this.txQueued += end - start;
    this.group.wantFlush(this);
  }

  /** Hands what is queued to the kernel as one gather list. */
  flush(): void {
    const pending = this.pending;
    if (pending.length === 0) return;
    const position = this.txQueued;
    if (!this.closed) {
      this.socket.cork();
      for (let i = 0; i < pending.length - 1; i++) this.socket.write(pending[i]!);
      this.socket.write(pending[pending.length - 1]!, (error) => {
        if (error) return; // 'close' follows and frees everything
        this.txDone = position;
        this.sent = true;
        this.group.tell(this);
      });
      this.socket.uncork();
    }
    pending.length = 0;
  }

  pauseReceive(): void {
    this.paused = true;
    this.socket.pause();
  }

  resumeReceive(): void {
    if (!this.paused) return;
    this.paused = false;
    if (this.backlog.length === 0) this.socket.resume();
  }

  close(flush = false): void {
    if (this.closed) return;
    if (flush) this.flush();
    this.closed = true;
    if (!flush) {
      this.socket.destroy();
      return;
    }
    this.socket.resume(); // the peer's end must be seen, its bytes are dropped
    this.socket.end();
    this.linger = setTimeout(() => this.socket.destroy(), this.group.options.linger_ms);
  }
}
