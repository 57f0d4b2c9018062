import { TICKS_PER_MS, TICKS_PER_US } from '@spdk-ts/env';
import { NAP_TICKS, Naps } from './naps.ts';
import type { Reactor } from './reactor.ts';
import type { Uring } from './uring.ts';

/**
 * `adaptive`: spin while there is work and for a short while after, then sleep until something happens.
 * `poll`: always spin. `interrupt`: sleep as soon as there is no work.
 */
export type ReactorMode = 'adaptive' | 'poll' | 'interrupt';
export const reactorModes: readonly ReactorMode[] = ['adaptive', 'poll', 'interrupt'];

/** How long an adaptive reactor spins without work before it sleeps. */
const SPIN_TICKS = 200 * TICKS_PER_US;
/** How long a busy reactor may keep Node's event loop waiting. */
const TURN_TICKS = 400 * TICKS_PER_US;
/**
 * How long a turn goes on looking for work before it lets the event loop look, where work comes through the ring:
 * a round of the event loop costs a few µs, an answer that is due in between would be late by that.
 */
const LINGER_TICKS = 20 * TICKS_PER_US;
/** A nap that a timer would end sooner is not worth it. */
const SHORTEST_NAP_TICKS = 20 * TICKS_PER_US;
const NS_PER_TICK = 1000 / TICKS_PER_US;
/** setTimeout's longest delay. */
const LONGEST_SLEEP_MS = 0x7fff_ffff;

/** Words of a reactor's shared state: whether it sleeps, and when it was last seen polling (ms, wraps). */
export const STATE_SLEEPING = 0;
export const STATE_HEARTBEAT_MS = 1;
export const STATE_WORDS = 16;

const AWAKE = 0;
const ASLEEP = 1;

/** Wakes the loop whose shared state this is, if it sleeps. From any thread. */
export function wakeLoop(state: Int32Array): void {
  if (Atomics.compareExchange(state, STATE_SLEEPING, ASLEEP, AWAKE) === ASLEEP)
    Atomics.notify(state, STATE_SLEEPING);
}

/**
 * Drives a reactor from Node's event loop: bursts of iterations in setImmediate callbacks while there is work,
 * sleep in the event loop's own poll when there is none. Any event of the thread (socket, file, message port)
 * runs in between, and reaches the reactor through {@link Reactor.wake}.
 */
export class NodeLoop {
  readonly reactor: Reactor;
  mode: ReactorMode;
  private readonly state: Int32Array;
  private scheduled = false;
  private stopped = false;
  private timer: NodeJS.Timeout | null = null;
  private idleSince = 0;
  private armed = false;
  /** The reactor's ring, where it has one: entered once in each iteration. */
  private readonly ring: Uring | null;
  private readonly naps = new Naps();

  constructor(reactor: Reactor, mode: ReactorMode, state: Int32Array) {
    this.reactor = reactor;
    this.ring = reactor.ring;
    this.mode = mode;
    this.state = state;
  }

  start(): void {
    this.reactor.onWake = () => this.schedule();
    this.idleSince = this.reactor.clock.now();
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    this.reactor.onWake = null;
    if (this.timer !== null) clearTimeout(this.timer);
    wakeLoop(this.state);
  }

  get sleeping(): boolean {
    return !this.scheduled;
  }

  private schedule(): void {
    if (this.scheduled || this.stopped) return;
    this.scheduled = true;
    this.setAwake();
    setImmediate(this.turn);
  }

  private setAwake(): void {
    if (this.ring?.armed) this.ring.disarmSleep();
    this.reactor.disarmSleepers();
    if (this.timer !== null) {
      clearTimeout(this.timer);
      this.timer = null;
    }
    if (Atomics.compareExchange(this.state, STATE_SLEEPING, ASLEEP, AWAKE) === ASLEEP)
      Atomics.notify(this.state, STATE_SLEEPING); // resolves the pending waitAsync
  }

  private readonly turn = (): void => {
    if (this.stopped) return;
    const reactor = this.reactor;
    const linger = this.ring === null || this.mode === 'interrupt' ? 0 : LINGER_TICKS;
    let work = this.iterate();
    const start = reactor.now;
    this.state[STATE_HEARTBEAT_MS] = (start / TICKS_PER_MS) & 0x7fff_ffff;
    let now = start;
    let busyAt = start;
    if (work > 0) this.worked(now);
    while ((work > 0 || now - busyAt < linger) && now - start < TURN_TICKS) {
      if (work === 0 && this.naps.due(now - this.idleSince)) this.nap(now);
      work = this.iterate();
      now = reactor.now;
      if (work === 0) continue;
      busyAt = now;
      this.worked(now);
    }
    if (work === 0 && this.mayStaySleeping(now)) return;
    setImmediate(this.turn);
  };

  private worked(now: number): void {
    this.naps.worked(now - this.idleSince);
    this.idleSince = now;
  }

  /**
   * Waits in the ring instead of looking on, if an adaptive reactor waits for a device, and nothing else than the ring tells of
   * work: what comes through the event loop or from other threads has to wait for the nap's end.
   */
  private nap(now: number): void {
    const { reactor, ring } = this;
    if (this.mode !== 'adaptive' || ring === null) return;
    const ticks = Math.min(NAP_TICKS, reactor.nextDue - now);
    if (ticks < SHORTEST_NAP_TICKS || reactor.hasPending || !reactor.armNap()) return;
    this.naps.slept();
    ring.wait(Math.floor(ticks * NS_PER_TICK));
  }

  /** One iteration: what the ring has completed first, so that the pollers see it. */
  private iterate(): number {
    if (this.ring === null) return this.reactor.pollOnce();
    const completed = this.ring.enter();
    return completed + this.reactor.pollOnce() + this.ring.pending;
  }

  /** Goes to sleep if it is time to. False if there is a reason to poll on. */
  private mayStaySleeping(now: number): boolean {
    const spin = this.mode === 'adaptive' ? SPIN_TICKS : 0;
    if (this.mode === 'poll' || now - this.idleSince < spin) return false;
    const reactor = this.reactor;
    const due_ms = (reactor.nextDue - now) / TICKS_PER_MS;
    if (due_ms <= 0) return false;
    // Announce the sleep first, then look again: a sender looks at the announcement after it has pushed.
    Atomics.store(this.state, STATE_SLEEPING, ASLEEP);
    if (reactor.hasPending || reactor.armSleepers() || this.ring?.armSleep()) {
      reactor.disarmSleepers();
      Atomics.store(this.state, STATE_SLEEPING, AWAKE);
      return false;
    }
    this.scheduled = false;
    this.naps.slept();
    if (due_ms !== Number.POSITIVE_INFINITY)
      this.timer = setTimeout(() => this.schedule(), Math.min(Math.ceil(due_ms), LONGEST_SLEEP_MS));
    if (!this.armed) this.armWake();
    return true;
  }

  private armWake(): void {
    const wait = Atomics.waitAsync(this.state, STATE_SLEEPING, ASLEEP);
    if (!wait.async) {
      this.schedule();
      return;
    }
    this.armed = true;
    wait.value.then(() => {
      this.armed = false;
      if (!this.scheduled && Atomics.load(this.state, STATE_SLEEPING) === ASLEEP) this.armWake();
      else this.schedule();
    });
  }
}
