import { getSystemErrorName } from 'node:util';
import type { RegionTable } from '@spdk-ts/env';
import type { Native } from '@spdk-ts/native';
import { type Reactor, type Uring, type UringHandler, UringOp } from '@spdk-ts/reactor';
import {
  type AcceptedSock,
  defaultSockOptions,
  type Sock,
  type SockAcceptor,
  type SockAddress,
  type SockGroup,
  type SockListener,
  type SockOptions,
  type SockOwner,
} from './sock.ts';
import { SockList } from './sock-list.ts';
import {
  type ConnectionMemory,
  SEND_BYTES,
  TAG_CANCEL,
  TAG_CONNECT,
  TAG_RECEIVE,
  TAG_SEND,
  UringSock,
} from './uring-sock.ts';

const BACKLOG = 511;
const MSG_WAITALL = 0x100;
const MSG_NOSIGNAL = 0x4000;
const SOCK_CLOEXEC = 0o2000000;
const ACCEPT_MULTISHOT = 1;
const CQE_MORE = 2;
const CANCEL_FD_ALL = (1 << 0) | (1 << 1);
const ECANCELED = -125;
/** Connections whose memory is allocated at once. */
const SLAB_CONNECTIONS = 16;

interface Accepting {
  readonly fd: number;
  readonly acceptor: SockAcceptor;
  readonly handler: number;
  closed: boolean;
  onClosed: (() => void) | null;
}

/** The name of a negative errno: ECONNRESET. */
const errnoName = (result: number): string => getSystemErrorName(result);

function addressOf({ address, port }: { address: string; port: number }): SockAddress {
  return { adrfam: address.includes(':') ? 'IPv6' : 'IPv4', traddr: address, trsvcid: String(port) };
}

/** Sockets over the reactor's io_uring: nothing is copied, and one system call a poll serves all of them. */
export class UringSockGroup implements SockGroup {
  readonly implementation = 'uring';
  readonly canDetach = true;
  readonly regions: RegionTable;
  readonly ring: Uring;
  readonly options: SockOptions;
  private readonly reactor: Reactor;
  private readonly native: Native;
  private told = new SockList();
  private toldNext = new SockList();
  private flushing = new SockList();
  /** Sockets that may receive again: when what they brought in this iteration has been dealt with. */
  private readonly arming = new SockList();
  private flushed = new SockList();
  private turn = 0;
  private readonly accepted: { fd: number; acceptor: SockAcceptor }[] = [];
  private readonly listeners = new Set<Accepting>();
  private readonly socks = new Set<UringSock>();
  private readonly memory: ConnectionMemory[] = [];
  /** Addresses of memory that is sent from without being a region. */
  private readonly addresses = new WeakMap<ArrayBufferLike, number>();
  /** What was asked for last. */
  private lastBytes: Uint8Array | null = null;
  private lastAddress = 0;
  private ids = 0;

  constructor(reactor: Reactor, native: Native, ring: Uring, options: SockOptions = defaultSockOptions) {
    this.reactor = reactor;
    this.native = native;
    this.ring = ring;
    this.regions = reactor.regions;
    this.options = options;
  }

  get size(): number {
    return this.socks.size;
  }

  /** Address of the first byte of a view. */
  addressOf(bytes: Uint8Array): number {
    if (bytes !== this.lastBytes) {
      this.lastAddress = this.lookUpAddress(bytes);
      this.lastBytes = bytes;
    }
    return this.lastAddress;
  }

  private lookUpAddress(bytes: Uint8Array): number {
    let start = this.addresses.get(bytes.buffer);
    if (start === undefined) {
      start = this.native.addressOf(new Uint8Array(bytes.buffer));
      this.addresses.set(bytes.buffer, start);
    }
    return start + bytes.byteOffset;
  }

  // --- for sockets ---

