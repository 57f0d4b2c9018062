import type { Thread } from './thread.ts';

/**
 * Something that threads do I/O through. Each thread that asks gets one channel of its own, made by `create` at
 * the first request and given to `destroy` when the last reference is put.
 */
export class IoDevice<C = unknown> {
  readonly name: string;
  readonly create: (thread: Thread) => C;
  readonly destroy: (context: C, thread: Thread) => void;
  /** Channels that exist, over all threads of the reactor. */
  channels = 0;
  /** Set by unregistration: no new channels; called when the last one is gone. */
  onUnused: (() => void) | null = null;
  unregistered = false;

  constructor(name: string, create: (thread: Thread) => C, destroy: (context: C, thread: Thread) => void) {
    this.name = name;
    this.create = create;
    this.destroy = destroy;
  }

  /** Refuses new channels, and calls `done` once the last channel is gone (at once if there is none). */
  unregister(done: () => void): void {
    this.unregistered = true;
    if (this.channels === 0) done();
    else this.onUnused = done;
  }
}

/** One thread's reference-counted channel of a device. */
export class IoChannel<C = unknown> {
  readonly device: IoDevice<C>;
  readonly thread: Thread;
  readonly context: C;
  ref = 1;

  constructor(device: IoDevice<C>, thread: Thread) {
    this.device = device;
    this.thread = thread;
    this.context = device.create(thread);
    device.channels++;
  }

  /** Gives one reference back. The last one destroys the channel. */
  put(): void {
    if (this.ref <= 0) throw new Error(`channel of ${this.device.name} was put more often than it was got`);
    if (--this.ref > 0) return;
    this.thread.forgetChannel(this as IoChannel);
    this.device.destroy(this.context, this.thread);
    this.device.channels--;
    if (this.device.channels === 0 && this.device.onUnused !== null) {
      const done = this.device.onUnused;
      this.device.onUnused = null;
      done();
    }
  }
}
