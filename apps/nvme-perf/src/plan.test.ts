import { expect, it } from 'vitest';
import { associate } from './plan.ts';

it('spreads namespaces over cores as spdk_nvme_perf does', () => {
  expect(associate(1, 1, false)).toEqual([[0, 0]]);
  expect(associate(1, 3, false)).toEqual([
    [0, 0],
    [0, 1],
    [0, 2],
  ]);
  expect(associate(3, 2, false)).toEqual([
    [0, 0],
    [1, 1],
    [2, 0],
  ]);
  expect(associate(2, 2, true)).toHaveLength(4);
  expect(associate(0, 2, false)).toEqual([]);
});
