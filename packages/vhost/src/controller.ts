import { getBdevService } from '@spdk-ts/bdev';
import { TICKS_PER_MS, TICKS_PER_US } from '@spdk-ts/env';
import { LimitedLogger, Logger } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import type { Poller, Reactor, Sleeper, Thread } from '@spdk-ts/reactor';
import { BlkDevice, type DeviceOwner } from './blk-device.ts';
import type { Coalescing, ControllerDescription } from './description.ts';
import { Session, type SessionInfo, type SessionOwner } from './session.ts';
import type { Virtqueue } from './virtio/virtqueue.ts';

/** Front-ends at one controller. */
const SESSIONS_MAX = 32;
/** How often the rate of requests is looked at. */
const RATE_PERIOD_MS = 10;
const WATCH_PERIOD_US = 1_000_000;
/** How long a front-end waits until the I/O of one that has left has ended, seconds. */
const LEAVE_S_MAX = 5;
const LEAVE_TICKS_MAX = LEAVE_S_MAX * 1000 * TICKS_PER_MS;
const log = new Logger('vhost');
let vids = 0;

/**
 * A controller on the reactor that serves it: its socket, its front-ends, and one poller for all their rings. Everything of it
 * happens on one logical thread.
 */
export class BlkController implements SessionOwner, DeviceOwner, Sleeper {
  readonly name: string;
  readonly thread: Thread;
  readonly device: BlkDevice;
  readonly complaints = new LimitedLogger(log, 'front-ends');
  private readonly reactor: Reactor;
  private readonly listen_fd: number;
  private readonly watch: unknown;
  private readonly sessions: Session[] = [];
  private session_ids = 0;
  /** Rings that run, of all front-ends. */
  private queues: readonly Virtqueue[] = [];
  private poller: Poller | null = null;
  /** Runs while there are front-ends, or some that could not be let in. */
  private housekeeping: Poller | null = null;
  private delay_base = 0;
  private rate_threshold = 0;
  private next_rate_check = 0;
  private listening = true;
  /** The last front-end was let in. */
  private accepting = true;
  private readonly onEmpty: (() => void)[] = [];

  /** Throws BdevError if the bdev is not there; the socket then stays the caller's. */
  constructor(reactor: Reactor, description: ControllerDescription) {
    this.reactor = reactor;
    this.name = description.name;
    this.thread = reactor.createThread(description.name, description.cpumask);
    try {
      this.device = new BlkDevice({ ...description, thread: this.thread, owner: this });
      this.listen_fd = description.listen_fd;
      this.watch = native!.ringWatch(this.listen_fd, () => this.thread.send(this.accept));
    } catch (error) {
      this.thread.exit(() => {});
      throw error;
    }
    reactor.addSleeper(this);
    native!.ringWatchStart(this.watch);
  }

  // --- front-ends ---

  private readonly accept = (): void => {
    if (!this.listening) return;
    this.housekeeping ??= this.thread.registerPoller('vhost_watch', () => this.look(), WATCH_PERIOD_US);
    try {
      for (let fd = native!.unixAccept(this.listen_fd); fd >= 0; fd = native!.unixAccept(this.listen_fd))
        this.add(fd);
      native!.ringWatchStart(this.watch);
      this.accepting = true;
    } catch (error) {
      this.accepting = false;
      // No descriptor is free, say: housekeeping tries again.
      this.complaints.error(`controller ${this.name} cannot take a connection: ${(error as Error).message}`);
    }
  };

  private add(fd: number): void {
    if (this.sessions.length >= SESSIONS_MAX) {
      this.turnAway(fd, `there are ${SESSIONS_MAX} front-ends`);
      return;
    }
    // The front-end may come back for what an ended session still has under way, and must not find it half done.
    const before = this.sessions.filter(({ leaving }) => leaving);
    const stuck = before.find(({ ended_at }) => this.reactor.now - ended_at > LEAVE_TICKS_MAX);
    if (stuck !== undefined) {
      this.turnAway(
        fd,
        `${stuck.name} has left, and its I/O has not ended: its guest's memory is still written to`,
      );
      return;
    }
    const vid = vids++ * this.reactor.count + this.reactor.index;
    const ids = { vid, id: this.session_ids++, name: `${this.name}s${vid}` };
    const session = new Session(this, fd, ids);
    this.sessions.push(session);
    log.info(`${session.name}: connected`);
    void Promise.all(before.map(({ left }) => left)).then(() => session.start());
  }

  private turnAway(fd: number, why: string): void {
    this.complaints.warn(`controller ${this.name} turns a front-end away: ${why}`);
    native!.closeFd(fd);
  }

