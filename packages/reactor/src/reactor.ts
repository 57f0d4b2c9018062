import type { BufferPool, Clock, MessageRing, Random, RegionTable } from '@spdk-ts/env';
import { MESSAGE_ARGUMENTS } from '@spdk-ts/env';
import type { ControlLink, ReactorService } from './control-link.ts';
import { Thread } from './thread.ts';
import type { Uring } from './uring.ts';

/** Kinds of ring messages: each package takes numbers from a range of its own (see HACKING.md). */
export const MESSAGE_KINDS = 256;
/** I/Os that devices have before them: with fewer, what a nap adds to the time until the next ones reach them leaves them idle. */
const NAP_AWAITED_MIN = 64;
/** Ring messages handled in one iteration. */
const RING_BATCH = 64;

/** A handler of one kind of ring message; `message[0]` is the kind, the arguments follow. */
export type MessageHandler = (message: Float64Array, fromReactor: number) => void;

/** Something beside the rings that completes while the reactor sleeps. */
export interface Sleeper {
  /** Before a sleep: from now on a completion calls {@link Reactor.wake}. True if there is work already. */
  armSleep(): boolean;
  /** After a sleep, or after one that did not come about: also if it was not armed. */
  disarmSleep(): void;
  /**
   * Before a nap: how many I/Os of devices it waits for, whose ends will complete something in the reactor's ring; below 0 if the
   * reactor has to stay awake for it. Without this it does.
   */
  armNap?(): number;
}

/** What a reactor is made of: handed in, so that a simulator can hand in its own. */
export interface ReactorParts {
  /** Position among the process's reactors, 0 first. */
  readonly index: number;
  /** Number of reactors of the process. */
  readonly count: number;
  /** The core it runs on (or would, if it were pinned). */
  readonly lcore: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly regions: RegionTable;
  readonly buffers: BufferPool;
  readonly control: ControlLink;
  /** Rings from each reactor to this one (undefined at its own index). */
  readonly inbound: readonly (MessageRing | undefined)[];
  /** Rings from this reactor to each other one. */
  readonly outbound: readonly (MessageRing | undefined)[];
  readonly ring?: Uring | null;
  /** Wakes another reactor if it sleeps. */
  readonly wakeOther: (reactor: number) => void;
  /** A process-wide counter for ids of logical threads: returns the next. */
  readonly nextThreadId: () => number;
}

/** A message that found its ring full, kept in order until there is room. */
interface Postponed {
  readonly to: number;
  readonly message: Float64Array;
}

/**
 * Runs logical threads in turn. It owns no loop of its own: whoever drives it calls {@link pollOnce}.
 */
export class Reactor {
  readonly index: number;
  readonly count: number;
  readonly lcore: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly regions: RegionTable;
  readonly buffers: BufferPool;
  readonly control: ControlLink;
  /** Services by name, for those that find each other on one reactor. */
  readonly services = new Map<string, ReactorService>();
  /** Time of the current iteration, ticks: what the I/O path uses instead of a clock. */
  now: number;
  busy_ticks = 0;
  idle_ticks = 0;
  /** The thread's io_uring, or null on the portable path. */
  readonly ring: Uring | null;
  /** Who has to be armed before a sleep, beside the ring. */
  readonly sleepers: Sleeper[] = [];
  /** Called by {@link wake}: ends a sleep of the loop that drives this reactor. */
  onWake: (() => void) | null = null;

  private readonly parts: ReactorParts;
  private threadList: Thread[] = [];
  private readonly handlers: (MessageHandler | undefined)[] = new Array(MESSAGE_KINDS).fill(undefined);
  private readonly time = new Float64Array(1);
  private readonly scratch = new Float64Array(MESSAGE_ARGUMENTS + 1);
  private readonly postponed: Postponed[] = [];
  /** Messages of this reactor to itself. */
  private own: Float64Array[] = [];
  private pollerIds = 0;
  private lastWork = 0;

  constructor(parts: ReactorParts) {
    this.parts = parts;
    this.index = parts.index;
    this.count = parts.count;
    this.lcore = parts.lcore;
    this.clock = parts.clock;
    this.random = parts.random;
    this.regions = parts.regions;
    this.buffers = parts.buffers;
    this.control = parts.control;
    this.ring = parts.ring ?? null;
    this.now = parts.clock.now();
  }

  /** Logical threads, in the order of their creation. */
  get threads(): readonly Thread[] {
    return this.threadList;
  }

  /** Makes a logical thread on this reactor. Names need not be unique; ids are, process-wide. */
  createThread(name: string, cpumask: readonly number[] = [this.lcore]): Thread {
    const thread = new Thread(this, this.parts.nextThreadId(), name, cpumask);
    this.threadList = [...this.threadList, thread];
    return thread;
  }

  addSleeper(sleeper: Sleeper): void {
    this.sleepers.push(sleeper);
  }
  removeSleeper(sleeper: Sleeper): void {
    this.sleepers.splice(this.sleepers.indexOf(sleeper), 1);
  }

  /** Before a sleep: arms all of them. True, and none is armed, if one has work. */
  armSleepers(): boolean {
    for (const sleeper of this.sleepers) {
      if (!sleeper.armSleep()) continue;
      this.disarmSleepers();
      return true;
    }
    return false;
  }
  disarmSleepers(): void {
    for (const sleeper of this.sleepers) sleeper.disarmSleep();
  }