  handlerFor(sock: UringSock): UringHandler {
    return {
      uringComplete: (tag, result) => {
        if (tag === TAG_RECEIVE) sock.received(result);
        else if (tag === TAG_SEND) sock.wasSent(result);
        else if (tag === TAG_CONNECT) this.connectEnded(sock, result);
        if (result < 0 && result !== ECANCELED && sock.error === '' && tag !== TAG_CANCEL)
          sock.error = errnoName(result);
        this.tell(sock);
      },
    };
  }

  private connectEnded(sock: UringSock, result: number): void {
    sock.connecting = false;
    if (result < 0) {
      sock.ended = true;
      return;
    }
    sock.connected = true;
    sock.local = addressOf(this.native.socketName(sock.fd));
  }

  tell(sock: UringSock): void {
    if (sock.listed) return;
    sock.listed = true;
    this.toldNext.push(sock);
    this.reactor.wake();
  }

  wantFlush(sock: UringSock): void {
    if (sock.flushListed) return;
    sock.flushListed = true;
    this.flushing.push(sock);
  }

  receive(sock: UringSock, address: number, length: number): void {
    this.ring.prepare(UringOp.RECV, sock.fd, address, length, sock.handler, TAG_RECEIVE);
  }

  acknowledged(fd: number): number {
    return this.native.socketAcknowledged(fd);
  }

  /** Sends one piece. */
  sendPiece(sock: UringSock, address: number, length: number): void {
    const at = this.ring.prepare(UringOp.SEND, sock.fd, address, length, sock.handler, TAG_SEND);
    this.ring.words[at + 7] = MSG_WAITALL | MSG_NOSIGNAL;
  }

  /** Sends the pieces that a message header names. */
  sendMessage(sock: UringSock, header: number): void {
    const at = this.ring.prepare(UringOp.SENDMSG, sock.fd, header, 1, sock.handler, TAG_SEND);
    this.ring.words[at + 7] = MSG_WAITALL | MSG_NOSIGNAL;
  }

  /** A socket was closed by its owner: what is under way is cut off, at once or when everything is sent. */
  closing(sock: UringSock, flush: boolean): void {
    if (flush) {
      sock.linger = setTimeout(() => {
        sock.ended = true;
        this.tell(sock);
      }, this.options.linger_ms);
      this.wantFlush(sock);
    } else sock.ended = true;
    this.tell(sock);
  }

  // --- the iteration ---

  poll(): number {
    let work = 0;
    while (this.accepted.length > 0) {
      const { fd, acceptor } = this.accepted.shift()!;
      acceptor.sockAccepted(this.acceptedSock(fd));
      work++;
    }
    const list = this.toldNext;
    if (list.count === 0) return work;
    this.toldNext = this.told;
    this.told = list;
    for (let i = 0; i < list.count; i++) {
      const sock = list.at(i);
      sock.listed = false;
      this.deliver(sock);
    }
    work += list.count;
    list.clear();
    return work;
  }

  private deliver(sock: UringSock): void {
    if (sock.connected) {
      sock.connected = false;
      sock.owner.sockConnected?.(sock);
    }
    if (sock.sent) {
      sock.sent = false;
      sock.owner.sockSent(sock);
    }
    if (sock.readable) {
      sock.readable = false;
      if (!sock.closed) sock.owner.sockReadable(sock);
    }
    if (sock.closed || sock.ended) this.wind(sock);
    else if (!sock.arming) {
      sock.arming = true;
      this.arming.push(sock);
    }
  }

  /** A socket that is closed or whose connection is over: ends it once nothing of it is under way. */
  private wind(sock: UringSock): void {
    if (!sock.ended) {
      if (!sock.allSent) return; // told again when the send ends, or when it took too long
      sock.ended = true;
    }
    if (sock.receiving || sock.sending || sock.connecting) {
      if (!sock.told) {
        sock.told = true;
        // Ends what is under way: the peer sees the end, the operations complete.
        this.native.socketShutdown(sock.fd, 2);
        const at = this.ring.prepare(UringOp.ASYNC_CANCEL, sock.fd, 0, 0, sock.handler, TAG_CANCEL);
        this.ring.words[at + 7] = CANCEL_FD_ALL;
      }
      return;
    }
    if (sock.held) return; // told again when it is released: its memory is another's then
    if (!this.socks.delete(sock)) return;
    sock.closed = true;
    if (sock.linger !== null) clearTimeout(sock.linger);
    this.native.closeFd(sock.fd);
    this.ring.removeHandler(sock.handler);
    this.memory.push(sock.memory);
    sock.owner.sockClosed(sock, sock.error);
  }

