import { TICKS_PER_MS } from '@spdk-ts/env';
import {
  type AcceptedSock,
  PosixSockGroup,
  type SecureAcceptor,
  type Sock,
  type SockAddress,
  type SockGroup,
  type SockOwner,
} from '@spdk-ts/sock';
import { TlsHandshakes } from '@spdk-ts/sock/tls';
import type { NvmfPollGroup } from '../poll-group.ts';
import type { TcpTimeouts } from './limits.ts';

/** What becomes of a connection that TLS is being negotiated for. */
export interface SecureArrival {
  /** The reactor and the number of its listener. */
  readonly from: number;
  readonly listenerId: number;
  /** Cleared when the listener goes. */
  wanted: boolean;
  /** Its peer has proved to have the key of `identity`; `attach` begins to serve it. */
  served(attach: (owner: SockOwner) => Sock, identity: string): void;
  refused(reason: string): void;
}

/** Handshakes that may be under way on a reactor: more are refused, as each costs memory and time. */
const HANDSHAKES_MAX = 256;

/**
 * TLS connections of one reactor (TCP Transport 1.1, 3.6). They are accepted like any other, by the ring if there is one;
 * then Node.js's TLS takes their descriptors, so they are sockets of a group over node:net, beside the others.
 */
export class SecureChannel {
  private readonly handshakes: TlsHandshakes;
  private readonly arrivals = new Set<SecureArrival>();
  private readonly socks: PosixSockGroup;

  constructor(group: NvmfPollGroup, timeouts: TcpTimeouts) {
    this.socks = new PosixSockGroup(group.reactor);
    this.handshakes = new TlsHandshakes(
      (identity) => group.psks.get(identity) ?? null,
      timeouts.tls / TICKS_PER_MS,
    );
  }

  poll(): number {
    return this.socks.poll();
  }
  flush(): number {
    return this.socks.flush();
  }

  private full(arrival: SecureArrival): boolean {
    if (this.handshakes.size < HANDSHAKES_MAX) return false;
    arrival.refused(`${HANDSHAKES_MAX} handshakes are under way already`);
    return true;
  }

  /** A connection that `from`, a group of this reactor, has accepted. */
  accept(accepted: AcceptedSock, from: SockGroup, arrival: SecureArrival): void {
    if (this.full(arrival)) {
      accepted.close();
      return;
    }
    if (from.implementation === 'posix') {
      this.socks.acceptSecure(accepted, this.handshakes, this.acceptor(arrival));
      return;
    }
    const fd = accepted.detach();
    if (fd < 0) arrival.refused('it has ended already');
    else this.socks.acceptSecure(this.socks.fromDescriptor(fd), this.handshakes, this.acceptor(arrival));
  }

  /** A connection that another reactor has accepted. */
  adopt(fd: number, arrivalAt: (local: SockAddress) => SecureArrival): void {
    const raw = this.socks.fromDescriptor(fd);
    const arrival = arrivalAt(raw.local);
    if (this.full(arrival)) raw.close();
    else this.socks.acceptSecure(raw, this.handshakes, this.acceptor(arrival));
  }

  private acceptor(arrival: SecureArrival): SecureAcceptor {
    this.arrivals.add(arrival);
    return {
      sockSecured: (sock, identity) => {
        this.arrivals.delete(arrival);
        if (arrival.wanted) arrival.served((owner) => sock.attach(owner), identity);
        else {
          sock.close();
          arrival.refused('its listener has been removed');
        }
      },
      sockRefused: (reason) => {
        this.arrivals.delete(arrival);
        arrival.refused(reason);
      },
    };
  }

  /** Connections through a listener that is no more are not served once their handshake ends. */
  listenerStopped(from: number, listenerId: number): void {
    for (const arrival of this.arrivals)
      if (arrival.from === from && arrival.listenerId === listenerId) arrival.wanted = false;
  }

  /** Ends the handshakes that are under way. */
  close(): void {
    for (const arrival of this.arrivals) arrival.wanted = false;
    this.handshakes.close();
  }

  destroy(): Promise<void> {
    this.close();
    return this.socks.destroy();
  }
}
