/** What a kernel's io_uring can do beyond the least that is needed, and why it refuses one altogether. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { Uring } from './uring.ts';

/** Operations that tell of a version: the first kernel that has them. */
const OP_SOCKET = 45; // 5.19, as are multishot accept and buffer rings
const OP_SEND_ZC = 47; // 6.0, as is multishot receive
const OP_READ_FIXED = 4;

/** One feature: an empty reason means that it is there. */
export interface UringFeature {
  readonly name: string;
  readonly reason: string;
  readonly detail?: string;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** True if a seccomp filter is in force for this process. */
const isFiltered = (): boolean => /^Seccomp:\s*2/m.test(read('/proc/self/status'));

/** Bytes that the process may lock (ulimit -l): Infinity without a limit. */
export function lockedMemoryLimit(): number {
  const limit = /^Max locked memory\s+(\S+)/m.exec(read('/proc/self/limits'))?.[1];
  return limit === undefined || limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit);
}

/** Why the kernel gave no ring, and who decides that. */
export function explainRefusal(error: Error & { code?: string }): string {
  const disabled = Number(read('/proc/sys/kernel/io_uring_disabled') || '0');
  const why: Record<string, string> = {
    1: 'forbidden to this process',
    12: `over the limit of locked memory (ulimit -l, ${lockedMemoryLimit()} bytes)`,
    13: 'forbidden by a security module',
    22: `not as this kernel (${release()}) has it: Linux 5.19 or newer is needed`,
    24: 'over the limit of open files (ulimit -n)',
    38: `not in this kernel (${release()})`,
  };
  let who = '';
  if ((error.code === '1' || error.code === '13') && disabled > 0)
    who = `sysctl kernel.io_uring_disabled is ${disabled}`;
  else if (isFiltered()) who = 'a seccomp filter is in force, as in many containers';
  return `${why[error.code ?? ''] ?? 'refused'}: ${error.message}${who === '' ? '' : ` (${who})`}`;
}

/** The features of a ring that was given. */
export function uringFeatures(ring: Uring): UringFeature[] {
  const has = ring.operations();
  const old = (what: string, version: string): string =>
    `this kernel (${release()}) has no ${what}, which Linux ${version} brought`;
  const limit = lockedMemoryLimit();
  return [
    {
      name: 'io_uring',
      reason: '',
      detail: `${ring.entries} entries, ${ring.cqEntries} completions, ${ring.deferred ? 'SINGLE_ISSUER | DEFER_TASKRUN' : 'COOP_TASKRUN'}`,
    },
    {
      name: 'uring_deferred_taskrun',
      reason: ring.deferred ? '' : `${old('DEFER_TASKRUN', '6.1')}; COOP_TASKRUN is used`,
    },
    { name: 'uring_multishot_accept', reason: has(OP_SOCKET) ? '' : old('multishot accept', '5.19') },
    { name: 'uring_multishot_receive', reason: has(OP_SEND_ZC) ? '' : old('multishot receive', '6.0') },
    { name: 'uring_zero_copy_send', reason: has(OP_SEND_ZC) ? '' : old('IORING_OP_SEND_ZC', '6.0') },
    {
      name: 'uring_registered_buffers',
      reason: has(OP_READ_FIXED) ? '' : old('IORING_OP_READ_FIXED', '5.1'),
      detail: Number.isFinite(limit) ? `up to ${limit} bytes (ulimit -l)` : 'without a limit (ulimit -l)',
    },
  ];
}