  /**
   * Lets sockets receive again: one that is alone at once, of several each in its turn. What arrives until then is received
   * with the rest: connections that are served each iteration would bring a few commands each time.
   */
  private arm(): void {
    const { arming } = this;
    const { count } = arming;
    if (count === 0) return;
    const turn = ++this.turn;
    const mask = this.options.receive_turns - 1;
    arming.clear();
    for (let i = 0; i < count; i++) {
      const sock = arming.at(i);
      if (count > 1 && ((turn + sock.id) & mask) !== 0) arming.push(sock);
      else {
        sock.arming = false;
        sock.arm();
      }
    }
  }

  flush(): number {
    this.arm();
    const waiting = this.arming.count;
    const list = this.flushing;
    if (list.count === 0) return waiting;
    this.flushing = this.flushed;
    this.flushed = list;
    for (let i = 0; i < list.count; i++) {
      const sock = list.at(i);
      sock.flushListed = false;
      sock.flush();
    }
    const { count } = list;
    list.clear();
    return count + waiting;
  }

  // --- connections ---

  private takeMemory(): ConnectionMemory {
    if (this.memory.length === 0) this.growMemory();
    return this.memory.pop()!;
  }

  private growMemory(): void {
    const { receive_bytes } = this.options;
    const one = receive_bytes + SEND_BYTES;
    const handle = this.native.allocateMemory(one * SLAB_CONNECTIONS, 0, 0);
    const buffer = this.native.attachMemory(handle);
    const address = this.native.memoryAddress(handle);
    // The slab lives as long as the region table does: its connections' memory is used again and again.
    const { id } = this.regions.addLocal(new Uint8Array(buffer));
    for (let i = 0; i < SLAB_CONNECTIONS; i++)
      this.memory.push({
        rx: new Uint8Array(buffer, i * one, receive_bytes),
        rxRegion: id,
        rxOffset: i * one,
        rxAddress: address + i * one,
        tx: new Uint32Array(buffer, i * one + receive_bytes, SEND_BYTES / 4),
        txAddress: address + i * one + receive_bytes,
      });
  }

  private serve(
    fd: number,
    owner: SockOwner,
    addresses: { local: SockAddress; peer: SockAddress },
  ): UringSock {
    this.native.socketOption(fd, 'noDelay', 1);
    const { send_buf_size, recv_buf_size, enable_quickack } = this.options;
    if (send_buf_size > 0) this.native.socketOption(fd, 'sendBuffer', send_buf_size);
    if (recv_buf_size > 0) this.native.socketOption(fd, 'receiveBuffer', recv_buf_size);
    if (enable_quickack) this.native.socketOption(fd, 'quickAck', 1);
    const sock = new UringSock(++this.ids, this, fd, owner, this.takeMemory(), addresses);
    this.socks.add(sock);
    this.tell(sock); // armed by the next poll
    return sock;
  }

  private addressesOf(fd: number): { local: SockAddress; peer: SockAddress } {
    const nowhere = { address: '', port: 0 };
    const ask = (get: (fd: number) => { address: string; port: number }): SockAddress => {
      try {
        return addressOf(get(fd));
      } catch {
        return addressOf(nowhere); // the peer is gone already
      }
    };
    return { local: ask(this.native.socketName), peer: ask(this.native.socketPeer) };
  }

  private acceptedSock(fd: number): AcceptedSock {
    const addresses = this.addressesOf(fd);
    return {
      ...addresses,
      attach: (owner) => this.serve(fd, owner, addresses),
      detach: () => fd,
      close: () => this.native.closeFd(fd),
    };
  }

