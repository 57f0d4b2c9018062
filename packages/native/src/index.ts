/**
 * The native addon, where it could be built and loaded: a handful of system calls that Node.js has no name
 * for. Everything works without it, more slowly; {@link nativeUnavailable} then says why it is absent.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** The addon's calls. Each throws a RangeError or TypeError for a wrong argument, an Error for a failed call. */
export interface Native {
  /** Binds the calling thread to one CPU (sched_setaffinity). */
  pinThread(cpu: number): void;
  /** The CPUs that the calling thread may run on. */
  allowedCpus(): number[];
  /** The kernel's id of the calling thread (gettid). */
  threadId(): number;
  /** What ps and top show for the calling thread, 15 bytes at most. */
  nameThread(name: string): void;
  /** A second descriptor of the same open file or socket (F_DUPFD_CLOEXEC). */
  duplicate(fd: number): number;
  /** flock(LOCK_EX | LOCK_NB): false if another process holds the lock. */
  lockFile(fd: number): boolean;
  /** fallocate(PUNCH_HOLE | KEEP_SIZE): offset and length in bytes. */
  punchHole(fd: number, offset: number, length: number): void;
}

function load(): { native: Native | null; why: string } {
  if (process.env['SPDK_TS_NATIVE'] === '0') return { native: null, why: 'switched off by SPDK_TS_NATIVE=0' };
  const path = fileURLToPath(new URL('../build/spdk_ts.node', import.meta.url));
  if (!existsSync(path))
    return { native: null, why: 'not built (no C compiler when the workspace was built)' };
  try {
    return { native: createRequire(import.meta.url)(path) as Native, why: '' };
  } catch (error) {
    return { native: null, why: `cannot be loaded: ${(error as Error).message}` };
  }
}

const loaded = load();

/** The addon, or null where it is absent. */
export const native: Native | null = loaded.native;

/** Why the addon is absent, or an empty string where it is there. */
export const nativeUnavailable: string = loaded.why;
