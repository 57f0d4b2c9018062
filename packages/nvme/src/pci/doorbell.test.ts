import { expect, it } from 'vitest';
import { Doorbell, DoorbellKind, doorbellOffset, needsEvent, noDoorbell } from './doorbell.ts';

it('doorbells lie from 1000h on, two for each queue, at the stride of CAP.DSTRD', () => {
  expect([doorbellOffset(0, false, 0), doorbellOffset(0, true, 0)]).toEqual([0x1000, 0x1004]);
  expect([doorbellOffset(3, false, 0), doorbellOffset(3, true, 0)]).toEqual([0x1018, 0x101c]);
  expect([doorbellOffset(1, false, 2), doorbellOffset(1, true, 2)]).toEqual([0x1020, 0x1030]);
});

it('an event is due if its index lies in what is new, modulo 2^16', () => {
  // [event index, now, before]: entries before … now - 1 are new.
  const due: [number, number, number][] = [
    [0, 1, 0],
    [4, 7, 3],
    [3, 7, 3],
    [6, 7, 3],
    [255, 2, 253], // the queue has wrapped between
    [0xffff, 3, 200],
    [0xffff, 0, 1],
  ];
  const not: [number, number, number][] = [
    [2, 7, 3],
    [7, 7, 3],
    [0xffff, 5, 0],
    [0xffff, 200, 3],
    [5, 5, 5],
  ];
  for (const [event, now, before] of due)
    expect(needsEvent(event, now, before), `${event} ${now} ${before}`).toBe(true);
  for (const [event, now, before] of not)
    expect(needsEvent(event, now, before), `${event} ${now} ${before}`).toBe(false);
});

const counts = () => ({ mapped: 0, trapped: 0, shadowed: 0 });

it('a mapped doorbell is a store, and none where nothing is new', () => {
  const registers = new Int32Array(8);
  const counted = counts();
  const bell = new Doorbell(counted);
  bell.open({ ...noDoorbell, kind: DoorbellKind.MAPPED, registers, register: 5 });
  for (const value of [3, 3, 7]) expect(bell.ring(value)).toBe(true);
  expect([registers[5], counted]).toEqual([7, { mapped: 2, trapped: 0, shadowed: 0 }]);
});

it('a message that is not taken is sent again, with the newest value', () => {
  const sent: number[] = [];
  let takes = false;
  const port = { write: (offset: number, value: number) => takes && sent.push(offset, value) > 0 };
  const counted = counts();
  const bell = new Doorbell(counted);
  bell.open({ ...noDoorbell, kind: DoorbellKind.TRAPPED, offset: 0x1008, port });
  expect([bell.ring(1), bell.ring(1), bell.ring(2)]).toEqual([false, false, false]);
  takes = true;
  expect([bell.ring(2), bell.ring(2)]).toEqual([true, true]);
  expect([sent, counted.trapped]).toEqual([[0x1008, 2], 1]);
});

it('a shadow doorbell writes the register only where the event index asks for it', () => {
  const sent: number[] = [];
  let takes = true;
  const port = { write: (_: number, value: number) => takes && sent.push(value) > 0 };
  const [shadows, events] = [new Int32Array(8).fill(9), new Int32Array(8)];
  const counted = counts();
  const bell = new Doorbell(counted);
  bell.open({ ...noDoorbell, kind: DoorbellKind.SHADOW, shadows, events, shadow: 2, port });
  expect(shadows[2]).toBe(0);
  events[2] = 1;
  expect([bell.ring(1), shadows[2], sent]).toEqual([true, 1, []]);
  expect([bell.ring(2), shadows[2], sent]).toEqual([true, 2, [2]]);
  events[2] = 3;
  takes = false;
  expect([bell.ring(4), shadows[2]]).toEqual([false, 4]); // due, and not taken
  expect(bell.ring(5)).toBe(false); // not due, but the other one is still owed
  takes = true;
  expect([bell.ring(5), sent]).toEqual([true, [2, 5]]);
  expect(counted).toEqual({ mapped: 0, trapped: 2, shadowed: 2 });
});
