/** What a job can do, in the order in which SPDK lists it. */
export const workloads = [
  'read',
  'write',
  'randread',
  'randwrite',
  'rw',
  'randrw',
  'verify',
  'reset',
  'unmap',
  'flush',
  'write_zeroes',
] as const;
export type Workload = (typeof workloads)[number];

/** Throws RangeError with what there is if `text` is no workload. */
export function parseWorkload(text: string): Workload {
  const found = workloads.find((workload) => workload === text);
  if (found === undefined) throw new RangeError(`'${text}' is not one of ${workloads.join(', ')}`);
  return found;
}

/** Reads and writes in a proportion that -M sets. */
export const isMixed = (workload: Workload): boolean => workload === 'rw' || workload === 'randrw';
export const isRandom = (workload: Workload): boolean => workload.startsWith('rand');
/** Writes, reads back and compares. */
export const verifies = (workload: Workload): boolean => workload === 'verify' || workload === 'reset';

/** The I/O types that a bdev must offer for a workload. */
export function neededIoTypes(workload: Workload): readonly string[] {
  switch (workload) {
    case 'read':
    case 'randread':
      return ['read'];
    case 'write':
    case 'randwrite':
      return ['write'];
    case 'rw':
    case 'randrw':
    case 'verify':
      return ['read', 'write'];
    case 'reset':
      return ['read', 'write', 'reset'];
    default:
      return [workload];
  }
}
