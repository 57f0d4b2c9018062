import { createServer, connect as netConnect, type Server, Socket } from 'node:net';
import type { RegionTable } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import type { Reactor } from '@spdk-ts/reactor';
import { PosixSock } from './posix-sock.ts';
import type { TlsHandshakes } from './posix-tls.ts';
import {
  type AcceptedSock,
  defaultSockOptions,
  type SecureAcceptor,
  type Sock,
  type SockAcceptor,
  type SockAddress,
  type SockGroup,
  type SockListener,
  type SockOptions,
  type SockOwner,
} from './sock.ts';

const BACKLOG = 511;

function address(traddr: string | undefined, port: number | undefined): SockAddress {
  const text = traddr ?? '';
  return { adrfam: text.includes(':') ? 'IPv6' : 'IPv4', traddr: text, trsvcid: String(port ?? 0) };
}

function addressesOf(socket: Socket): { local: SockAddress; peer: SockAddress } {
  return {
    local: address(socket.localAddress, socket.localPort),
    peer: address(socket.remoteAddress, socket.remotePort),
  };
}

/** The sockets of connections that nobody serves yet. */
const rawSockets = new WeakMap<AcceptedSock, Socket>();

/** The portable implementation, over node:net: works everywhere, at the price of Node's streams. */
export class PosixSockGroup implements SockGroup {
  readonly implementation = 'posix';
  readonly canDetach = native !== null;
  readonly regions: RegionTable;
  readonly options: SockOptions;
  private readonly reactor: Reactor;
  private told: PosixSock[] = [];
  private toldNext: PosixSock[] = [];
  private flushing: PosixSock[] = [];
  private accepted: { socket: Socket; acceptor: SockAcceptor }[] = [];
  private readonly socks = new Set<PosixSock>();
  private readonly servers = new Set<Server>();
  private ids = 0;

  constructor(reactor: Reactor, options: SockOptions = defaultSockOptions) {
    this.reactor = reactor;
    this.regions = reactor.regions;
    this.options = options;
  }

  get size(): number {
    return this.socks.size;
  }

  /** For a socket: it has something to tell at the next poll. */
  tell(sock: PosixSock): void {
    if (!sock.listed) {
      sock.listed = true;
      this.toldNext.push(sock);
    }
    this.reactor.wake();
  }

  /** For a socket: it has something to send at the next flush. */
  wantFlush(sock: PosixSock): void {
    if (sock.flushListed) return;
    sock.flushListed = true;
    this.flushing.push(sock);
  }

  poll(): number {
    let work = 0;
    if (this.accepted.length > 0) work += this.deliverAccepted();
    const list = this.toldNext;
    if (list.length === 0) return work;
    this.toldNext = this.told;
    this.told = list;
    for (let i = 0; i < list.length; i++) {
      const sock = list[i]!;
      sock.listed = false;
      this.deliver(sock);
    }
    work += list.length;
    list.length = 0;
    return work;
  }

  private deliver(sock: PosixSock): void {
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
    if (sock.ended && this.socks.delete(sock)) {
      sock.closed = true;
      sock.owner.sockClosed(sock, sock.error);
    }
  }

  private deliverAccepted(): number {
    const list = this.accepted;
    this.accepted = [];
    for (const { socket, acceptor } of list) acceptor.sockAccepted(this.acceptedSock(socket));
    return list.length;
  }

  private acceptedSock(socket: Socket, addresses = addressesOf(socket), detaches = true): AcceptedSock {
    const accepted: AcceptedSock = {
      ...addresses,
      attach: (owner) => this.serve(socket, owner, addresses),
      detach: () => (detaches ? this.detach(socket) : -1),
      close: () => socket.destroy(),
    };
    rawSockets.set(accepted, socket);
    return accepted;
  }

  /** The socket's descriptor, duplicated: Node closes its own, the copy keeps the connection. */
  private detach(socket: Socket): number {
    const fd = (socket as unknown as { _handle: { fd: number } | null })._handle?.fd ?? -1;
    if (native === null || fd < 0) return -1;
    const copy = native.duplicate(fd);
    socket.destroy();
    return copy;
  }

