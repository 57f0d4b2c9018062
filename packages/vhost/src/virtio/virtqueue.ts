import { native } from '@spdk-ts/native';
import type { BlkRequest } from './blk-request.ts';
import { DESC_BYTES, Desc } from './constants.ts';
import type { QueueMemory } from './queue-memory.ts';

/** Requests taken from a ring in one poll. */
export const POLL_REQUESTS = 64;

/** Who carries out what a ring brings. */
export interface RequestSink {
  /** A request to be filled in, or null: there is nothing now to carry one out with. */
  take(): BlkRequest | null;
  /** A request, read from its ring: `valid` if it is one. It is given to {@link Virtqueue.complete} in the end. */
  execute(request: BlkRequest, valid: boolean): void;
  /** A request that was taken and not begun. */
  giveBack(request: BlkRequest): void;
  /** A ring cannot go on: what the driver has put there contradicts itself. */
  ringBroken(queue: Virtqueue, why: string): void;
}

/** What a ring is made of. */
export interface VirtqueueParts {
  readonly index: number;
  readonly size: number;
  /** VIRTIO_F_EVENT_IDX was negotiated. */
  readonly event_idx: boolean;
  readonly indirect: boolean;
  /** The driver relies on a write being on the medium when it has ended: it knows no flush. */
  readonly write_through: boolean;
  readonly memory: QueueMemory;
  readonly sink: RequestSink;
}

/** True if an event index lies among the entries from `old` to `now` (virtio 1.2, 2.7.10.1). All are 16 bits. */
export const needEvent = (event: number, now: number, old: number): boolean =>
  ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);

/**
 * A ring that runs: takes requests and gives them back. Split and packed rings have classes of their own; here is what they
 * have in common. The driver may write anything at any time: each of its words is read once, and checked.
 */
export abstract class Virtqueue {
  readonly index: number;
  readonly size: number;
  readonly event_idx: boolean;
  protected readonly indirect: boolean;
  readonly write_through: boolean;
  readonly memory: QueueMemory;
  protected readonly sink: RequestSink;

  /** Requests that were taken and not given back. */
  inflight = 0;
  /** The front-end has enabled it. */
  enabled = true;
  broken = false;
  /** It is being stopped, or the memory changed: no request is taken. */
  paused = false;
  /** Given back, and not told to the driver. */
  protected unpublished = 0;
  /** Told to the driver's ring, but no call was made for it yet. */
  private callPending = false;
  /** While calls are coalesced: ticks between two of them, and the one before which there is none. */
  call_delay = 0;
  private next_call = 0;
  /** Requests given back since calls were last looked at. */
  completed = 0;
  /** Descriptors of eventfds, or -1. That of kicks is the queue's own. */
  private kick_fd = -1;
  call_fd = -1;
  err_fd = -1;
  private watch: unknown = null;
  private watching = false;

  constructor(parts: VirtqueueParts) {
    this.index = parts.index;
    this.size = parts.size;
    this.event_idx = parts.event_idx;
    this.indirect = parts.indirect;
    this.write_through = parts.write_through;
    this.memory = parts.memory;
    this.sink = parts.sink;
  }

  // --- what differs ---

  /** Takes up to so many requests. Returns how many. */
  abstract poll(): number;
  /** Gives a request back: `length` bytes of it were written. The driver is told by {@link flush}. */
  abstract complete(request: BlkRequest, length: number): void;
  /** What was given back becomes visible to the driver. */
  protected abstract publish(): void;
  /** True if the driver wants a call for what was published since the last. */
  protected abstract wantsCall(): boolean;
  /** Asks the driver for kicks, or for none. */
  abstract setNotify(on: boolean): void;
  /** True if there is a request to be taken. */
  abstract get hasWork(): boolean;
  /** Where the next one is, as GET_VRING_BASE tells it. */
  abstract get base(): number;
  /** Its ring lies elsewhere in this process, or is gone: after a change of the memory. Throws VhostUserError. */
  abstract locate(): void;

  // --- calls ---