  sessionEnded(session: Session): void {
    this.sessions.splice(this.sessions.indexOf(session), 1);
    if (this.sessions.length === 0) for (const done of this.onEmpty.splice(0)) done();
  }

  private restHousekeeping(): void {
    this.housekeeping?.unregister();
    this.housekeeping = null;
  }

  /** Once a second: front-ends whose memory is gone are not served any more. */
  private look(): number {
    for (const session of [...this.sessions])
      if (session.memory.guest.lost) session.close('memory that it had lent was taken away');
      else if (session.waits && this.reactor.now - session.since > LEAVE_TICKS_MAX)
        session.close(`I/O of a front-end before it has not ended in ${LEAVE_S_MAX} s: try again later`);
    this.complaints.endPeriod();
    if (this.listening) this.accept();
    if (this.sessions.length === 0 && this.accepting) this.restHousekeeping();
    return 0;
  }

  get info(): SessionInfo[] {
    return this.sessions.map(({ info }) => info);
  }

  // --- rings ---

  queuesChanged(): void {
    this.queues = this.sessions.flatMap(({ queues }) => queues);
    this.next_rate_check = 0;
    if (this.queues.length > 0) this.poller ??= this.thread.registerPoller('vdev_worker', this.poll);
    else {
      this.poller?.unregister();
      this.poller = null;
    }
  }

  private readonly poll = (): number => {
    const { queues } = this;
    const { now } = this.reactor;
    let work = 0;
    for (let i = 0; i < queues.length; i++) {
      const queue = queues[i]!;
      if (queue.runs) work += queue.poll();
    }
    // What could be done at once is told of in the same iteration.
    if (work > 0) getBdevService(this.reactor).settle(this.thread);
    if (this.delay_base > 0 && now >= this.next_rate_check) this.checkRates(now);
    for (let i = 0; i < queues.length; i++) work += queues[i]!.flush(now);
    return work;
  };

  private sessionOf(queue: Virtqueue): Session | undefined {
    return this.sessions.find(({ memory }) => memory === queue.memory);
  }

  queueDrained(queue: Virtqueue): void {
    this.sessionOf(queue)?.queueDrained();
  }

  ringBroken(queue: Virtqueue, why: string): void {
    this.complaints.error(
      `${this.sessionOf(queue)?.name}: ring ${queue.index} is not served any more: ${why}`,
    );
  }

  // --- coalescing ---

  setCoalescing({ delay_base_us, iops_threshold }: Coalescing): void {
    this.delay_base = delay_base_us * TICKS_PER_US;
    this.rate_threshold = Math.floor((iops_threshold * RATE_PERIOD_MS) / 1000);
    this.next_rate_check = 0;
    for (const queue of this.queues) queue.call_delay = 0;
  }

  /** A ring above the threshold has its calls put off the longer, the further it is above. */
  private checkRates(now: number): void {
    const { rate_threshold, delay_base } = this;
    const first = this.next_rate_check === 0;
    this.next_rate_check = now + RATE_PERIOD_MS * TICKS_PER_MS;
    for (const queue of this.queues) {
      const above = first ? 0 : queue.completed - rate_threshold;
      queue.completed = 0;
      queue.call_delay = above > 0 ? Math.floor((delay_base * above) / rate_threshold) : 0;
    }
  }

  // --- sleep ---

  armSleep(): boolean {
    for (const queue of this.queues) if (queue.armSleep()) return true;
    return false;
  }

  disarmSleep(): void {
    for (const queue of this.queues) queue.disarmSleep();
  }

  // --- the bdev ---

  /** The bdev has another size. */
  bdevResized(): void {
    for (const session of this.sessions) session.configChanged();
  }

  /** The bdev goes: resolves when it is not used any more. */
  async bdevRemoved(): Promise<void> {
    const detached = this.device.detach();
    for (const session of this.sessions) session.configChanged();
    await detached;
  }

  // --- end ---

  get busy(): boolean {
    return this.sessions.length > 0;
  }

  /** Ends it, and its connections; resolves when all I/O has ended and nothing of it is left. */
  async destroy(): Promise<void> {
    if (this.listening) {
      this.listening = false;
      native!.ringWatchClose(this.watch);
      native!.closeFd(this.listen_fd);
    }
    for (const session of [...this.sessions]) session.close('the controller is deleted');
    if (this.sessions.length > 0) await new Promise<void>((resolve) => this.onEmpty.push(resolve));
    await this.device.detach();
    this.restHousekeeping();
    this.reactor.removeSleeper(this);
    await new Promise<void>((resolve) => this.thread.exit(resolve));
  }
}
