import { RegionTable } from '@spdk-ts/env';
import { GuestMemory } from '@spdk-ts/guest-memory';
import { native } from '@spdk-ts/native';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GUEST_BASE, GuestRam } from '../../../../test/vhost/guest-ram.ts';
import { type Driver, PackedDriver, SplitDriver } from '../../../../test/vhost/rings.ts';
import type { BlkRequest } from './blk-request.ts';
import { viewsOf } from './guest-views.ts';
import { InflightArea } from './inflight.ts';
import { PackedQueue } from './packed-queue.ts';
import { RequestPool } from './request-pool.ts';
import { SplitQueue } from './split-queue.ts';
import { needEvent, type RequestSink, type Virtqueue, type VirtqueueParts } from './virtqueue.ts';

/** Takes requests and keeps them until the test gives them back. */
class Sink implements RequestSink {
  private readonly pool = new RequestPool();
  readonly taken: { request: BlkRequest; valid: boolean }[] = [];
  broken = '';
  take(): BlkRequest {
    return this.pool.take();
  }
  giveBack(request: BlkRequest): void {
    this.pool.give(request);
  }
  execute(request: BlkRequest, valid: boolean): void {
    this.taken.push({ request, valid });
  }
  ringBroken(_: Virtqueue, why: string): void {
    this.broken = why;
  }
  /** Ends the request taken first, or the one at `index`. */
  end(length: number, index = 0): void {
    const [{ request }] = this.taken.splice(index, 1) as [{ request: BlkRequest }];
    request.queue!.complete(request, length);
    this.pool.give(request);
  }
}

describe('event indices', () => {
  it.each([
    // [event, now, old, wanted]: the examples that virtio 1.2, 2.7.10.1 implies, across the end of 16 bits too
    [0, 1, 0, true],
    [0, 0, 0, false],
    [1, 1, 0, false],
    [5, 10, 3, true],
    [2, 10, 3, false],
    [10, 10, 3, false],
    [0xffff, 0, 0xffff, true],
    [0xfffe, 2, 0xffff, false],
    [1, 2, 0xfff0, true],
  ])('event %i, now %i, before %i', (event, now, old, wanted) => {
    expect(needEvent(event, now, old)).toBe(wanted);
  });
});

