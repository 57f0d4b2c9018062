import { type BdevIo, IoStatus } from '@spdk-ts/bdev';
import type { Poller, Thread } from '@spdk-ts/reactor';

const FREE = 0;
const TAKEN = 1;

/**
 * Lets writes reach a zone of a device one at a time, in the order in which a thread brought them: between a thread and
 * the device the kernel may change their order, and a zone takes only the write at its write pointer. Threads of all
 * reactors take turns by a word of shared memory.
 */
export class ZoneOrder {
  private readonly gates: Int32Array;
  private readonly zone_size: number;
  private readonly thread: Thread;
  private readonly start: (io: BdevIo) => void;
  /** What waits, by zone. */
  private readonly queues = new Map<number, BdevIo[]>();
  private poller: Poller | null = null;

  static allocate(num_zones: number): SharedArrayBuffer {
    return new SharedArrayBuffer(num_zones * 4);
  }

  /** `start`: begins an I/O whose turn it is. Its end is to be told to {@link ended}. */
  constructor(thread: Thread, gates: SharedArrayBuffer, zone_size: number, start: (io: BdevIo) => void) {
    this.thread = thread;
    this.gates = new Int32Array(gates);
    this.zone_size = zone_size;
    this.start = start;
  }

  private zoneOf(io: BdevIo): number {
    return Math.floor(io.offset_blocks / this.zone_size);
  }

  /** Takes a zone for something else than an I/O, if it is free now; {@link give} gives it back. */
  take(zone: number): boolean {
    return Atomics.compareExchange(this.gates, zone, FREE, TAKEN) === FREE;
  }

  /** Begins an I/O to a zone now, or when it is its turn. */
  begin(io: BdevIo): void {
    const zone = this.zoneOf(io);
    const queue = this.queues.get(zone);
    if (queue !== undefined) queue.push(io);
    else if (this.take(zone)) this.start(io);
    else {
      this.queues.set(zone, [io]);
      // The zone may be taken by another reactor, which tells nobody of its end.
      this.poller ??= this.thread.registerPoller('zone_order', this.poll);
    }
  }

  /** An I/O that was started has ended: the next one's turn. */
  ended(io: BdevIo): void {
    this.give(this.zoneOf(io));
  }

  give(zone: number): void {
    Atomics.store(this.gates, zone, FREE);
    this.startNext(zone);
  }

  private startNext(zone: number): boolean {
    const queue = this.queues.get(zone);
    if (queue === undefined || !this.take(zone)) return false;
    const io = queue.shift()!;
    if (queue.length === 0) this.drop(zone);
    this.start(io);
    return true;
  }

  private readonly poll = (): number => {
    for (const zone of this.queues.keys()) this.startNext(zone);
    return 1;
  };

  private drop(zone: number): void {
    this.queues.delete(zone);
    if (this.queues.size > 0 || this.poller === null) return;
    this.poller.unregister();
    this.poller = null;
  }

  /** Ends an I/O that waits. False if it does not. */
  abort(io: BdevIo): boolean {
    const zone = this.zoneOf(io);
    const queue = this.queues.get(zone);
    const at = queue?.indexOf(io) ?? -1;
    if (at < 0) return false;
    queue!.splice(at, 1);
    if (queue!.length === 0) this.drop(zone);
    io.complete(IoStatus.ABORTED);
    return true;
  }

  abortAll(): void {
    for (const queue of [...this.queues.values()]) for (const io of [...queue]) this.abort(io);
  }
}