  /** Before a nap in the ring: true if the reactor waits for devices that have enough to do, and only the ring will tell of work. */
  armNap(): boolean {
    let awaited = this.ring!.awaited;
    for (const sleeper of this.sleepers) {
      const more = sleeper.armNap === undefined ? -1 : sleeper.armNap();
      if (more < 0) return false;
      awaited += more;
    }
    return awaited >= NAP_AWAITED_MIN;
  }

  /** For Thread only: its exit is complete. */
  removeThread(thread: Thread): void {
    this.threadList = this.threadList.filter((other) => other !== thread);
  }

  nextPollerId(): number {
    return ++this.pollerIds;
  }

  /** One iteration over all threads. Returns the work done; 0 means idle. */
  pollOnce(): number {
    this.elapse();
    let work = this.takeMessages();
    const threads = this.threadList;
    for (let i = 0; i < threads.length; i++) work += threads[i]!.poll();
    this.lastWork = work;
    return work;
  }

  /** Takes the time, and books what has passed since the last iteration on who was busy in it. */
  private elapse(): void {
    const { time } = this;
    this.clock.read(time);
    const elapsed = time[0]! - this.now;
    this.now = time[0]!;
    if (elapsed <= 0) return;
    if (this.lastWork > 0) this.busy_ticks += elapsed;
    else this.idle_ticks += elapsed;
    const threads = this.threadList;
    let busy = 0;
    for (let i = 0; i < threads.length; i++) if (threads[i]!.lastWork > 0) busy++;
    const share = Math.floor(elapsed / (busy > 0 ? busy : 1));
    for (let i = 0; i < threads.length; i++) {
      const thread = threads[i]!;
      if (thread.lastWork > 0) thread.busy_ticks += share;
      else thread.idle_ticks += elapsed;
    }
  }

  /** Says who handles messages of a kind. Throws if somebody does already. */
  onMessage(kind: number, handler: MessageHandler): void {
    if (!Number.isInteger(kind) || kind < 0 || kind >= MESSAGE_KINDS)
      throw new RangeError(`message kind ${kind} is not in 0 … ${MESSAGE_KINDS - 1}`);
    if (this.handlers[kind] !== undefined) throw new Error(`message kind ${kind} has a handler already`);
    this.handlers[kind] = handler;
  }

  /**
   * Sends numbers to a reactor, this one included. Messages from one reactor to another arrive in order, none is
   * lost: those that find the ring full wait here.
   */
  sendMessage(to: number, kind: number, ...values: number[]): void {
    const message = new Float64Array(MESSAGE_ARGUMENTS + 1);
    message[0] = kind;
    message.set(values.slice(0, MESSAGE_ARGUMENTS), 1);
    if (to === this.index) {
      this.own.push(message);
      this.wake();
      return;
    }
    const waiting = this.postponed.some((other) => other.to === to);
    if (waiting || !this.push(to, message)) this.postponed.push({ to, message });
  }

  private push(to: number, m: Float64Array): boolean {
    const ring = this.parts.outbound[to];
    if (ring === undefined) throw new RangeError(`there is no reactor ${to}`);
    if (!ring.push(m[0]!, m[1]!, m[2]!, m[3]!, m[4]!, m[5]!, m[6]!, m[7]!)) return false;
    this.parts.wakeOther(to);
    return true;
  }

  private retryPostponed(): void {
    const full = new Set<number>();
    for (let i = 0; i < this.postponed.length; ) {
      const { to, message } = this.postponed[i]!;
      if (!full.has(to) && this.push(to, message)) this.postponed.splice(i, 1);
      else {
        full.add(to);
        i++;
      }
    }
  }

  private takeMessages(): number {
    if (this.postponed.length > 0) this.retryPostponed();
    const inbound = this.parts.inbound;
    let count = 0;
    if (this.own.length > 0) {
      const own = this.own;
      this.own = [];
      for (const message of own) this.dispatch(message, this.index);
      count = own.length;
    }
    for (let from = 0; from < inbound.length; from++) {
      const ring = inbound[from];
      if (ring === undefined) continue;
      for (let i = 0; i < RING_BATCH && ring.pop(this.scratch); i++) {
        this.dispatch(this.scratch, from);
        count++;
      }
    }
    return count;
  }

  private dispatch(message: Float64Array, from: number): void {
    const handler = this.handlers[message[0]!];
    if (handler === undefined)
      throw new Error(`reactor ${this.index}: no handler for message kind ${message[0]}`);
    handler(message, from);
  }

  /** True if something waits that needs no outside event: a sleep would be a mistake. */
  get hasPending(): boolean {
    if (this.postponed.length > 0 || this.own.length > 0) return true;
    for (const ring of this.parts.inbound) if (ring !== undefined && !ring.empty) return true;
    for (const thread of this.threadList) if (thread.hasMessages || thread.exited) return true;
    return false;
  }

  /** When the next timed poller is due, or Infinity. */
  get nextDue(): number {
    let due = Number.POSITIVE_INFINITY;
    for (const thread of this.threadList) due = Math.min(due, thread.nextDue);
    return due;
  }

  /**
   * Ends a sleep. Whatever completes outside an iteration (a socket's bytes, a file's callback) must call it: an
   * active poller is not run while its reactor sleeps.
   */
  wake(): void {
    if (this.onWake !== null) this.onWake();
  }
}
