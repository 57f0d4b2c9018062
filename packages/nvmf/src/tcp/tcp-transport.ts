import { Batch } from '@spdk-ts/env';
import { Logger } from '@spdk-ts/log';
import type { Poller, Reactor } from '@spdk-ts/reactor';
import {
  type AcceptedSock,
  createSockGroup,
  type Sock,
  type SockAddress,
  type SockGroup,
} from '@spdk-ts/sock';
import type { Limits } from '../limits.ts';
import type { NvmfPollGroup } from '../poll-group.ts';
import type { TransportAddress } from '../qpair.ts';
import type { NvmfTransport, NvmfTransportType, TransportOptions } from '../transport.ts';
import { COMPLAINTS_MAX, DEADLINE_PERIOD_US, type TcpTimeouts, timeoutsOf } from './limits.ts';
import { AdoptFlag, type HubMember, ReactorHub, TcpMessage } from './reactor-hub.ts';
import type { SecureArrival, SecureChannel } from './secure-channel.ts';
import { flagsOf, listenAddress, sameAddress, TcpListener, TRTYPE } from './tcp-listener.ts';
import { TcpQpair } from './tcp-qpair.ts';

/** Makes the sockets of one reactor. */
export type SockGroupFactory = (reactor: Reactor, options: TransportOptions) => SockGroup;

const bestSocks: SockGroupFactory = (reactor) => createSockGroup(reactor);

/** How long `destroy` waits for connections to end, ticks. */
const DRAIN_TICKS = 2_000_000_000;

/** NVMe/TCP on one reactor: its listeners, its sockets and its connections. */
export class TcpTransport implements NvmfTransport, HubMember {
  readonly trtype = TRTYPE;
  readonly group: NvmfPollGroup;
  readonly options: TransportOptions;
  private readonly givenTimeouts: TcpTimeouts | null;
  private knownTimeouts: { readonly limits: Limits; readonly timeouts: TcpTimeouts } | null = null;
  readonly maxIoSize: number;
  readonly log = new Logger('nvmf_tcp');
  readonly qpairs = new Set<TcpQpair>();
  /** Copies small data to where they are sent from, once an iteration; null without the addon. */
  readonly copies: Batch | null;
  private readonly socks: SockGroup;
  private secure: SecureChannel | null = null;
  private readonly reactor: Reactor;
  private readonly hub: ReactorHub;
  private readonly deadlines: Poller;
  private listeners: TcpListener[] = [];
  private listenerIds = 0;
  /** Connections that this reactor accepted and gave to each. */
  private readonly load: Int32Array;
  /** Queue pairs with something to send: the first {@link unsentCount}. */
  private readonly unsent: TcpQpair[] = [];
  private unsentCount = 0;
  private complaints = 0;
  /** The same of handshakes that were refused: neither hides the other. */
  private refusals = 0;
  private destroyed = false;

  constructor(
    group: NvmfPollGroup,
    options: TransportOptions,
    makeSocks: SockGroupFactory = bestSocks,
    timeouts: TcpTimeouts | null = null,
  ) {
    this.group = group;
    this.options = options;
    this.givenTimeouts = timeouts;
    this.reactor = group.reactor;
    this.maxIoSize = Math.min(options.max_io_size, this.reactor.buffers.max_bytes);
    this.socks = makeSocks(this.reactor, options);
    this.copies = this.reactor.regions.batchTable === undefined ? null : new Batch(this.reactor.regions);
    this.load = new Int32Array(this.reactor.count);
    this.hub = ReactorHub.of(this.reactor);
    this.hub.join(this);
    this.deadlines = group.thread.registerPoller(
      'nvmf_tcp_deadlines',
      () => this.checkDeadlines(),
      DEADLINE_PERIOD_US,
    );
  }

  /** How long a new connection may take over things. */
  get timeouts(): TcpTimeouts {
    if (this.givenTimeouts !== null) return this.givenTimeouts;
    const { limits } = this.group.target;
    if (this.knownTimeouts?.limits !== limits) this.knownTimeouts = { limits, timeouts: timeoutsOf(limits) };
    return this.knownTimeouts.timeouts;
  }

  /** TLS is much code, which most targets need not load. */
  async prepareSecure(): Promise<void> {
    const { SecureChannel } = await import('./secure-channel.ts');
    if (!this.destroyed) this.secure ??= new SecureChannel(this.group, this.timeouts);
  }

  /** Listens at an address of this machine; the socket layer's errors pass through (`code` EADDRINUSE …). */
  async listen(address: TransportAddress, secure = false): Promise<void> {
    if (secure) await this.prepareSecure();
    const listener = new TcpListener(++this.listenerIds, address, secure, (sock, from) =>
      this.place(sock, from),
    );
    listener.sock = await this.socks.listen(address.traddr, Number(address.trsvcid), listener);
    if (this.destroyed) await listener.sock.close();
    else this.listeners.push(listener);
  }

