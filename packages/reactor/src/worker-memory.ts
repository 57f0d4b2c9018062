import { readFileSync } from 'node:fs';

const CAP_IPC_LOCK = 14n;
/** Of the user's limit, the part that one process takes: rings of any of the user's processes need of it, too. */
const SHARE = 8;

/**
 * Bytes of memory that this process may pin by registering them: a part of RLIMIT_MEMLOCK, which the kernel counts over
 * all processes of the user; without bound for root and whoever has CAP_IPC_LOCK.
 */
export function lockableBytes(): number {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (effective !== undefined && ((BigInt(`0x${effective}`) >> CAP_IPC_LOCK) & 1n) === 1n)
      return Number.POSITIVE_INFINITY;
    const limit = /^Max locked memory\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    if (limit === 'unlimited') return Number.POSITIVE_INFINITY;
    return limit === undefined ? 0 : Math.floor(Number(limit) / SHARE);
  } catch {
    return 0; // another system: nothing is registered
  }
}
