import type { BlkRequest } from './blk-request.ts';
import { DESC_BYTES, Desc, RingEvent } from './constants.ts';
import type { NotedRequest, PackedInflight } from './inflight-packed.ts';
import { type RingPlace, ringArea } from './queue-memory.ts';
import { needEvent, POLL_REQUESTS, Virtqueue, type VirtqueueParts } from './virtqueue.ts';

const DESC_WORDS = DESC_BYTES / 4;
const DESC_HALVES = DESC_BYTES / 2;
/** Halfwords of a descriptor. */
const ID = 6;
const FLAGS = 7;
/** Halfwords of an event suppression structure. */
const EVENT_OFFSET = 0;
const EVENT_FLAGS = 1;
const WRAP_BIT = 0x8000;

/** A position in the ring as GET_VRING_BASE and SET_VRING_BASE have it: available in the lower half, used in the upper. */
const position = (index: number, wrap: number): number => index | (wrap === 1 ? WRAP_BIT : 0);

/** A packed ring (virtio 1.2, 2.8): `available` of its place is the driver's event area, `used` the device's. */
export class PackedQueue extends Virtqueue {
  private readonly place: RingPlace;
  private desc: Uint32Array = new Uint32Array(0);
  private descHalves: Uint16Array = new Uint16Array(0);
  private driverEvent: Uint16Array = new Uint16Array(0);
  private deviceEvent: Uint16Array = new Uint16Array(0);
  /** Where the next request is taken, and the next one given back, each with its wrap counter (0 or 1). */
  private avail_index: number;
  private avail_wrap: number;
  private used_index: number;
  private used_wrap: number;
  /** Where a call was last considered; below 0 if that was a round before. */
  private signalled: number;
  /** Entries of the ring that requests under way take. */
  private slots = 0;
  private readonly tracker: PackedInflight | null;
  private readonly recovered: NotedRequest[];

  /** `base`: both positions. Throws VhostUserError if the ring is not where it is said to be. */
  constructor(parts: VirtqueueParts, place: RingPlace, base: number, tracker: PackedInflight | null) {
    super(parts);
    this.place = place;
    this.tracker = tracker;
    this.locate();
    this.avail_index = this.indexOf(base & 0x7fff);
    this.avail_wrap = (base >>> 15) & 1;
    this.used_index = this.indexOf((base >>> 16) & 0x7fff);
    this.used_wrap = base >>> 31;
    this.recovered = [];
    if (tracker !== null) this.recover(tracker);
    this.signalled = this.used_index;
    this.setNotify(false);
  }

  /** A position that lies beyond the ring begins it. */
  private indexOf(index: number): number {
    return index < this.size ? index : 0;
  }

  private recover(tracker: PackedInflight): void {
    const noted = tracker.recover(this.used_index, this.used_wrap, (index) => this.flagsAt(index));
    this.recovered.push(...noted.requests);
    this.used_index = noted.used_index;
    this.used_wrap = noted.used_wrap;
    // Whatever was taken and not given back is in the area, so the next one is told by its length.
    this.avail_index = noted.used_index;
    this.avail_wrap = noted.used_wrap;
    for (const { descriptors } of noted.requests) this.passAvailable(descriptors.length);
  }

  override locate(): void {
    const { memory, size, place } = this;
    const desc = ringArea(memory, 'descriptor ring', place.descriptor, size * DESC_BYTES, 16);
    const driver = ringArea(memory, "driver's event area", place.available, 4, 4);
    const device = ringArea(memory, "device's event area", place.used, 4, 4);
    this.desc = new Uint32Array(desc.buffer, desc.offset, size * DESC_WORDS);
    this.descHalves = new Uint16Array(desc.buffer, desc.offset, size * DESC_HALVES);
    this.driverEvent = new Uint16Array(driver.buffer, driver.offset, 2);
    this.deviceEvent = new Uint16Array(device.buffer, device.offset, 2);
  }

  override get base(): number {
    const available = position(this.avail_index, this.avail_wrap);
    return (available | (position(this.used_index, this.used_wrap) << 16)) >>> 0;
  }

  private flagsAt(index: number): number {
    return Atomics.load(this.descHalves, index * DESC_HALVES + FLAGS);
  }

  override get hasWork(): boolean {
    if (this.recovered.length > 0) return true;
    const flags = this.flagsAt(this.avail_index);
    return ((flags >> 7) & 1) === this.avail_wrap && ((flags >> 15) & 1) !== this.avail_wrap;
  }

  private passAvailable(slots: number): void {
    this.avail_index += slots;
    if (this.avail_index < this.size) return;
    this.avail_index -= this.size;
    this.avail_wrap ^= 1;
  }

