import { expect, it } from 'vitest';
import { EventStream } from './event-stream.ts';

it('each reader sees what happens from its beginning on, until the end', async () => {
  const stream = new EventStream<number>();
  stream.push(0);
  const first = stream[Symbol.asyncIterator]();
  stream.push(1);
  const second = stream[Symbol.asyncIterator]();
  const waiting = second.next();
  stream.push(2);
  expect(await waiting).toEqual({ value: 2, done: false });
  expect(await first.next()).toEqual({ value: 1, done: false });
  await second.return?.();
  stream.push(3);
  stream.end();
  const rest: number[] = [];
  for await (const event of first) rest.push(event);
  expect(rest).toEqual([2, 3]);
  expect((await second.next()).done).toBe(true);
  expect((await stream[Symbol.asyncIterator]().next()).done).toBe(true);
});
