/**
 * Stream sockets for reactors, made for rings: bytes are received into memory that the consumer reads in place,
 * what is sent is a list of places in memory, and completions are found by polling. Nothing here allocates per
 * message or returns a promise.
 */

/** Told by {@link SockGroup.poll}, never from elsewhere. */
export interface SockOwner {
  /** There are new bytes between `rxStart` and `rxEnd`, or a direct receive ended. */
  sockReadable(sock: Sock): void;
  /** `txDone` moved on: memory sent before that position is free again. */
  sockSent(sock: Sock): void;
  /** The connection is over; `error` is empty for an orderly end. Nothing follows. All its memory is free again. */
  sockClosed(sock: Sock, error: string): void;
  /** An outgoing connection is established. */
  sockConnected?(sock: Sock): void;
}

export interface SockAddress {
  readonly adrfam: 'IPv4' | 'IPv6';
  readonly traddr: string;
  readonly trsvcid: string;
}

/** One connection. Positions are byte counts since its start, offsets are bytes in the receive area. */
export interface Sock {
  readonly id: number;
  owner: SockOwner;
  /** The owner's own number. */
  ownerIndex: number;
  readonly local: SockAddress;
  readonly peer: SockAddress;

  /** The receive area: contiguous memory of {@link SockOptions.receive_bytes}. */
  readonly rx: Uint8Array;
  /** The area as a place: its region, or -1 where it is in none, and the offset of rx[0]. */
  readonly rxRegion: number;
  readonly rxOffset: number;
  /** The received and unconsumed bytes are rx[rxStart … rxEnd). */
  rxStart: number;
  rxEnd: number;
  /**
   * Gives the first `length` unconsumed bytes back. The rest may move: offsets into `rx` are void afterwards, unless
   * the rest is empty or the owner keeps its offset relative to rxStart.
   */
  consume(length: number): void;

  /**
   * What has been received so far, consumed or not, stays where it is until as many calls of
   * {@link releaseReceived}; meanwhile only what is left of the area is received into. Only where `rxRegion` is set.
   */
  holdReceived(): void;
  releaseReceived(): void;
  /** True while nothing is received because the area is full: it is the owner that the peer waits for. */
  readonly rxStalled: boolean;
  /**
   * How much may arrive in the area at once, bytes: for who expects data whose place it will know when it has seen
   * their header. Not every implementation can keep to it.
   */
  rxLimit: number;

  /**
   * The next `length` bytes of the stream go to `offset` of `region`: those already received are copied now, the
   * others arrive there without a stop in the receive area. `directLeft` counts down to 0; sockReadable is called
   * when it gets there. Only when no direct receive is under way.
   */
  receiveInto(region: number, offset: number, length: number): void;
  readonly directLeft: number;

  /**
   * Appends bytes to what will be sent. They leave at the group's next flush (or a flushing close), are not looked at before, and
   * must then stay as they are until `txDone` reaches the value that `txQueued` has after this call.
   */
  send(region: number, offset: number, length: number): void;
  /** The same for bytes in memory that is no region. */
  sendBytes(bytes: Uint8Array, start: number, end: number): void;
  readonly txQueued: number;
  readonly txDone: number;
  /** Moves on while the peer takes bytes, within a long message as well. Costs a system call: not for every poll. */
  readonly txProgress: number;

  /** Stops or resumes receiving: back-pressure. What is already received is still delivered. */
  pauseReceive(): void;
  resumeReceive(): void;

  /**
   * Ends the connection. With `flush`, after what was queued has been sent (at most `linger_ms`). The owner is
   * told by sockClosed.
   */
  close(flush?: boolean): void;
  readonly closed: boolean;
}

export interface SockListener {
  readonly address: SockAddress;
  /** Stops listening. Accepted connections live on. */
  close(): Promise<void>;
}

/** Told of each accepted connection, in {@link SockGroup.poll}. The socket may be kept, or handed to another reactor. */
export interface SockAcceptor {
  sockAccepted(sock: AcceptedSock): void;
}

/** A connection that no group serves yet. */
export interface AcceptedSock {
  readonly local: SockAddress;
  readonly peer: SockAddress;
  /** Serves it with this reactor's group. */
  attach(owner: SockOwner): Sock;
  /**
   * A process-wide descriptor for another reactor's {@link SockGroup.adopt}, or -1 where this implementation has
   * none: then it can only be attached here. This object is void afterwards.
   */
  detach(): number;
  /** Closes it unserved. */
  close(): void;
}

/** Told how the TLS handshake of a connection ended, outside {@link SockGroup.poll}. */
export interface SecureAcceptor {
  /** The peer has proved to have the key of `identity`. */
  sockSecured(sock: AcceptedSock, identity: string): void;
  /** There is no connection any more. */
  sockRefused(reason: string): void;
}

export interface SockOptions {
  /** Bytes of a connection's receive area. */
  readonly receive_bytes: number;
  /** How long a flushing close may take, ms. */
  readonly linger_ms: number;
  /**
   * Where several connections of a group have something, each receives once in so many iterations (a power of two), and the rest
   * with it; 1: at once, for who waits for answers. `uring` only.
   */
  readonly receive_turns: number;
  /** SO_SNDBUF and SO_RCVBUF, bytes; 0: the system sizes the buffer as the connection needs it. `uring` only. */
  readonly send_buf_size: number;
  readonly recv_buf_size: number;
  /** TCP_QUICKACK: what arrives is acknowledged at once. `uring` only. */
  readonly enable_quickack: boolean;
}

export const defaultSockOptions: SockOptions = {
  receive_bytes: 256 * 1024,
  linger_ms: 1000,
  receive_turns: 8,
  send_buf_size: 0,
  recv_buf_size: 0,
  enable_quickack: false,
};

/** A reactor's sockets. */
export interface SockGroup {
  readonly implementation: string;
  /** True if accepted connections can move between reactors. */
  readonly canDetach: boolean;
  /**
   * Delivers what happened since the last call: accepted, received, sent, closed. Returns the work done. The
   * consumer's sends go out, and more is received, at the end of the iteration, by {@link flush}.
   */
  poll(): number;
  /**
   * Sends everything that was queued in this iteration, and lets more be received. Returns the number of sockets
   * that had something to send.
   */
  flush(): number;
  /** Rejects with an Error whose `code` is EADDRINUSE, EADDRNOTAVAIL, EACCES … */
  listen(traddr: string, trsvcid: number, acceptor: SockAcceptor): Promise<SockListener>;
  /** `from`: numeric address of this side; the system chooses one if it is absent or empty. */
  connect(traddr: string, trsvcid: number, owner: SockOwner, from?: string): Sock;
  adopt(fd: number, owner: SockOwner): Sock;
  /** Connections that are open. */
  readonly size: number;
  /** Closes everything. */
  destroy(): Promise<void>;
}
