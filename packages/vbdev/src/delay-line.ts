import type { BdevIo } from '@spdk-ts/bdev';
import { TICKS_PER_US } from '@spdk-ts/env';
import type { Poller, Thread } from '@spdk-ts/reactor';

/** A reactor does not fall asleep for what is due within this: its sleep is no finer. */
const SPIN_TICKS = 2000 * TICKS_PER_US;
/** For what is due later it wakes this often. */
const ALARM_US = 1000;
const SMALLEST = 64;

/** I/Os of one thread that are to end at a later time: a heap, soonest first, equals in the order they came. */
export class DelayLine {
  private readonly thread: Thread;
  private readonly ios: (BdevIo | null)[] = new Array(SMALLEST).fill(null);
  private due = new Float64Array(SMALLEST);
  private arrival = new Float64Array(SMALLEST);
  private status = new Int32Array(SMALLEST);
  private count = 0;
  private arrivals = 0;
  private readonly poller: Poller;
  private readonly alarm: Poller;
  private alarmed = false;

  /** `name`: of its pollers. */
  constructor(thread: Thread, name: string) {
    this.thread = thread;
    this.poller = thread.registerPoller(name, this.poll);
    this.alarm = thread.registerPoller(`${name}_alarm`, () => 0, ALARM_US);
    this.alarm.pause();
  }

  /** Completes an I/O with a status once the reactor's time is `due` (ticks). */
  hold(io: BdevIo, status: number, due: number): void {
    if (this.count === this.due.length) this.grow();
    const at = this.count++;
    this.set(at, io, due, this.arrivals++, status);
    this.rise(at);
  }

  /** Takes an I/O out without completing it. False if it is not here. */
  remove(io: BdevIo): boolean {
    for (let at = 0; at < this.count; at++) {
      if (this.ios[at] !== io) continue;
      this.take(at);
      return true;
    }
    return false;
  }

  /** Completes everything now: as it would have ended, or with `status`. */
  flush(status?: number): void {
    while (this.count > 0) {
      const io = this.ios[0]!;
      const own = this.status[0]!;
      this.take(0);
      io.complete(status ?? own);
    }
  }

  /** It must be empty. */
  destroy(): void {
    this.poller.unregister();
    this.alarm.unregister();
  }

  private readonly poll = (): number => {
    if (this.count === 0) {
      if (this.alarmed) this.setAlarm(false);
      return 0;
    }
    const now = this.thread.reactor.now;
    let ended = 0;
    while (this.count > 0 && this.due[0]! <= now) {
      const io = this.ios[0]!;
      const status = this.status[0]!;
      this.take(0);
      io.complete(status);
      ended++;
    }
    if (this.count === 0) return ended;
    const soon = this.due[0]! - now <= SPIN_TICKS;
    if (soon === this.alarmed) this.setAlarm(!soon);
    // What is due soon counts as work: it keeps the reactor awake.
    return soon ? ended + 1 : ended;
  };

  private setAlarm(on: boolean): void {
    this.alarmed = on;
    if (on) this.alarm.resume();
    else this.alarm.pause();
  }

  private grow(): void {
    const double = <A extends Float64Array | Int32Array>(from: A, to: A): A => {
      to.set(from);
      return to;
    };
    const size = this.count * 2;
    this.due = double(this.due, new Float64Array(size));
    this.arrival = double(this.arrival, new Float64Array(size));
    this.status = double(this.status, new Int32Array(size));
    while (this.ios.length < size) this.ios.push(null);
  }

  private set(at: number, io: BdevIo | null, due: number, arrival: number, status: number): void {
    this.ios[at] = io;
    this.due[at] = due;
    this.arrival[at] = arrival;
    this.status[at] = status;
  }

  private move(from: number, to: number): void {
    this.set(to, this.ios[from]!, this.due[from]!, this.arrival[from]!, this.status[from]!);
  }

  private before(a: number, b: number): boolean {
    if (this.due[a] !== this.due[b]) return this.due[a]! < this.due[b]!;
    return this.arrival[a]! < this.arrival[b]!;
  }

  private swap(a: number, b: number): void {
    const io = this.ios[a]!;
    const due = this.due[a]!;
    const arrival = this.arrival[a]!;
    const status = this.status[a]!;
    this.move(b, a);
    this.set(b, io, due, arrival, status);
  }

  private rise(at: number): void {
    let child = at;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.before(child, parent)) return;
      this.swap(child, parent);
      child = parent;
    }
  }

  private sink(at: number): void {
    let parent = at;
    for (;;) {
      let least = parent;
      const left = 2 * parent + 1;
      if (left < this.count && this.before(left, least)) least = left;
      if (left + 1 < this.count && this.before(left + 1, least)) least = left + 1;
      if (least === parent) return;
      this.swap(parent, least);
      parent = least;
    }
  }

  private take(at: number): void {
    const last = --this.count;
    if (at !== last) this.move(last, at);
    this.ios[last] = null;
    if (at === last) return;
    this.rise(at);
    this.sink(at);
  }
}
