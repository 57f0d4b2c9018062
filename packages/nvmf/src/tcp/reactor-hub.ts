import type { Reactor } from '@spdk-ts/reactor';

/** Ring messages between the TCP transports of a process's reactors (32 … 47 are this transport's). */
export const TcpMessage = {
  /** Serve this connection: descriptor, number of the listener, bits of {@link AdoptFlag}. */
  ADOPT: 32,
  /** A connection that you handed to me has ended: number of the listener. */
  ENDED: 33,
  /** A listener of mine is gone, and with it what came through it: number of the listener. */
  STOPPED: 34,
} as const;

/** What is told of a connection's listener. */
export const AdoptFlag = {
  /** It listens on any address. */
  ANY_ADDRESS: 1,
  /** Connections begin with TLS. */
  SECURE: 2,
} as const;

/** What a reactor's transport does with the others' messages. */
export interface HubMember {
  adopt(from: number, fd: number, listenerId: number, flags: number): void;
  handedOverEnded(to: number): void;
  listenerStopped(from: number, listenerId: number): void;
  /** Closes a connection that came too late for a transport. */
  refuse(fd: number): void;
}

/**
 * A reactor's ear for the messages above. It outlives the transport, because a message may arrive after that
 * has been destroyed.
 */
export class ReactorHub {
  private static readonly hubs = new WeakMap<Reactor, ReactorHub>();
  private readonly reactor: Reactor;
  private member: HubMember | null = null;
  private last: HubMember | null = null;

  static of(reactor: Reactor): ReactorHub {
    let hub = ReactorHub.hubs.get(reactor);
    if (hub === undefined) {
      hub = new ReactorHub(reactor);
      ReactorHub.hubs.set(reactor, hub);
    }
    return hub;
  }

  private constructor(reactor: Reactor) {
    this.reactor = reactor;
    reactor.onMessage(TcpMessage.ADOPT, (m, from) => this.adopt(from, m[1]!, m[2]!, m[3]!));
    reactor.onMessage(TcpMessage.ENDED, (_, from) => this.member?.handedOverEnded(from));
    reactor.onMessage(TcpMessage.STOPPED, (m, from) => this.member?.listenerStopped(from, m[1]!));
  }

  join(member: HubMember): void {
    this.member = member;
    this.last = member;
  }
  leave(member: HubMember): void {
    if (this.member === member) this.member = null;
  }

  private adopt(from: number, fd: number, listenerId: number, flags: number): void {
    if (this.member !== null) this.member.adopt(from, fd, listenerId, flags);
    else {
      this.last?.refuse(fd);
      this.reactor.sendMessage(from, TcpMessage.ENDED, listenerId);
    }
  }
}