  /** Tells the driver of what was given back. Returns 1 if there was something. */
  flush(now: number): number {
    if (this.unpublished > 0) {
      this.publish();
      this.unpublished = 0;
      this.callPending = true;
    } else if (!this.callPending) return 0;
    if (now < this.next_call) return 0;
    this.callPending = false;
    if (this.call_delay > 0) this.next_call = now + this.call_delay;
    if (this.wantsCall()) this.call();
    return 1;
  }

  /** Tells the driver of what was given back, and does not wait to tell of more. */
  flushNow(): void {
    this.next_call = 0;
    this.flush(0);
  }

  /** Signals the driver, wanted or not. */
  call(): void {
    if (this.call_fd >= 0) native!.signalForeignEventFd(this.call_fd);
  }

  /** True if something is to be told to the driver, now or a little later. */
  get owesCall(): boolean {
    return this.callPending || this.unpublished > 0;
  }

  /** The ring is not looked at any more: it may not even be there. */
  fail(why: string): void {
    this.broken = true;
    if (this.err_fd >= 0) native!.signalForeignEventFd(this.err_fd);
    this.sink.ringBroken(this, why);
  }

  /** True if requests may be taken. */
  get runs(): boolean {
    return this.enabled && !this.paused && !this.broken;
  }

  // --- sleep ---

  /** Takes over the descriptor of kicks, which wakes the reactor from now on; -1: there are none. */
  setKick(fd: number, wake: () => void): void {
    const watch = fd >= 0 ? native!.ringWatch(fd, wake) : null;
    this.closeKick();
    this.kick_fd = fd;
    this.watch = watch;
  }

  /** Before a sleep: kicks are wanted. True if there is work already. */
  armSleep(): boolean {
    if (this.owesCall) return true;
    if (!this.runs) return false;
    // Nobody kicks: it is to be polled.
    if (this.watch === null) return true;
    native!.drainEventFd(this.kick_fd);
    this.setNotify(true);
    if (this.hasWork) {
      this.setNotify(false);
      return true;
    }
    native!.ringWatchStart(this.watch);
    this.watching = true;
    return false;
  }

  disarmSleep(): void {
    if (this.watching) {
      this.watching = false;
      native!.ringWatchStop(this.watch);
    }
    if (this.runs) this.setNotify(false);
  }

  /** Ends the watch for kicks. */
  closeKick(): void {
    if (this.watch !== null) native!.ringWatchClose(this.watch);
    if (this.kick_fd >= 0) native!.closeFd(this.kick_fd);
    this.watch = null;
    this.watching = false;
    this.kick_fd = -1;
  }

  // --- indirect tables ---

  /**
   * Adds the buffers of an indirect table to a request. `linked`: the entries name the next one (split rings); else they
   * follow each other.
   */
  protected addIndirect(
    request: BlkRequest,
    low: number,
    high: number,
    bytes: number,
    linked: boolean,
  ): boolean {
    const { guest, views } = this.memory;
    const count = bytes / DESC_BYTES;
    // A chain may not be longer than the ring (2.7.5.3.1).
    if (!this.indirect || high >= 2 ** 20 || count < 1 || count > this.size || Math.floor(count) !== count)
      return false;
    if (!guest.find(low + high * 0x1_0000_0000, bytes, false)) return false;
    const view = views.view(guest.region);
    const { offset } = guest;
    let at = 0;
    for (let steps = 0; steps < count; steps++) {
      const entry = offset + at * DESC_BYTES;
      const last = view.getUint32(entry + 12, true);
      const flags = linked ? last & 0xffff : last >>> 16;
      if ((flags & Desc.INDIRECT) !== 0) return false;
      request.add(
        guest,
        views,
        view.getUint32(entry, true),
        view.getUint32(entry + 4, true),
        view.getUint32(entry + 8, true),
        (flags & Desc.WRITE) !== 0,
      );
      if (!linked) at++;
      else if ((flags & Desc.NEXT) === 0) return true;
      else {
        at = last >>> 16;
        if (at >= count) return false;
      }
    }
    // Linked entries that have not ended by now go round.
    return !linked;
  }
}
