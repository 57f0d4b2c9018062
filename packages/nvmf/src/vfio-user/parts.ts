import type { Reactor } from '@spdk-ts/reactor';
import type { GuestRange } from './guest-ranges.ts';
import { VfioUserMessage } from './messages.ts';
import type { PartHub } from './part-hub.ts';

/**
 * A session's parts, as the session speaks to them: on its own reactor from the start, on another one from when the first
 * queue is placed there.
 */
export class Parts {
  readonly home: number;
  private readonly hub: PartHub;
  private readonly session: number;
  private readonly sharedFd: number;
  private readonly bar0Fd: number;
  private readonly reactors: number[] = [];
  private readonly pending = new Map<number, (status: number) => void>();
  private tokens = 0;

  constructor(reactor: Reactor, hub: PartHub, session: number, sharedFd: number, bar0Fd: number) {
    this.home = reactor.index;
    this.hub = hub;
    this.session = session;
    this.sharedFd = sharedFd;
    this.bar0Fd = bar0Fd;
  }

  /** Makes sure that a reactor has a part, with the guest's memory mapped. Later messages find it. */
  attach(reactor: number, ranges: Iterable<GuestRange>): void {
    if (this.reactors.includes(reactor)) return;
    this.reactors.push(reactor);
    this.ask(reactor, VfioUserMessage.ATTACH, [this.sharedFd, this.bar0Fd], () => {});
    for (const { address, size, fd, offset, writable } of ranges)
      if (fd >= 0)
        this.ask(reactor, VfioUserMessage.MAP, [address, size, fd, offset, writable ? 1 : 0], () => {});
  }

  /** Asks one part; `done` is called with its answer, also from within the call. */
  ask(reactor: number, kind: number, values: readonly number[], done: (status: number) => void): void {
    const token = ++this.tokens;
    this.pending.set(token, done);
    this.hub.send(reactor, kind, this.session, token, ...values);
  }

  /** Asks all parts; `done` is called once, with an answer other than 0 if there was one. */
  askAll(kind: number, values: readonly number[], done: (status: number) => void): void {
    const reactors = [...this.reactors];
    let left = reactors.length;
    let worst = 0;
    for (const reactor of reactors)
      this.ask(reactor, kind, values, (status) => {
        if (status !== 0) worst = status;
        if (--left === 0) done(worst);
      });
  }

  /** A doorbell was written: the reactor that serves the queue may sleep. */
  kick(reactor: number): void {
    if (reactor !== this.home) this.hub.send(reactor, VfioUserMessage.KICK, this.session);
  }

  answered(token: number, status: number): void {
    const done = this.pending.get(token);
    this.pending.delete(token);
    done?.(status);
  }
}
