import { expect, it } from 'vitest';
import { DmaState, LATER, LinkState, NO_ROOM, QueueState, SharedState } from './shared-state.ts';

/** Two threads' views of the same. */
function two(queues = 4): [SharedState, SharedState] {
  const one = SharedState.create(queues);
  return [one, new SharedState(one.buffer, queues)];
}

it('a connection is up for queues of its generation only', () => {
  const [owner, other] = two();
  owner.begin(7);
  const { generation } = other;
  expect([other.bell, other.state, other.isUp(generation)]).toEqual([7, LinkState.DOWN, false]);
  const terms = {
    ...{ socket: 5, doorbells: 2, dstrd: 1, page_bytes: 4096, sgl_alignment: 4, bar: 9, bar_at: 4096 },
    ...{ bar_bytes: 8192, bar_start: 0, shadows: 3, vectors: 8, transfer_bytes: 2 ** 21 },
  };
  owner.agree(terms);
  owner.setState(LinkState.UP);
  expect([other.terms, other.isUp(generation)]).toEqual([terms, true]);
  other.fail('the first reason counts');
  owner.fail('another');
  expect([owner.failure, other.failure]).toEqual(['the first reason counts', 'the first reason counts']);
  owner.setState(LinkState.LOST);
  expect(other.isUp(generation)).toBe(false);
  owner.begin(7);
  owner.setState(LinkState.UP);
  expect([other.isUp(generation), other.isUp(generation + 1), other.failure]).toEqual([false, true, '']);
});

it('a reason longer than its place is cut at a character', () => {
  const [owner, other] = two();
  owner.fail('ü'.repeat(1000));
  expect(other.failure).toBe('ü'.repeat(256));
});

it('memory is mapped once for all who want it, and unmapped after the last', () => {
  const [owner, other] = two();
  let adopted = 0;
  const adopt = (): void => {
    adopted++;
  };
  const index = other.want(2 ** 46, 8192, 11, adopt);
  expect([owner.want(2 ** 46, 8192, 12, adopt), adopted]).toEqual([index, 1]);
  expect(owner.ranges(DmaState.WANTED)).toEqual([{ index, address: 2 ** 46, bytes: 8192, descriptor: 11 }]);
  expect(owner.moveDma(index, DmaState.WANTED, DmaState.MAPPED)).toBe(true);
  expect(other.dmaState(index)).toBe(DmaState.MAPPED);
  expect([other.unwant(index), owner.unwant(index)]).toEqual([false, true]);
  expect(other.want(2 ** 46, 8192, 13, adopt)).toBe(index); // before anybody saw that it was unwanted
  expect([other.dmaState(index), other.unwant(index)]).toEqual([DmaState.WANTED, true]);
  expect(owner.moveDma(index, DmaState.UNWANTED, DmaState.UNMAPPING)).toBe(true);
  expect(other.want(2 ** 46, 8192, 14, adopt)).toBe(LATER);
  owner.moveDma(index, DmaState.UNMAPPING, DmaState.FREE);
  expect([other.want(2 ** 46, 8192, 15, adopt), adopted]).toEqual([index, 2]);
  let place = 0;
  for (let i = 1; place >= 0; i++) place = other.want(i * 4096, 4096, 0, adopt);
  expect([place, owner.ranges(DmaState.WANTED).length]).toEqual([NO_ROOM, 512]);
});

it('a queue that nobody wants any more when it has been created is deleted', () => {
  const [owner, other] = two();
  const wanted = { qid: 3, entries: 256, sq_address: 2 ** 45, cq_address: 2 ** 45 + 16_384, eventfd: -1 };
  other.wantQueue(wanted);
  expect([owner.queuesIn(QueueState.WANTED), owner.wantedQueue(3)]).toEqual([[3], wanted]);
  owner.answerQueue(3, QueueState.REFUSED, 0x102);
  expect([other.queueState(3), other.queueStatus(3)]).toEqual([QueueState.REFUSED, 0x102]);
  other.wantQueue(wanted);
  other.setQueueState(3, QueueState.UNWANTED);
  owner.answerQueue(3, QueueState.OPEN, 0);
  expect(owner.queuesIn(QueueState.UNWANTED)).toEqual([3]);
  owner.answerQueue(3, QueueState.REFUSED, 0x102);
  expect(other.queueState(3)).toBe(QueueState.NONE);
});
