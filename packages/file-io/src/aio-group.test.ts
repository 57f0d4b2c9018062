import { writeSync } from 'node:fs';
import { ManualClock } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { LocalHost } from '@spdk-ts/reactor';
import { expect, it } from 'vitest';
import { acquireGroup } from './aio-group.ts';

/** A request that ends when a descriptor is readable: its events are where others have an address. */
const IOCB_CMD_POLL = 5;
const POLLIN = 1;

async function reactorWithRing() {
  const host = await LocalHost.start({ clock: new ManualClock(), plugins: [], uring: true });
  return { host, reactor: host.local[0]! };
}

const possible = native !== null && (await reactorWithRing().catch(() => null))?.reactor.ring != null;

it.skipIf(!possible)('the end of a request ends a nap in the ring, each time', async () => {
  const { host, reactor } = await reactorWithRing();
  const ring = reactor.ring!;
  const group = acquireGroup(reactor.threads[0]!);
  const fd = native!.eventFd();
  const ended: number[][] = [];
  const slot = group.take({
    aioEnded: (of, result, submitted) => void ended.push([of, result, Number(submitted)]),
  });
  expect(reactor.armNap()).toBe(false);
  for (let round = 1; round <= 3; round++) {
    group.prepare(slot, IOCB_CMD_POLL, fd, POLLIN, 0, 0, 0);
    expect(group.armNap()).toBe(-1); // it is not even submitted
    host.poll();
    expect(group.armNap()).toBe(1);
    expect(reactor.armNap()).toBe(false); // one I/O keeps no device busy
    ring.wait(1_000_000);
    expect(ring.enter()).toBe(0);
    expect(ended.length).toBe(round - 1);
    writeSync(fd, new BigUint64Array([1n]));
    let told = 0;
    for (let waits = 0; told === 0 && waits < 10; waits++) {
      ring.wait(60_000_000_000); // a signal to the process ends it, too
      told = ring.enter();
    }
    expect(told).toBe(1);
    host.poll();
    expect(ended[round - 1]).toEqual([slot, POLLIN, 1]);
    native!.drainEventFd(fd);
  }
  group.give(slot);
});
