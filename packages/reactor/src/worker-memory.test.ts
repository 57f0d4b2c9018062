import { expect, it } from 'vitest';
import { lockableBytes } from './worker-memory.ts';

it('takes a part of what may be locked, or all there is', () => {
  const bytes = lockableBytes();
  // Root in most places; elsewhere the limit is a whole number of bytes.
  expect(bytes === Number.POSITIVE_INFINITY || (Number.isInteger(bytes) && bytes >= 0)).toBe(true);
});
