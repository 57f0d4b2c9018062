import type { BlkRequest } from './blk-request.ts';
import { AVAIL_NO_INTERRUPT, DESC_BYTES, Desc, USED_NO_NOTIFY } from './constants.ts';
import type { SplitInflight } from './inflight-split.ts';
import { type RingPlace, ringArea } from './queue-memory.ts';
import { needEvent, POLL_REQUESTS, Virtqueue, type VirtqueueParts } from './virtqueue.ts';

/** Halfwords of the available and of the used ring: flags, index, and what follows them. */
const FLAGS = 0;
const INDEX = 1;
const RING = 2;
const DESC_WORDS = DESC_BYTES / 4;

/** A split ring (virtio 1.2, 2.7). */
export class SplitQueue extends Virtqueue {
  private readonly place: RingPlace;
  private readonly mask: number;
  /** Descriptors: four words each. */
  private desc: Uint32Array = new Uint32Array(0);
  private avail: Uint16Array = new Uint16Array(0);
  /** The used ring as halfwords, for flags and indices, and its elements as words. */
  private used: Uint16Array = new Uint16Array(0);
  private usedWords: Uint32Array = new Uint32Array(0);
  /** Indices that run freely through 16 bits: next to take, next to give back, and where a call was last considered. */
  private last_avail: number;
  private used_index = 0;
  private signalled = 0;
  private readonly tracker: SplitInflight | null;
  /** Heads that are under way. */
  private readonly taken: Uint8Array;
  /** Heads that were under way when the last back-end ended, in their order. */
  private readonly recovered: number[];

  /** `base`: the index of the next available entry. Throws VhostUserError if the ring is not where it is said to be. */
  constructor(parts: VirtqueueParts, place: RingPlace, base: number, tracker: SplitInflight | null) {
    super(parts);
    this.place = place;
    this.mask = this.size - 1;
    this.last_avail = base & 0xffff;
    this.tracker = tracker;
    this.taken = new Uint8Array(this.size);
    this.locate();
    this.used_index = Atomics.load(this.used, INDEX);
    this.signalled = this.used_index;
    this.recovered = tracker === null ? [] : tracker.recover(this.used_index);
    // Whatever was taken and not given back is in the area, so the next one is told by their number.
    if (tracker !== null) this.last_avail = (this.used_index + this.recovered.length) & 0xffff;
    this.setNotify(false);
  }

  override locate(): void {
    const { memory, size, place } = this;
    const desc = ringArea(memory, 'descriptor table', place.descriptor, size * DESC_BYTES, 16);
    const avail = ringArea(memory, 'available ring', place.available, 6 + 2 * size, 2);
    const used = ringArea(memory, 'used ring', place.used, 6 + 8 * size, 4);
    this.desc = new Uint32Array(desc.buffer, desc.offset, size * DESC_WORDS);
    this.avail = new Uint16Array(avail.buffer, avail.offset, 3 + size);
    this.used = new Uint16Array(used.buffer, used.offset, 3 + 4 * size);
    this.usedWords = new Uint32Array(used.buffer, used.offset, 1 + 2 * size);
  }

  override get base(): number {
    return this.last_avail;
  }

  override get hasWork(): boolean {
    return this.recovered.length > 0 || Atomics.load(this.avail, INDEX) !== this.last_avail;
  }

  override poll(): number {
    if (this.recovered.length > 0) return this.pollRecovered();
    const ready = (Atomics.load(this.avail, INDEX) - this.last_avail) & 0xffff;
    if (ready === 0) return 0;
    if (ready > this.size) {
      this.fail(`${ready} requests are available in a ring of ${this.size}`);
      return 0;
    }
    let count = 0;
    while (count < ready && count < POLL_REQUESTS) {
      const request = this.sink.take();
      if (request === null) break;
      const head = this.avail[RING + (this.last_avail & this.mask)]!;
      if (head >= this.size || this.taken[head] !== 0) {
        this.sink.giveBack(request);
        this.fail(
          head >= this.size
            ? `descriptor ${head} is made available in a table of ${this.size}`
            : `descriptor ${head} is made available while it is under way`,
        );
        break;
      }
      this.last_avail = (this.last_avail + 1) & 0xffff;
      if (this.tracker !== null) this.tracker.taken(head);
      this.begin(request, head);
      count++;
      if (this.broken) break;
    }
    if (this.event_idx) this.keepQuiet();
    return count;
  }

  private begin(request: BlkRequest, head: number): void {
    this.taken[head] = 1;
    this.inflight++;
    request.begin(this);
    request.head = head;
    const whole = this.addChain(request, head);
    const valid = request.finish();
    this.sink.execute(request, whole && valid);
  }

  /** The buffers of a chain. False if it does not end as it should. */
  private addChain(request: BlkRequest, head: number): boolean {
    const { desc, size, memory } = this;
    let index = head;
    for (let steps = 0; steps < size; steps++) {
      const at = index * DESC_WORDS;
      const low = desc[at]!;
      const high = desc[at + 1]!;
      const bytes = desc[at + 2]!;
      const last = desc[at + 3]!;
      if ((last & Desc.INDIRECT) !== 0)
        // An indirect descriptor ends its chain (2.7.5.3.1).
        return (last & Desc.NEXT) === 0 && this.addIndirect(request, low, high, bytes, true);
      request.add(memory.guest, memory.views, low, high, bytes, (last & Desc.WRITE) !== 0);
      if ((last & Desc.NEXT) === 0) return true;
      index = last >>> 16;
      if (index >= size) return false;
    }
    return false;
  }

  override complete(request: BlkRequest, length: number): void {
    const { head } = request;
    const at = 1 + 2 * (this.used_index & this.mask);
    this.usedWords[at] = head;
    this.usedWords[at + 1] = length;
    this.used_index = (this.used_index + 1) & 0xffff;
    this.taken[head] = 0;
    this.inflight--;
    this.unpublished++;
    this.completed++;
    if (this.tracker !== null) this.tracker.used(head);
  }

  protected override publish(): void {
    Atomics.store(this.used, INDEX, this.used_index);
    if (this.tracker !== null) this.tracker.published(this.used_index);
  }

  protected override wantsCall(): boolean {
    if (!this.event_idx) return (Atomics.load(this.avail, FLAGS) & AVAIL_NO_INTERRUPT) === 0;
    const event = Atomics.load(this.avail, RING + this.size);
    const old = this.signalled;
    this.signalled = this.used_index;
    return needEvent(event, this.used_index, old);
  }

  override setNotify(on: boolean): void {
    if (this.event_idx) {
      if (on) Atomics.store(this.used, RING + 4 * this.size, this.last_avail);
      else this.keepQuiet();
    } else Atomics.store(this.used, FLAGS, on ? 0 : USED_NO_NOTIFY);
  }

  /** The event index is one that the driver has passed: it is moved along, so that it never comes round to it. */
  private keepQuiet(): void {
    this.used[RING + 4 * this.size] = (this.last_avail - 1) & 0xffff;
  }

  private pollRecovered(): number {
    let count = 0;
    while (this.recovered.length > 0 && count < POLL_REQUESTS) {
      const request = this.sink.take();
      if (request === null) break;
      this.begin(request, this.recovered.shift()!);
      count++;
    }
    return count;
  }
}