  async stopListening(address: TransportAddress): Promise<void> {
    const stopped = this.listeners.filter((listener) => sameAddress(listener.address, address));
    this.listeners = this.listeners.filter((listener) => !stopped.includes(listener));
    for (const listener of stopped) {
      await listener.sock!.close();
      for (let reactor = 0; reactor < this.reactor.count; reactor++)
        if (reactor !== this.reactor.index)
          this.reactor.sendMessage(reactor, TcpMessage.STOPPED, listener.id);
      this.listenerStopped(this.reactor.index, listener.id);
    }
  }

  /** Bound ports of the listeners, for those that asked for port 0. */
  get listening(): readonly TransportAddress[] {
    return this.listeners.map(({ address, sock }) => ({ ...address, trsvcid: sock!.address.trsvcid }));
  }

  poll(): number {
    const work = this.socks.poll();
    return this.secure === null ? work : work + this.secure.poll();
  }

  statistics(): Readonly<Record<string, number>> {
    return {};
  }

  flush(): number {
    while (this.unsentCount > 0) this.pushSends();
    const sent = this.socks.flush();
    return this.secure === null ? sent : sent + this.secure.flush();
  }

  /** Gives what is laid out to the sockets. What that frees may let others go on. */
  private pushSends(): void {
    const { unsent, unsentCount: count } = this;
    for (let i = 0; i < count; i++) unsent[i]!.pushSends();
    this.copies?.run();
    for (let i = 0; i < count; i++) unsent[i]!.releaseLaidOut();
    unsent.copyWithin(0, count, this.unsentCount);
    this.unsentCount -= count;
  }

  /** For queue pairs: there is something to send by the end of the iteration. */
  wantSend(qpair: TcpQpair): void {
    this.unsent[this.unsentCount++] = qpair;
  }

  /** Logs what a host did wrong, unless there has been much of that. */
  complain(text: string): void {
    if (this.complaints++ < COMPLAINTS_MAX) this.log.warn(text);
  }

  private complainOfRefusal(text: string): void {
    if (this.refusals++ < COMPLAINTS_MAX) this.log.warn(text);
  }

  private checkDeadlines(): number {
    const hidden =
      Math.max(0, this.complaints - COMPLAINTS_MAX) + Math.max(0, this.refusals - COMPLAINTS_MAX);
    if (hidden > 0) this.log.warn(`${hidden} more complaints about hosts are not shown`);
    this.complaints = 0;
    this.refusals = 0;
    const now = this.reactor.now;
    let work = 0;
    for (const qpair of this.qpairs) {
      if (!qpair.checkDeadlines(now)) continue;
      work++;
      if (qpair.disconnecting) this.group.counts.dropped();
    }
    return work;
  }

  /** Gives an accepted connection to the reactor that has the fewest of them. */
  private place(accepted: AcceptedSock, listener: TcpListener): void {
    if (this.destroyed || !this.listeners.includes(listener)) {
      accepted.close();
      return;
    }
    const full = this.group.counts.admit(this.group.target.limits);
    if (full !== '') {
      this.complain(`${accepted.peer.traddr}:${accepted.peer.trsvcid} is not served: ${full}`);
      accepted.close();
      return;
    }
    const here = this.reactor.index;
    const to = this.socks.canDetach ? this.leastLoaded() : here;
    this.load[to]!++;
    if (to === here && listener.secure) {
      this.secure!.accept(accepted, this.socks, this.arrival(listener, here, accepted.local));
      return;
    }
    if (to === here) {
      this.serve(listenAddress(accepted.local, listener.anyAddress), here, listener.id, (qpair) =>
        accepted.attach(qpair),
      );
      return;
    }
    const fd = accepted.detach();
    if (fd < 0) this.handedOverEnded(to);
    else this.reactor.sendMessage(to, TcpMessage.ADOPT, fd, listener.id, flagsOf(listener));
  }

  /** What becomes of a connection that TLS is being negotiated for. */
  private arrival(
    listener: { id: number; anyAddress: boolean },
    from: number,
    local: SockAddress,
  ): SecureArrival {
    const address = listenAddress(local, listener.anyAddress);
    return {
      ...{ from, listenerId: listener.id, wanted: true },
      served: (attach, identity) => {
        this.serve(address, from, listener.id, attach, identity);
      },
      refused: (reason) => {
        this.complainOfRefusal(`${address.traddr}:${address.trsvcid}: TLS connection refused: ${reason}`);
        this.connectionEnded(from, listener.id);
      },
    };
  }

