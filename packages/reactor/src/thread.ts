import { TICKS_PER_US } from '@spdk-ts/env';
import { IoChannel, type IoDevice } from './io-channel.ts';
import { Poller, type PollFunction } from './poller.ts';
import type { Reactor } from './reactor.ts';

/** Messages a thread takes in one iteration, so that a flood cannot starve its pollers. */
const MESSAGE_BATCH = 8;

/**
 * A logical thread: pollers, messages and channels that run to completion on one reactor. Everything a thread
 * owns is touched by that thread alone.
 */
export class Thread {
  readonly id: number;
  readonly name: string;
  readonly reactor: Reactor;
  /** Cores it may run on. */
  cpumask: number[];
  readonly createdAt: number;
  busy_ticks = 0;
  idle_ticks = 0;
  /** Work of the last iteration: who the elapsed time is charged to. */
  lastWork = 0;
  exited = false;

  private active: Poller[] = [];
  /** Ordered by due time, soonest first. */
  private timed: Poller[] = [];
  private paused: Poller[] = [];
  private readonly messages: (() => void)[] = [];
  private messageHead = 0;
  private readonly channels = new Map<IoDevice, IoChannel>();
  private onExited: (() => void) | null = null;

  constructor(reactor: Reactor, id: number, name: string, cpumask: readonly number[]) {
    this.reactor = reactor;
    this.id = id;
    this.name = name;
    this.cpumask = [...cpumask];
    this.createdAt = reactor.now;
  }

  /** One iteration: some messages, every active poller, the timed pollers that are due. Returns the work done. */
  poll(): number {
    let work = this.messages.length > this.messageHead ? this.runMessages() : 0;
    const active = this.active;
    for (let i = active.length - 1; i >= 0; i--) {
      const poller = active[i]!;
      if (poller.state === 'waiting') work += this.runPoller(poller);
    }
    while (this.timed.length > 0 && this.timed[0]!.due <= this.reactor.now) {
      const poller = this.timed.shift()!;
      work += this.runPoller(poller);
      if (poller.state !== 'waiting') continue;
      poller.due = Math.max(poller.due + poller.period_ticks, this.reactor.now + 1);
      this.insertTimed(poller);
    }
    this.lastWork = work;
    if (this.onExited !== null) this.finishExit();
    return work;
  }

  private runPoller(poller: Poller): number {
    poller.state = 'running';
    const work = poller.run();
    // The poller may have paused or unregistered itself: TypeScript cannot see that.
    if ((poller.state as string) === 'running') poller.state = 'waiting';
    return work;
  }

  private runMessages(): number {
    let count = 0;
    while (count < MESSAGE_BATCH && this.messageHead < this.messages.length) {
      const message = this.messages[this.messageHead++]!;
      message();
      count++;
    }
    if (this.messageHead === this.messages.length) {
      this.messages.length = 0;
      this.messageHead = 0;
    }
    return count;
  }

  /** Calls `message` on this thread at a later iteration. From this thread's reactor only. */
  send(message: () => void): void {
    this.messages.push(message);
    this.reactor.wake();
  }

  /** Registers a poller: active with period 0, else timed. */
  registerPoller(name: string, fn: PollFunction, period_us = 0): Poller {
    if (this.exited) throw new Error(`thread ${this.name} has exited: it takes no poller (${name})`);
    const poller = new Poller(this.reactor.nextPollerId(), name, this, fn, period_us * TICKS_PER_US);
    if (poller.period_ticks === 0) this.active.push(poller);
    else {
      poller.due = this.reactor.now + poller.period_ticks;
      this.insertTimed(poller);
    }
    this.reactor.wake();
    return poller;
  }

  private insertTimed(poller: Poller): void {
    let at = this.timed.length;
    while (at > 0 && this.timed[at - 1]!.due > poller.due) at--;
    this.timed.splice(at, 0, poller);
  }

  private remove(poller: Poller): void {
    this.active = this.active.filter((other) => other !== poller);
    this.timed = this.timed.filter((other) => other !== poller);
    this.paused = this.paused.filter((other) => other !== poller);
  }

  unregisterPoller(poller: Poller): void {
    this.remove(poller);
    poller.state = 'unregistered';
  }

  pausePoller(poller: Poller): void {
    if (poller.state === 'paused' || poller.state === 'unregistered') return;
    this.remove(poller);
    poller.state = 'paused';
    this.paused.push(poller);
  }

  resumePoller(poller: Poller): void {
    if (poller.state !== 'paused') return;
    this.remove(poller);
    poller.state = 'waiting';
    if (poller.period_ticks === 0) this.active.push(poller);
    else {
      poller.due = this.reactor.now + poller.period_ticks;
      this.insertTimed(poller);
    }
    this.reactor.wake();
  }

  /** When the next timed poller is due, or Infinity. */
  get nextDue(): number {
    return this.timed.length > 0 ? this.timed[0]!.due : Number.POSITIVE_INFINITY;
  }
  get hasMessages(): boolean {
    return this.messages.length > this.messageHead;
  }
  get activePollers(): readonly Poller[] {
    return this.active;
  }
  get timedPollers(): readonly Poller[] {
    return this.timed;
  }
  get pausedPollers(): readonly Poller[] {
    return this.paused;
  }
  get ioChannels(): readonly IoChannel[] {
    return [...this.channels.values()];
  }

  /** This thread's channel of a device: a new reference to it, made if it is not there yet. */
  getIoChannel<C>(device: IoDevice<C>): IoChannel<C> {
    if (device.unregistered) throw new Error(`device ${device.name} is being unregistered`);
    const found = this.channels.get(device as IoDevice) as IoChannel<C> | undefined;
    if (found !== undefined) {
      found.ref++;
      return found;
    }
    const channel = new IoChannel(device, this);
    this.channels.set(device as IoDevice, channel as IoChannel);
    return channel;
  }

  /** The channel without taking a reference, or undefined. */
  findIoChannel<C>(device: IoDevice<C>): IoChannel<C> | undefined {
    return this.channels.get(device as IoDevice) as IoChannel<C> | undefined;
  }

  /** For IoChannel only: the last reference is gone. */
  forgetChannel(channel: IoChannel): void {
    this.channels.delete(channel.device);
  }

  /**
   * Ends the thread: it takes no new pollers, and `done` is called when its last poller, message and channel is
   * gone. Who owns those is responsible for giving them back; work in flight completes first.
   */
  exit(done: () => void): void {
    this.exited = true;
    this.onExited = done;
    this.reactor.wake();
  }

  private finishExit(): void {
    if (this.hasMessages || this.active.length + this.timed.length + this.paused.length > 0) return;
    if (this.channels.size > 0) return;
    const done = this.onExited!;
    this.onExited = null;
    this.reactor.removeThread(this);
    done();
  }
}
