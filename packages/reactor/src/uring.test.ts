import { setTimeout } from 'node:timers/promises';
import { type Native, native } from '@spdk-ts/native';
import { describe, expect, it } from 'vitest';
import { Uring, UringOp } from './uring.ts';

const EBUSY = -16;

describe.skipIf(native === null)('a ring', () => {
  const ring = (entries: number, cq_entries: number, addon = native!): Uring =>
    new Uring(addon, () => {}, null, { entries, cq_entries });

  /** A kernel that takes nothing every other time: older ones do that while completions wait for room. */
  function busyKernel(): Native {
    let calls = 0;
    return {
      ...native!,
      ringEnter: (fd, toSubmit, ...rest) =>
        toSubmit > 0 && ++calls % 2 === 0 ? EBUSY : native!.ringEnter(fd, toSubmit, ...rest),
    };
  }

  /** Enters until nothing more completes. */
  function drain(uring: Uring): void {
    for (let idle = 0; idle < 3; ) idle = uring.enter() === 0 && uring.pending === 0 ? idle + 1 : 0;
  }

  it('tells of each completion once, however many more than it holds', () => {
    const uring = ring(8, 16);
    expect([uring.entries, uring.cqEntries]).toEqual([8, 16]);
    const told: number[] = [];
    const handler = uring.addHandler({ uringComplete: (tag) => void told.push(tag) });
    for (let tag = 0; tag < 1000; tag++) uring.prepare(UringOp.NOP, -1, 0, 0, handler, tag);
    drain(uring);
    expect(told).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });

  it.each([
    ['this kernel', (): Native => native!],
    ['a busy kernel', busyKernel],
  ])('lets handlers prepare more than it holds, none called from within itself: %s', (_, addon) => {
    const uring = ring(2, 4, addon());
    const told = new Set<number>();
    let next = 0;
    let inside = false;
    const handler = uring.addHandler({
      uringComplete(tag) {
        expect(inside).toBe(false);
        inside = true;
        expect(told.has(tag)).toBe(false);
        told.add(tag);
        // Each of the first completions makes five more.
        for (let i = 0; i < 5 && next < 5000; i++) uring.prepare(UringOp.NOP, -1, 0, 0, handler, next++);
        inside = false;
      },
    });
    for (let i = 0; i < 20; i++) uring.prepare(UringOp.NOP, -1, 0, 0, handler, next++);
    drain(uring);
    expect(told.size).toBe(5000);
  });

  it.each([
    ['this kernel', (): Native => native!],
    ['a busy kernel', busyKernel],
  ])('does so with entries and completions of twice the size: %s', (_, addon) => {
    const uring = new Uring(addon(), () => {}, null, { entries: 4, cq_entries: 8, wide: true });
    const told: number[][] = [];
    const handler = uring.addHandler({
      uringComplete: (tag, result) => void told.push([tag, result]),
    });
    for (let tag = 0; tag < 500; tag++) {
      const at = uring.prepare(UringOp.NOP, -1, 0, 0, handler, tag);
      // Whatever is in the second half is no entry.
      for (let word = 16; word < 32; word++) uring.words[at + word] = 0xffff_ffff;
    }
    drain(uring);
    expect(told).toEqual(Array.from({ length: 500 }, (_, i) => [i, 0]));
    expect(uring.words.length).toBe(4 * 32);
  });

  it('does so where a thread of the kernel takes entries, which is woken when it has gone to sleep', async () => {
    const uring = new Uring(native!, () => {}, null, { entries: 4, cq_entries: 4096, threaded: true });
    const told: number[] = [];
    const handler = uring.addHandler({ uringComplete: (tag) => void told.push(tag) });
    for (const from of [0, 500]) {
      for (let tag = from; tag < from + 500; tag++) uring.prepare(UringOp.NOP, -1, 0, 0, handler, tag);
      while (told.length < from + 500) {
        uring.enter();
        await setTimeout(1);
      }
      // The thread goes to sleep after a second without entries.
      await setTimeout(1500);
    }
    expect(told).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(uring.inflight).toBe(0);
    expect(uring.enters).toBeGreaterThan(0);
  });

  it('waits for a completion, or for as long as it is told', () => {
    const uring = ring(8, 16);
    const told: number[] = [];
    const handler = uring.addHandler({ uringComplete: (tag) => void told.push(tag) });
    uring.wait(1_000_000);
    expect([uring.enter(), told]).toEqual([0, []]);
    uring.prepare(UringOp.NOP, -1, 0, 0, handler, 7);
    uring.wait(60_000_000_000);
    expect(uring.pending).toBe(0);
    expect([uring.enter(), told]).toEqual([1, [7]]);
  });

  it('is refused where the completion queue would be the smaller one', () => {
    expect(() => ring(64, 8)).toThrow(/io_uring_setup/);
  });
});
