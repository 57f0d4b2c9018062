import { Batch, TICKS_PER_MS } from '@spdk-ts/env';
import { Logger } from '@spdk-ts/log';
import type { Poller, Reactor, Thread } from '@spdk-ts/reactor';
import { createSockGroup, type SockGroup } from '@spdk-ts/sock';
import type { SecureSocks } from './tcp/secure-socks.ts';

/** How often queue pairs and controllers look whether something takes too long. */
const DEADLINE_PERIOD_US = 50_000;
/** How long connections may take to end. */
const CLOSE_MS_MAX = 2000;

/** What a group has done. Names are those of SPDK's TCP transport. */
export interface TransportStatistics {
  readonly polls: number;
  readonly idle_polls: number;
  /** Sockets that had something to tell. */
  readonly socket_completions: number;
  readonly nvme_completions: number;
  /** Requests that had to wait for a place in their queue. */
  readonly queued_requests: number;
  readonly submitted_requests: number;
}

/** What the group polls: a queue pair. */
export interface PolledQpair {
  /** Gives what was laid out since the last call to its socket. */
  pushSends(): void;
  checkDeadlines(now: number): void;
  close(): void;
}

/** One over TCP, whose commands are counted: those that were submitted, that had to wait, and that the controller has. */
export interface CountedQpair extends PolledQpair {
  readonly submitted: number;
  readonly waited: number;
  readonly outstanding: number;
}

/** A queue pair whose completions are in memory. */
export interface MemoryQpair {
  /** Takes completions. Returns how many. */
  poll(): number;
}

const groups = new WeakMap<Reactor, NvmePollGroup>();

/** Makes the sockets of a reactor. */
export type SockGroupFactory = (reactor: Reactor) => SockGroup;

/** A host waits for each answer: connections that took turns would leave commands that could follow them unsent. */
const hostSocks: SockGroupFactory = (reactor) => createSockGroup(reactor, { receive_turns: 1 });

/** The queue pairs of one reactor: their sockets are polled, and what they send leaves, once in each iteration. */
export class NvmePollGroup {
  readonly reactor: Reactor;
  readonly thread: Thread;
  readonly socks: SockGroup;
  readonly batch: Batch | null;
  readonly log = new Logger('nvme');
  readonly qpairs = new Set<PolledQpair>();
  /** Queue pairs that are looked at in each iteration. */
  private readonly polled: MemoryQpair[] = [];
  /** Queue pairs with something to send: the first {@link unsentCount}. */
  private readonly unsent: PolledQpair[] = [];
  private unsentCount = 0;
  /** Queue pairs that had something to send in the last iteration in which any had. */
  busyQpairs = 0;
  /** Connections over TLS, since the first that was wanted. */
  secure: SecureSocks | null = null;
  private readonly counted = new Set<CountedQpair>();
  private readonly poller: Poller;
  private socket_completions = 0;
  /** Commands of queue pairs that are closed. */
  private readonly past = { submitted: 0, waited: 0 };

  /** The group of a reactor, made at the first call. */
  static of(reactor: Reactor): NvmePollGroup {
    let group = groups.get(reactor);
    if (group === undefined) {
      group = new NvmePollGroup(reactor);
      groups.set(reactor, group);
    }
    return group;
  }

  /** The group of a reactor, if there is one. */
  static find(reactor: Reactor): NvmePollGroup | undefined {
    return groups.get(reactor);
  }

  constructor(reactor: Reactor, makeSocks: SockGroupFactory = hostSocks) {
    this.reactor = reactor;
    this.thread = reactor.createThread('nvme');
    this.socks = makeSocks(reactor);
    this.batch = reactor.regions.batchTable === undefined ? null : new Batch(reactor.regions);
    this.poller = this.thread.registerPoller('nvme_poll', () => this.poll());
    this.thread.registerPoller('nvme_deadlines', () => this.checkDeadlines(), DEADLINE_PERIOD_US);
  }