  async listen(traddr: string, trsvcid: number, acceptor: SockAcceptor): Promise<SockListener> {
    const fd = this.openListener(traddr, trsvcid);
    const accepting: Accepting = {
      fd,
      acceptor,
      handler: this.ring.addHandler({
        uringComplete: (tag, result, flags) => this.acceptEnded(accepting, tag, result, flags),
      }),
      closed: false,
      onClosed: null,
    };
    this.listeners.add(accepting);
    this.armAccept(accepting);
    this.reactor.wake();
    return { address: addressOf(this.native.socketName(fd)), close: () => this.closeListener(accepting) };
  }

  /** Throws an Error whose code is the errno's name, as node:net's have it. */
  private openListener(traddr: string, trsvcid: number): number {
    try {
      return this.native.socketListen(traddr, trsvcid, BACKLOG);
    } catch (error) {
      const failure = error as Error & { code?: string };
      const errno = Number(failure.code);
      if (errno > 0) failure.code = errnoName(-errno);
      throw failure;
    }
  }

  private armAccept(accepting: Accepting): void {
    const at = this.ring.prepare(UringOp.ACCEPT, accepting.fd, 0, 0, accepting.handler, TAG_RECEIVE);
    this.ring.words[at] = UringOp.ACCEPT | (ACCEPT_MULTISHOT << 16); // ioprio
    this.ring.words[at + 7] = SOCK_CLOEXEC;
  }

  private acceptEnded(accepting: Accepting, tag: number, result: number, flags: number): void {
    if (tag === TAG_CANCEL) return;
    if (result >= 0) {
      if (accepting.closed) this.native.closeFd(result);
      else this.accepted.push({ fd: result, acceptor: accepting.acceptor });
      this.reactor.wake();
    }
    if ((flags & CQE_MORE) !== 0) return;
    if (!accepting.closed) {
      this.armAccept(accepting);
      return;
    }
    this.native.closeFd(accepting.fd);
    this.ring.removeHandler(accepting.handler);
    accepting.onClosed?.();
  }

  private closeListener(accepting: Accepting): Promise<void> {
    if (accepting.closed) return Promise.resolve();
    accepting.closed = true;
    this.listeners.delete(accepting);
    const at = this.ring.prepare(UringOp.ASYNC_CANCEL, accepting.fd, 0, 0, accepting.handler, TAG_CANCEL);
    this.ring.words[at + 7] = CANCEL_FD_ALL;
    this.reactor.wake();
    return new Promise((resolve) => {
      accepting.onClosed = resolve;
    });
  }

  connect(traddr: string, trsvcid: number, owner: SockOwner, from = ''): Sock {
    const fd = this.native.socketConnect(traddr, trsvcid, from);
    const peer = addressOf({ address: traddr, port: trsvcid });
    const sock = this.serve(fd, owner, { local: addressOf({ address: '', port: 0 }), peer });
    sock.connecting = true;
    // Writable: the connection is established, or has failed.
    const at = this.ring.prepare(UringOp.POLL_ADD, fd, 0, 0, this.connectHandler(sock), TAG_CONNECT);
    this.ring.words[at + 7] = 4; // POLLOUT
    return sock;
  }

  private connectHandler(sock: UringSock): number {
    const id = this.ring.addHandler({
      uringComplete: (_tag, result) => {
        this.ring.removeHandler(id);
        const error = result < 0 ? -result : this.native.socketError(sock.fd);
        if (error !== 0) sock.error = errnoName(-error);
        this.connectEnded(sock, -error);
        this.tell(sock);
      },
    });
    return id;
  }

  adopt(fd: number, owner: SockOwner): Sock {
    return this.serve(fd, owner, this.addressesOf(fd));
  }

  async destroy(): Promise<void> {
    for (const { fd } of this.accepted.splice(0)) this.native.closeFd(fd);
    for (const sock of this.socks) sock.close();
    await Promise.all([...this.listeners].map((listener) => this.closeListener(listener)));
  }
}
