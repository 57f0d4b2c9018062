/**
 * How much of everything that hosts can ask for there may be, and how much there is. Limits come with the target's
 * snapshot; what several threads count is in shared memory.
 */
export interface Limits {
  /** Connections of all transports. One more is closed as it is accepted. */
  readonly connections: number;
  /** Those of them that have not connected a queue yet. One more is closed as it is accepted. */
  readonly pending_connections: number;
  /** Controllers of all subsystems. Connect of one more ends with Controller Busy. */
  readonly controllers: number;
  /** Asynchronous Event Requests that a controller holds (AERL + 1). */
  readonly async_events: number;
  /** Hosts on the list of a subsystem, listeners of a subsystem, referrals. The call that adds one more fails. */
  readonly hosts: number;
  readonly listeners: number;
  readonly referrals: number;
  /** From accept to ICReq, from there to a Connect command, and without progress of what has begun; ms. */
  readonly icreq_timeout_ms: number;
  readonly connect_timeout_ms: number;
  readonly stall_timeout_ms: number;
  /** A PDU must have arrived, and what is sent have been taken, within this time, however steadily it goes on; ms. */
  readonly transfer_timeout_ms: number;
}

export const defaultLimits: Limits = {
  connections: 8192,
  pending_connections: 1024,
  controllers: 4096,
  async_events: 4,
  hosts: 1024,
  listeners: 16,
  referrals: 256,
  icreq_timeout_ms: 10_000,
  connect_timeout_ms: 30_000,
  stall_timeout_ms: 30_000,
  transfer_timeout_ms: 300_000,
};

const CONNECTIONS = 0;
const PENDING = 1;
const REFUSED_CONNECTIONS = 2;
const REFUSED_PENDING = 3;
const DROPPED = 4;
const WORDS = 8;

/** What all reactors count together. Not on the path of an I/O. */
export class SharedCounts {
  readonly memory: SharedArrayBuffer;
  private readonly words: Int32Array;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(WORDS * 4);
  }

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.words = new Int32Array(memory);
  }

  get connections(): number {
    return Atomics.load(this.words, CONNECTIONS);
  }
  get pending_connections(): number {
    return Atomics.load(this.words, PENDING);
  }
  get refused_connections(): number {
    return Atomics.load(this.words, REFUSED_CONNECTIONS);
  }
  get refused_pending_connections(): number {
    return Atomics.load(this.words, REFUSED_PENDING);
  }
  /** Connections that were ended because their host was too slow, or silent. */
  get dropped_connections(): number {
    return Atomics.load(this.words, DROPPED);
  }

  /** Takes a connection in, or says why there is no room for it; an empty text: there is. */
  admit(limits: Limits): string {
    if (this.pending_connections >= limits.pending_connections) {
      Atomics.add(this.words, REFUSED_PENDING, 1);
      return `${limits.pending_connections} connections have not said Connect yet (pending_connections)`;
    }
    if (Atomics.add(this.words, CONNECTIONS, 1) >= limits.connections) {
      Atomics.sub(this.words, CONNECTIONS, 1);
      Atomics.add(this.words, REFUSED_CONNECTIONS, 1);
      return `there are ${limits.connections} connections (connections)`;
    }
    return '';
  }
  /** A connection that was taken in has ended. */
  release(): void {
    Atomics.sub(this.words, CONNECTIONS, 1);
  }

  /** One connection more, or less, that has no queue. */
  addPending(change: 1 | -1): void {
    Atomics.add(this.words, PENDING, change);
  }
  dropped(): void {
    Atomics.add(this.words, DROPPED, 1);
  }
}
