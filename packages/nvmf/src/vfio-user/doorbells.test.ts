import { closeSync } from 'node:fs';
import { Random, RegionTable } from '@spdk-ts/env';
import { GuestMemory } from '@spdk-ts/guest-memory';
import { native } from '@spdk-ts/native';
import { describe, expect, it } from 'vitest';
import { Doorbells } from './doorbells.ts';
import { BAR0_BYTES } from './layout.ts';

/** Linux' nvme_dbbuf_need_event(): 16-bit arithmetic. */
const needsEvent = (event: number, now: number, before: number): boolean =>
  ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);

describe.skipIf(native === null)('shadow doorbells', () => {
  const PAGE = 4096;
  const make = () => {
    const fd = native!.memoryFile('guest', 2 * PAGE);
    const bar0 = native!.memoryFile('bar0', BAR0_BYTES);
    const guest = new Int32Array(native!.mapDescriptor(fd, 0, 2 * PAGE, 1));
    const memory = new GuestMemory(new RegionTable());
    memory.map({ address: PAGE, length: 2 * PAGE, fd, offset: 0, writable: true });
    const counts = { trapped: 0, mapped: 0, shadowed: 0 };
    const doorbells = new Doorbells(bar0, counts, false);
    for (const one of [fd, bar0]) closeSync(one);
    doorbells.setShadow(PAGE, 2 * PAGE);
    expect(doorbells.attach(memory)).toBe(true);
    doorbells.clear(1, true);
    doorbells.clear(1, false);
    /** What Linux does for a new tail or head: true if it writes the doorbell. */
    const write = (index: number, value: number): boolean => {
      const before = guest[index]!;
      guest[index] = value;
      return needsEvent(guest[PAGE / 4 + index]! & 0xffff, value, before);
    };
    return { doorbells, guest, counts, write, memory };
  };

  it('are rung by nobody while they are polled, and by everybody before a sleep', () => {
    const { doorbells, write, counts } = make();
    const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
    console.log(`seed ${seed}`);
    const random = new Random(seed);
    const size = 64;
    let known = 0;
    let tail = 0;
    for (let step = 0; step < 20_000; step++) {
      if (random.below(10) === 0) {
        // It sleeps: whatever the guest does next must be told, unless it has been seen in the last look.
        if (doorbells.watch(2, known)) known = doorbells.tail(1, known, size);
        else {
          tail = (tail + 1 + random.below(3)) % size;
          expect(write(2, tail), `seed ${seed}, step ${step}`).toBe(true);
        }
        doorbells.unwatch(2, known);
      } else {
        const free = (known - tail - 1 + size) % size;
        const more = Math.min(free, 1 + random.below(5));
        if (more > 0) {
          tail = (tail + more) % size;
          expect(write(2, tail), `seed ${seed}, step ${step}`).toBe(false);
        }
      }
      if (random.below(3) > 0) known = doorbells.tail(1, known, size);
    }
    expect(counts.shadowed).toBeGreaterThan(1000);
    expect(doorbells.broken).toBe(-1);
  });

  it('hold nothing that is no place in the queue', () => {
    for (const value of [64, -1, 0x7fff_ffff]) {
      const { doorbells, write } = make();
      write(2, value);
      expect(doorbells.tail(1, 5, 64)).toBe(5);
      expect(doorbells.broken).toBe(2);
      write(3, value);
      expect(doorbells.head(1, 5, 9, 64)).toBe(5);
      expect(doorbells.broken).toBe(3);
    }
    // A head beyond what was posted.
    const { doorbells, write } = make();
    write(3, 10);
    expect(doorbells.head(1, 5, 9, 64)).toBe(5);
    expect(doorbells.broken).toBe(3);
  });

  it('are not those of the admin queue, and nothing takes their place while their memory is away', () => {
    const { doorbells, write, memory } = make();
    write(0, 3);
    expect(doorbells.tail(0, 0, 32)).toBe(0);
    doorbells.write(0, 4);
    expect(doorbells.tail(0, 0, 32)).toBe(4);
    doorbells.write(2, 7);
    expect(doorbells.tail(1, 0, 32)).toBe(0);
    write(2, 9);
    doorbells.detach();
    expect(doorbells.tail(1, 0, 32)).toBe(0);
    expect(doorbells.watch(2, 0)).toBe(false);
    expect(doorbells.attach(memory)).toBe(true);
    expect(doorbells.tail(1, 0, 32)).toBe(9);
    doorbells.setShadow(0, 0);
    expect(doorbells.tail(1, 0, 32)).toBe(7);
  });
});
