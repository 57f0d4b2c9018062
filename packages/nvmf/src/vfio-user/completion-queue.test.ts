import { closeSync } from 'node:fs';
import { RegionTable } from '@spdk-ts/env';
import { GuestMemory } from '@spdk-ts/guest-memory';
import { native } from '@spdk-ts/native';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NvmfRequest } from '../request.ts';
import { CompletionQueue } from './completion-queue.ts';
import { Doorbells } from './doorbells.ts';
import { BAR0_BYTES, REGISTER_BYTES } from './layout.ts';
import { SessionMemory } from './session-memory.ts';

const PAGE = 4096;
const VECTOR = 3;
const HEAD = 2 * 1 + 1;

describe.skipIf(native === null)('interrupts of a completion queue (needs the addon)', () => {
  let fds: number[];
  let event: number;
  let memory: GuestMemory;
  let cq: CompletionQueue;
  /** The guest's doorbells. */
  let bar0: Int32Array;
  let now: number;

  const begin = (adaptive: boolean): void => {
    const addon = native!;
    const [guest, bar, shared] = [PAGE, BAR0_BYTES, 16_384].map((bytes) => addon.memoryFile('test', bytes));
    event = addon.eventFd();
    fds = [guest!, bar!, shared!, event];
    memory = new GuestMemory(new RegionTable());
    memory.map({ address: 0, length: PAGE, fd: guest!, offset: 0, writable: true });
    const session = new SessionMemory(shared);
    session.setVector(VECTOR, event);
    bar0 = new Int32Array(addon.mapDescriptor(bar!, 0, BAR0_BYTES, 1), REGISTER_BYTES);
    const counts = { trapped: 0, mapped: 0, shadowed: 0 };
    const doorbells = new Doorbells(bar!, counts, true);
    cq = new CompletionQueue({ qid: 1, address: 0, size: 8, vector: VECTOR, adaptive }, session, doorbells);
    cq.attach(memory);
  };
  beforeEach(() => {
    now = 0;
  });
  afterEach(() => {
    memory.clear();
    for (const fd of fds) closeSync(fd);
  });
  const post = (): void => {
    expect(cq.hasRoom()).toBe(true);
    cq.post({ dw0: 0, dw1: 0, cid: 1, status: 0 } as NvmfRequest, 0, 1, now);
  };
  /** One iteration's end: whether all is told, and whether the guest was interrupted. */
  const announce = (): [boolean, boolean] => [cq.announce(now), native!.drainEventFd(event)];

  it('are given at once to a guest that does not look', () => {
    begin(true);
    for (const round of [1, 2]) {
      post();
      expect(announce(), `round ${round}`).toEqual([true, true]);
    }
    // it takes all of that, and goes to sleep again
    bar0[HEAD] = 2;
    post();
    expect(announce()).toEqual([true, true]);
    expect(announce()).toEqual([true, false]);
  });

  it('wait for a guest that takes entries just now, and are given when it stops before the last', () => {
    begin(true);
    post();
    expect(announce()).toEqual([true, true]);
    post();
    post();
    bar0[HEAD] = 1;
    expect(announce()).toEqual([false, false]);
    bar0[HEAD] = 2;
    expect(announce()).toEqual([false, false]);
    expect(announce()).toEqual([true, true]);
  });

  it('are not given for what the guest has taken without one', () => {
    begin(true);
    post();
    expect(announce()).toEqual([true, true]);
    post();
    bar0[HEAD] = 2;
    expect(announce()).toEqual([true, false]);
    post();
    expect(announce()).toEqual([true, true]);
  });

  it('are given for every batch when they are not to adapt', () => {
    begin(false);
    for (let head = 0; head < 7; head++) {
      post();
      bar0[HEAD] = head + 1;
      expect(announce()).toEqual([true, true]);
    }
  });
});