  private poll(): number {
    let work = this.socks.poll();
    if (this.secure !== null) work += this.secure.poll();
    this.socket_completions += work;
    // From the end: one that ends takes itself out.
    for (let i = this.polled.length - 1; i >= 0; i--) work += this.polled[i]!.poll();
    const { unsent } = this;
    if (this.unsentCount > 0) {
      for (let i = 0; i < this.unsentCount; i++) unsent[i]!.pushSends();
      this.busyQpairs = this.unsentCount;
      this.unsentCount = 0;
    }
    if (this.secure !== null) work += this.secure.flush();
    return work + this.socks.flush();
  }

  /** What it has done so far. */
  statistics(): TransportStatistics {
    const { poller, socket_completions, past } = this;
    let { submitted, waited } = past;
    let outstanding = 0;
    for (const qpair of this.counted) {
      submitted += qpair.submitted;
      waited += qpair.waited;
      outstanding += qpair.outstanding;
    }
    return {
      ...{ polls: poller.run_count, idle_polls: poller.run_count - poller.busy_count, socket_completions },
      ...{
        nvme_completions: submitted - outstanding,
        queued_requests: waited,
        submitted_requests: submitted,
      },
    };
  }

  /** For queue pairs: one opens, with what it has done before; or it is closed. */
  enter(qpair: CountedQpair): void {
    this.qpairs.add(qpair);
    this.counted.add(qpair);
    this.past.submitted -= qpair.submitted;
    this.past.waited -= qpair.waited;
  }
  leave(qpair: CountedQpair): void {
    this.qpairs.delete(qpair);
    if (!this.counted.delete(qpair)) return;
    this.past.submitted += qpair.submitted;
    this.past.waited += qpair.waited;
  }

  /** Loads what connections over TLS need: before the first is opened. */
  async prepareSecure(): Promise<void> {
    if (this.secure !== null) return;
    const { SecureSocks } = await import('./tcp/secure-socks.ts');
    this.secure ??= new SecureSocks(this.reactor);
  }

  /** For queue pairs: there is something to send by the end of the iteration. */
  wantSend(qpair: PolledQpair): void {
    this.unsent[this.unsentCount++] = qpair;
    this.reactor.wake();
  }

  addPolled(qpair: MemoryQpair): void {
    this.polled.push(qpair);
    this.reactor.wake();
  }
  removePolled(qpair: MemoryQpair): void {
    this.polled.splice(this.polled.indexOf(qpair), 1);
  }

  private checkDeadlines(): number {
    const { now } = this.reactor;
    for (const qpair of this.qpairs) qpair.checkDeadlines(now);
    return 0;
  }

  /** Resolves on the group's thread after so long. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const poller = this.thread.registerPoller(
        'nvme_sleep',
        () => {
          poller.unregister();
          resolve();
          return 1;
        },
        Math.max(1, Math.round(ms * 1000)),
      );
    });
  }

  /** Resolves on the group's thread when `work` has ended, however, or after so long. */
  within(work: Promise<unknown>, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): number => {
        poller.unregister();
        resolve();
        return 1;
      };
      const poller = this.thread.registerPoller('nvme_within', end, Math.max(1, Math.round(ms * 1000)));
      work.then(end, end);
    });
  }

  /** `ms` from now, ticks. */
  deadline(ms: number): number {
    return this.reactor.clock.now() + ms * TICKS_PER_MS;
  }

  /** Closes all connections and ends the group's thread. */
  async destroy(): Promise<void> {
    if (groups.get(this.reactor) === this) groups.delete(this.reactor);
    const { thread } = this;
    if (thread.exited) return;
    for (const qpair of this.qpairs) qpair.close();
    const deadline = this.deadline(CLOSE_MS_MAX);
    while (this.qpairs.size > 0 && this.reactor.clock.now() < deadline) await this.sleep(1);
    await Promise.all([this.socks.destroy(), this.secure?.destroy()]);
    for (const poller of [...thread.activePollers, ...thread.timedPollers]) poller.unregister();
    await new Promise<void>((resolve) => thread.exit(resolve));
  }
}
