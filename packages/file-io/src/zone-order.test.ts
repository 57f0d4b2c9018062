import { BdevIo, IoStatus } from '@spdk-ts/bdev';
import type { Thread } from '@spdk-ts/reactor';
import { describe, expect, it } from 'vitest';
import { ZoneOrder } from './zone-order.ts';

const ZONE = 100;

class Bed {
  readonly started: number[] = [];
  readonly aborted: number[] = [];
  readonly polls: (() => number)[] = [];
  readonly ios = new Map<number, BdevIo>();
  readonly order: ZoneOrder;

  constructor(gates: SharedArrayBuffer) {
    const thread = {
      registerPoller: (_name: string, poll: () => number) => {
        this.polls.push(poll);
        return { unregister: () => void this.polls.splice(this.polls.indexOf(poll), 1) };
      },
    } as unknown as Thread;
    this.order = new ZoneOrder(thread, gates, ZONE, (io) => void this.started.push(io.offset_blocks));
  }
  begin(at: number): void {
    const io = Object.assign(new BdevIo(0), { offset_blocks: at });
    io.complete = (status) => {
      expect(status).toBe(IoStatus.ABORTED);
      this.aborted.push(at);
    };
    this.ios.set(at, io);
    this.order.begin(io);
  }
  end(at: number): void {
    this.order.ended(this.ios.get(at)!);
  }
}

describe('the order of writes to zones', () => {
  it('is one at a time in a zone, as they came, and free between zones', () => {
    const bed = new Bed(ZoneOrder.allocate(4));
    for (const at of [0, 1, 2, 300, 301]) bed.begin(at);
    expect(bed.started).toEqual([0, 300]);
    bed.end(0);
    bed.end(300);
    expect(bed.started).toEqual([0, 300, 1, 301]);
    bed.begin(3);
    bed.end(1);
    bed.end(2);
    bed.end(3);
    bed.end(301);
    expect(bed.started).toEqual([0, 300, 1, 301, 2, 3]);
    expect(bed.polls).toEqual([]);
  });

  it('is one at a time over reactors, which look again in each iteration', () => {
    const gates = ZoneOrder.allocate(4);
    const [a, b] = [new Bed(gates), new Bed(gates)];
    a.begin(0);
    b.begin(1);
    b.polls[0]!();
    expect(b.started).toEqual([]);
    a.end(0);
    a.begin(2);
    b.polls[0]!();
    expect([a.started, b.started]).toEqual([[0, 2], []]);
    a.end(2);
    b.polls[0]!();
    expect(b.started).toEqual([1]);
    b.end(1);
    expect(b.polls).toEqual([]);
    expect([a.order.take(0), b.order.take(0)]).toEqual([true, false]);
    b.begin(3);
    a.order.give(0);
    b.polls[0]!();
    expect(b.started).toEqual([1, 3]);
  });

  it('ends what waits as aborted, and nothing else', () => {
    const bed = new Bed(ZoneOrder.allocate(2));
    for (const at of [0, 1, 2, 3]) bed.begin(at);
    expect([bed.order.abort(bed.ios.get(0)!), bed.order.abort(bed.ios.get(2)!)]).toEqual([false, true]);
    bed.end(0);
    expect(bed.started).toEqual([0, 1]);
    bed.order.abortAll();
    expect(bed.aborted).toEqual([2, 3]);
    bed.end(1);
    expect([bed.started, bed.polls.length]).toEqual([[0, 1], 0]);
  });
});