  override poll(): number {
    let count = 0;
    while (count < POLL_REQUESTS && this.hasWork) {
      const request = this.sink.take();
      if (request === null) break;
      if (this.recovered.length > 0) this.beginRecovered(request, this.recovered.shift()!);
      else if (!this.begin(request)) {
        this.sink.giveBack(request);
        break;
      }
      count++;
      if (this.broken) break;
    }
    return count;
  }

  /** Takes the request at the present position. False if the ring is broken. */
  private begin(request: BlkRequest): boolean {
    const { desc, tracker, size } = this;
    const room = size - this.slots;
    let index = this.avail_index;
    let slots = 0;
    let whole = true;
    let flags = 0;
    if (room > 0 && tracker !== null) tracker.begin();
    request.begin(this);
    do {
      if (slots === room) {
        this.fail(`a request takes more than the ${room} of ${size} descriptors that are not under way`);
        return false;
      }
      const at = index * DESC_WORDS;
      const low = desc[at]!;
      const high = desc[at + 1]!;
      const bytes = desc[at + 2]!;
      const last = desc[at + 3]!;
      flags = last >>> 16;
      // That of the last one counts.
      request.head = last & 0xffff;
      if (tracker !== null) tracker.add(low, high, bytes, last & 0xffff, flags);
      whole = whole && this.addDescriptor(request, low, high, bytes, flags, slots);
      slots++;
      index = index + 1 === size ? 0 : index + 1;
    } while ((flags & Desc.NEXT) !== 0);
    request.entry = tracker === null ? 0 : tracker.end();
    this.passAvailable(slots);
    this.start(request, slots, whole);
    return true;
  }

  private addDescriptor(
    request: BlkRequest,
    low: number,
    high: number,
    bytes: number,
    flags: number,
    slots: number,
  ): boolean {
    if ((flags & Desc.INDIRECT) !== 0)
      // It is the only one of its request (2.8.5).
      return slots === 0 && (flags & Desc.NEXT) === 0 && this.addIndirect(request, low, high, bytes, false);
    request.add(this.memory.guest, this.memory.views, low, high, bytes, (flags & Desc.WRITE) !== 0);
    return true;
  }

  private start(request: BlkRequest, slots: number, whole: boolean): void {
    request.slots = slots;
    this.slots += slots;
    this.inflight++;
    const valid = request.finish();
    this.sink.execute(request, whole && valid);
  }

  private beginRecovered(request: BlkRequest, { entry, descriptors }: NotedRequest): void {
    let whole = true;
    request.begin(this);
    request.entry = entry;
    descriptors.forEach(({ low, high, bytes, id, flags }, i) => {
      request.head = id;
      whole = whole && this.addDescriptor(request, low, high, bytes, flags, i);
    });
    this.start(request, descriptors.length, whole);
  }

  override complete(request: BlkRequest, length: number): void {
    const { tracker, used_index, used_wrap } = this;
    const { entry, slots } = request;
    const at = used_index * DESC_HALVES;
    let flags = length > 0 ? Desc.WRITE : 0;
    if (used_wrap === 1) flags |= Desc.AVAIL | Desc.USED;
    this.passUsed(slots);
    if (tracker !== null) tracker.giving(entry, this.used_index, this.used_wrap);
    this.descHalves[at + ID] = request.head;
    this.desc[used_index * DESC_WORDS + 2] = length;
    Atomics.store(this.descHalves, at + FLAGS, flags);
    if (tracker !== null) tracker.given(entry);
    this.slots -= slots;
    this.inflight--;
    this.unpublished++;
    this.completed++;
  }

  private passUsed(slots: number): void {
    this.used_index += slots;
    if (this.used_index < this.size) return;
    this.used_index -= this.size;
    this.used_wrap ^= 1;
    this.signalled -= this.size;
  }

  /** Each is visible as it is given back. */
  protected override publish(): void {}

  protected override wantsCall(): boolean {
    const flags = Atomics.load(this.driverEvent, EVENT_FLAGS);
    const old = this.signalled;
    this.signalled = this.used_index;
    if (flags !== RingEvent.DESC || !this.event_idx) return flags !== RingEvent.DISABLE;
    const where = Atomics.load(this.driverEvent, EVENT_OFFSET);
    const offset = where & ~WRAP_BIT;
    const event = where >>> 15 === this.used_wrap ? offset : offset - this.size;
    return needEvent(event, this.used_index, old);
  }

  override setNotify(on: boolean): void {
    Atomics.store(this.deviceEvent, EVENT_FLAGS, on ? RingEvent.ENABLE : RingEvent.DISABLE);
  }
}