  private leastLoaded(): number {
    const { load } = this;
    const { serving } = this.group.target;
    let best = serving.includes(this.reactor.index) ? this.reactor.index : (serving[0] ?? this.reactor.index);
    for (const reactor of serving) if (load[reactor]! < load[best]!) best = reactor;
    return best;
  }

  private serve(
    address: TransportAddress,
    listenerReactor: number,
    listenerId: number,
    attach: (qpair: TcpQpair) => Sock,
    pskIdentity: string | null = null,
  ): TcpQpair {
    const id = this.group.nextQpairId();
    const qpair = new TcpQpair(id, this, address, listenerReactor, listenerId, pskIdentity);
    const sock = attach(qpair);
    this.qpairs.add(qpair);
    this.group.addQpair(qpair);
    qpair.start(sock);
    return qpair;
  }

  adopt(from: number, fd: number, listenerId: number, flags: number): void {
    const anyAddress = (flags & AdoptFlag.ANY_ADDRESS) !== 0;
    // The socket knows its address, the queue pair wants it from the start.
    try {
      if ((flags & AdoptFlag.SECURE) !== 0) {
        const listener = { id: listenerId, anyAddress };
        this.secure!.adopt(fd, (local) => this.arrival(listener, from, local));
        return;
      }
      const sock = this.socks.adopt(fd, nobody);
      this.serve(listenAddress(sock.local, anyAddress), from, listenerId, (qpair) => {
        sock.owner = qpair;
        return sock;
      });
    } catch (error) {
      this.log.error(`connection from reactor ${from} cannot be served: ${(error as Error).message}`);
      this.reactor.sendMessage(from, TcpMessage.ENDED, listenerId);
    }
  }

  refuse(fd: number): void {
    try {
      this.socks.adopt(fd, nobody).close();
    } catch (error) {
      this.log.error(`connection cannot be closed: ${(error as Error).message}`);
    }
  }

  handedOverEnded(to: number): void {
    if (this.load[to]! === 0) return;
    this.load[to]!--;
    this.group.counts.release();
  }

  listenerStopped(from: number, listenerId: number): void {
    this.secure?.listenerStopped(from, listenerId);
    for (const qpair of this.qpairs)
      if (qpair.listenerReactor === from && qpair.listenerId === listenerId)
        qpair.disconnect('its listener has been removed');
  }

  /** For queue pairs: nothing is left of this one. */
  ended(qpair: TcpQpair): void {
    this.qpairs.delete(qpair);
    this.connectionEnded(qpair.listenerReactor, qpair.listenerId);
  }

  private connectionEnded(listenerReactor: number, listenerId: number): void {
    if (listenerReactor === this.reactor.index) this.handedOverEnded(this.reactor.index);
    else this.reactor.sendMessage(listenerReactor, TcpMessage.ENDED, listenerId);
  }

  /** Closes everything. Resolves when the last connection is gone, or after two seconds without its requests' end. */
  async destroy(): Promise<void> {
    if (this.destroyed) return;
    this.destroyed = true;
    this.hub.leave(this);
    this.deadlines.unregister();
    const listeners = this.listeners;
    this.listeners = [];
    for (const listener of listeners) await listener.sock!.close();
    for (const qpair of this.qpairs) qpair.disconnect('the transport is being destroyed');
    this.secure?.close();
    await this.drain();
    await this.socks.destroy();
    await this.secure?.destroy();
  }

  /** Polls by itself: the group may have stopped already. */
  private drain(): Promise<void> {
    if (this.qpairs.size === 0) return Promise.resolve();
    const deadline = this.reactor.now + DRAIN_TICKS;
    return new Promise((resolve) => {
      const poller = this.group.thread.registerPoller(
        'nvmf_tcp_drain',
        () => {
          this.poll();
          this.flush();
          if (this.qpairs.size > 0 && this.reactor.now < deadline) return 0;
          poller.unregister();
          resolve();
          return 1;
        },
        DRAIN_PERIOD_US,
      );
    });
  }
}

const DRAIN_PERIOD_US = 500;
const nobody = { sockReadable: () => {}, sockSent: () => {}, sockClosed: () => {} };

/** The transport with another kind of sockets, or other patience. */
export function createTcpTransportType(
  makeSocks: SockGroupFactory = bestSocks,
  timeouts: TcpTimeouts | null = null,
): NvmfTransportType {
  return {
    trtype: TRTYPE,
    create: (group, options) => new TcpTransport(group, options, makeSocks, timeouts),
  };
}

/** NVMe/TCP over the best sockets that each reactor has. */
export const tcpTransportType: NvmfTransportType = createTcpTransportType();