  private serve(
    socket: Socket,
    owner: SockOwner,
    addresses: { local: SockAddress; peer: SockAddress } = addressesOf(socket),
    established: 'connect' | 'secureConnect' = 'connect',
  ): Sock {
    const sock = new PosixSock(++this.ids, this, socket, owner, addresses, established);
    this.socks.add(sock);
    return sock;
  }

  flush(): number {
    const list = this.flushing;
    if (list.length === 0) return 0;
    this.flushing = [];
    for (const sock of list) {
      sock.flushListed = false;
      sock.flush();
    }
    return list.length;
  }

  listen(traddr: string, trsvcid: number, acceptor: SockAcceptor): Promise<SockListener> {
    return new Promise((resolve, reject) => {
      const server = createServer({ pauseOnConnect: true }, (socket) => {
        socket.on('error', () => {}); // until somebody serves it; 'close' follows
        this.accepted.push({ socket, acceptor });
        this.reactor.wake();
      });
      server.once('error', reject);
      server.listen({ host: traddr, port: trsvcid, backlog: BACKLOG, ipv6Only: true }, () => {
        server.removeListener('error', reject);
        this.servers.add(server);
        const bound = server.address() as { address: string; port: number };
        resolve({ address: address(bound.address, bound.port), close: () => this.closeServer(server) });
      });
    });
  }

  private closeServer(server: Server): Promise<void> {
    this.servers.delete(server);
    // close() calls back only when the last accepted connection is gone; the port is free at once.
    server.close();
    return Promise.resolve();
  }

  connect(traddr: string, trsvcid: number, owner: SockOwner, from = ''): Sock {
    const socket = netConnect({ host: traddr, port: trsvcid, ...(from !== '' && { localAddress: from }) });
    return this.serve(socket, owner, { local: address('', 0), peer: address(traddr, trsvcid) });
  }

  /**
   * Serves an outgoing connection that `connectTls` has begun: the owner is told that it is connected once the handshake has
   * succeeded, and that it is closed, with the reason, if it does not.
   */
  connectSecure(socket: Socket, traddr: string, trsvcid: number, owner: SockOwner): Sock {
    const addresses = { local: address('', 0), peer: address(traddr, trsvcid) };
    return this.serve(socket, owner, addresses, 'secureConnect');
  }

  adopt(fd: number, owner: SockOwner): Sock {
    return this.serve(new Socket({ fd, readable: true, writable: true }), owner);
  }

  /** A connection by its descriptor, which nobody serves yet. */
  fromDescriptor(fd: number): AcceptedSock {
    const socket = new Socket({ fd, readable: true, writable: true });
    socket.on('error', () => {}); // until somebody serves it; 'close' follows
    return this.acceptedSock(socket);
  }

  /**
   * Serves a connection over TLS once its peer has proved itself by a pre-shared key. It must be one that this group, or
   * another of its kind on this reactor, has accepted or made of a descriptor.
   */
  acceptSecure(accepted: AcceptedSock, handshakes: TlsHandshakes, acceptor: SecureAcceptor): void {
    const socket = rawSockets.get(accepted);
    if (socket === undefined) throw new Error('this connection is none over node:net');
    this.secure(socket, handshakes, acceptor);
  }

  private secure(raw: Socket, handshakes: TlsHandshakes, acceptor: SecureAcceptor): void {
    const addresses = addressesOf(raw);
    handshakes.start(raw, {
      tlsSecured: (socket, identity) => {
        acceptor.sockSecured(this.acceptedSock(socket, addresses, false), identity);
        this.reactor.wake();
      },
      tlsFailed: (reason) => {
        acceptor.sockRefused(reason);
        this.reactor.wake();
      },
    });
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.servers].map((server) => this.closeServer(server)));
    for (const { socket } of this.accepted) socket.destroy();
    for (const sock of this.socks) sock.close();
  }
}
