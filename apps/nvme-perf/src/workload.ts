/** What is read and written: SPDK's names. */
export const workloads = ['read', 'write', 'randread', 'randwrite', 'rw', 'randrw'] as const;
export type Workload = (typeof workloads)[number];

export function parseWorkload(text: string): Workload {
  const found = workloads.find((name) => name === text);
  if (found === undefined) throw new RangeError(`'${text}' is not one of ${workloads.join(', ')}`);
  return found;
}

export const isRandom = (workload: Workload): boolean => workload.startsWith('rand');
export const isMixed = (workload: Workload): boolean => workload.endsWith('rw');

/** Reads in a hundred. */
export function readShare(workload: Workload, rw_percentage: number): number {
  if (isMixed(workload)) return rw_percentage;
  return workload.endsWith('read') ? 100 : 0;
}