describe.skipIf(native === null)('virtqueues (need the addon for the guest memory)', () => {
  let ram: GuestRam;
  let regions: RegionTable;
  let guest: GuestMemory;
  let sink: Sink;
  let call: number;

  beforeEach(() => {
    ram = new GuestRam(1 << 20);
    regions = new RegionTable();
    guest = new GuestMemory(regions);
    guest.map({ address: GUEST_BASE, length: ram.size, fd: ram.fd, offset: 0, writable: true });
    sink = new Sink();
    call = native!.eventFd();
  });
  afterEach(() => {
    guest.clear();
    ram.close();
    native!.closeFd(call);
  });

  const parts = (size: number, more: Partial<VirtqueueParts> = {}): VirtqueueParts => ({
    ...{ index: 0, size, event_idx: false, indirect: true, write_through: false, sink },
    memory: { guest, views: viewsOf(regions), regions },
    ...more,
  });
  const placeOf = ({ place }: Driver) => ({
    descriptor: ram.address(place.descriptor),
    available: ram.address(place.available),
    used: ram.address(place.used),
  });
  interface Made {
    driver: SplitDriver | PackedDriver;
    queue: Virtqueue;
  }
  const make = (packed: boolean, size: number, more: Partial<VirtqueueParts> = {}): Made => {
    const driver = packed ? new PackedDriver(ram, size) : new SplitDriver(ram, size);
    const queue = packed
      ? new PackedQueue(parts(size, more), placeOf(driver), 0x8000_8000, null)
      : new SplitQueue(parts(size, more), placeOf(driver), 0, null);
    queue.call_fd = call;
    return { driver, queue };
  };

  /** A read of so many bytes, whose header, data and status lie one after the other. */
  const chain = (bytes: number, sector: number): { address: number; length: number; write: boolean }[] => {
    const at = ram.allocate(16 + bytes + 1);
    ram.view.setUint32(at, 0, true);
    ram.setU64(at + 8, sector);
    return [
      { address: ram.address(at), length: 16, write: false },
      { address: ram.address(at + 16), length: bytes, write: true },
      { address: ram.address(at + 16 + bytes), length: 1, write: true },
    ];
  };

  describe.each([
    ['split', false],
    ['packed', true],
  ])('%s', (_, packed) => {
    it.each([false, true])('bring requests with their data (indirect: %s)', (indirect) => {
      const { driver, queue } = make(packed, 8);
      const buffers = chain(512, 0x1234_5678_9abc);
      const id = driver.push(buffers, indirect);
      expect(queue.poll()).toBe(1);
      const [{ request, valid }] = sink.taken as [{ request: BlkRequest; valid: boolean }];
      expect([valid, request.type, request.in_bytes, request.out_bytes]).toEqual([true, 0, 512, 0]);
      expect([request.sector_low, request.sector_high]).toEqual([0x5678_9abc, 0x1234]);
      const { iovs } = request;
      expect([iovs.count, iovs.offset[0], iovs.length[0]]).toEqual([
        1,
        buffers[1]!.address - GUEST_BASE,
        512,
      ]);
      expect(request.status_offset).toBe(buffers[2]!.address - GUEST_BASE);
      sink.end(513);
      queue.flush(0);
      expect(driver.take()).toEqual([{ id, length: 513 }]);
      expect(queue.inflight).toBe(0);
    });

    it('bring headers and statuses that are cut anywhere', () => {
      const { driver, queue } = make(packed, 16);
      const [header, data, status] = chain(512, 77) as [
        { address: number; length: number; write: boolean },
        never,
        never,
      ];
      for (const [cuts, together] of [
        [[5, 11], false],
        [[1, 7, 8], true],
      ] as const) {
        let at = 0;
        const pieces = cuts.map((length) => {
          at += length;
          return { address: header.address + at - length, length, write: false };
        });
        const rest = together
          ? [{ ...(data as typeof header), length: 513 }]
          : [data as typeof header, status as typeof header];
        driver.push([...pieces, ...rest]);
        queue.poll();
        const { request, valid } = sink.taken[0]!;
        expect([
          valid,
          request.sector_low,
          request.in_bytes,
          request.iovs.count,
          request.iovs.length[0],
        ]).toEqual([...[true, 77, 512, 1, 512]]);
        sink.end(513);
        queue.flush(0);
        expect(driver.take()).toHaveLength(1);
      }
    });

    it('go round, whatever the order in which requests end', () => {
      const { driver, queue } = make(packed, 8, { event_idx: true });
      const expected: number[] = [];
      const came: number[] = [];
      const buffers = chain(512, 0);
      for (let round = 0; round < 300; round++) {
        const wanted = 1 + (round % 2);
        for (let i = 0; i < wanted; i++) expected.push(driver.push(buffers, round % 3 === 0));
        queue.poll();
        expect(queue.inflight).toBe(sink.taken.length);
        while (sink.taken.length > 0) sink.end(513, sink.taken.length - 1);
        queue.flush(0);
        for (const { id, length } of driver.take()) {
          expect(length).toBe(513);
          came.push(id);
        }
      }
      expect([...came].sort()).toEqual([...expected].sort());
      expect(sink.broken).toBe('');
    });

    it('call the driver as it wants', () => {
      const { driver, queue } = make(packed, 8);
      const suppress = (on: boolean): void => {
        const { available } = driver.place;
        ram.view.setUint16(packed ? available + 2 : available, on ? 1 : 0, true);
      };
      const round = (): boolean => {
        driver.push(chain(512, 0));
        queue.poll();
        sink.end(513);
        queue.flush(0);
        driver.take();
        return native!.drainEventFd(call);
      };
      expect(round()).toBe(true);
      suppress(true);
      expect(round()).toBe(false);
      suppress(false);
      expect(round()).toBe(true);
    });

    it('put calls off while they are coalesced', () => {
      const { driver, queue } = make(packed, 8);
      queue.call_delay = 1000;
      const round = (now: number): boolean => {
        driver.push(chain(512, 0));
        queue.poll();
        sink.end(513);
        queue.flush(now);
        expect(driver.take()).toHaveLength(1);
        return native!.drainEventFd(call);
      };
      expect(round(5000)).toBe(true);
      expect(round(5500)).toBe(false);
      expect(queue.owesCall).toBe(true);
      queue.flush(5999);
      expect(native!.drainEventFd(call)).toBe(false);
      queue.flush(6000);
      expect([native!.drainEventFd(call), queue.owesCall]).toEqual([true, false]);
    });

    it('want kicks only before a sleep, and see what came before they said so', () => {
      const { driver, queue } = make(packed, 8);
      expect(driver.wantsKick).toBe(false);
      expect(queue.armSleep()).toBe(true); // nobody can wake it
      queue.setKick(native!.eventFd(), () => {});
      expect(queue.armSleep()).toBe(false);
      expect(driver.wantsKick).toBe(true);
      queue.disarmSleep();
      expect(driver.wantsKick).toBe(false);
      driver.push(chain(512, 0));
      expect(queue.armSleep()).toBe(true);
      expect(driver.wantsKick).toBe(false);
      queue.closeKick();
    });
  });

  it('split rings write event indices that a driver passes only when they sleep', () => {
    const { driver, queue } = make(false, 8, { event_idx: true });
    const event = (): number => ram.view.getUint16(driver.place.used + 4 + 8 * 8, true);
    /** What a driver does that has added one entry (2.7.10.1). */
    const kicks = (index: number): boolean => needEvent(event(), index, index - 1);
    for (let index = 1; index < 70_000; index++) {
      driver.push(chain(512, 0));
      expect(kicks(index & 0xffff)).toBe(false);
      queue.poll();
      sink.end(513);
      queue.flush(0);
      driver.take();
      ram.release(4096);
    }
    queue.setKick(native!.eventFd(), () => {});
    queue.armSleep();
    expect(kicks(70_000 & 0xffff)).toBe(true);
    queue.closeKick();
  });

  it('packed rings heed the event that a driver names', () => {
    const { driver, queue } = make(true, 4, { event_idx: true });
    const want = (index: number, wrap: number): void => {
      ram.view.setUint16(driver.place.available, index | (wrap << 15), true);
      ram.view.setUint16(driver.place.available + 2, 2, true);
    };
    const round = (): boolean => {
      driver.push(chain(512, 0), true);
      queue.poll();
      sink.end(513);
      queue.flush(0);
      driver.take();
      return native!.drainEventFd(call);
    };
    want(2, 1);
    expect([round(), round(), round(), round()]).toEqual([false, false, true, false]);
    want(1, 0);
    expect([round(), round(), round()]).toEqual([false, true, false]);
    want(0, 1); // across the end
    expect([round(), round()]).toEqual([false, true]);
  });

  describe.each([
    ['split', false],
    ['packed', true],
  ])('what the next back-end finds of %s rings', (_, packed) => {
    const size = 8;
    const open = (fd: number, driver: Driver, area: InflightArea): Virtqueue => {
      const mapped = new InflightArea(fd, area.description, packed);
      return packed
        ? new PackedQueue(parts(size), placeOf(driver), 0, mapped.packedRing(0, size))
        : new SplitQueue(parts(size), placeOf(driver), 0, mapped.split(0, size));
    };

    it('is everything that was not given back, in the order in which it was taken', () => {
      const { fd, area } = InflightArea.create(
        { num_queues: 1, queue_size: size, mmap_size: 0, mmap_offset: 0 },
        packed,
      );
      const driver = packed ? new PackedDriver(ram, size) : new SplitDriver(ram, size);
      let queue: Virtqueue = packed
        ? new PackedQueue(parts(size), placeOf(driver), 0x8000_8000, area.packedRing(0, size))
        : new SplitQueue(parts(size), placeOf(driver), 0, area.split(0, size));
      const outstanding = new Map<number, number>();
      let sector = 0;
      for (let life = 0; life < 60; life++) {
        // Some requests, of which some end, out of order; then the back-end is gone.
        while (outstanding.size < 5) outstanding.set(driver.push(chain(512, ++sector), true), sector);
        queue.poll();
        for (let i = 0; i < life % 4 && sink.taken.length > 1; i++)
          sink.end(513, (life + i) % sink.taken.length);
        // It may have ended before it told: the split ring's index then covers nothing of the batch.
        if (life % 3 !== 0) queue.flush(0);
        for (const { id } of driver.take()) expect(outstanding.delete(id)).toBe(true);
        const left = [...outstanding.values()].sort((a, b) => a - b);
        sink.taken.splice(0);
        queue = open(fd, driver, area);
        queue.poll();
        expect(sink.taken.map(({ request }) => request.sector_low)).toEqual(left);
        expect(sink.taken.every(({ valid }) => valid)).toBe(true);
        ram.release(ram.mark > 900_000 ? 300_000 : ram.mark);
      }
      while (sink.taken.length > 0) sink.end(513);
      queue.flush(0);
      for (const { id } of driver.take()) expect(outstanding.delete(id)).toBe(true);
      expect(outstanding.size).toBe(0);
      native!.closeFd(fd);
    });
  });
});
