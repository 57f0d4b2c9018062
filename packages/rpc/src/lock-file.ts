import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';

/** A lock that is held. */
export interface HeldLock {
  release(): void;
}

/** Takes the lock of a file, or returns null if somebody has it. Throws for other reasons, such as no permission. */
export type LockFile = (path: string) => HeldLock | null;

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** When a process started, so that a new process of the same number is not mistaken for it; empty where unknown. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may hold anything; fields are counted behind it. starttime is field 22.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
};

const unlink = (path: string): void => {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
};

function isHeld(content: string): boolean {
  const [pidText = '', started = ''] = content.trim().split(' ');
  if (!/^[1-9]\d{0,9}$/.test(pidText)) return false;
  const pid = Number(pidText);
  if (!isAlive(pid)) return false;
  const now = startTime(pid);
  return started === '' || now === '' || started === now;
}

/** Moves a stale lock aside, unless somebody else has replaced it meanwhile. */
function removeStale(path: string, content: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    if (read(aside) !== content) linkSync(aside, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  } finally {
    unlink(aside);
  }
}

/**
 * A lock without flock(2), which Node does not have: a file that holds the process id and start time of its owner.
 * A lock whose owner is gone is taken over. Works between processes of one host that see each other's ids.
 */
export const lockWithPid: LockFile = (path) => {
  const mine = `${process.pid} ${startTime(process.pid)}\n`;
  for (let attempt = 0; attempt < 8; attempt++) {
    try {
      writeFileSync(path, mine, { flag: 'wx', mode: 0o600 });
      return {
        release() {
          if (read(path) === mine) unlink(path);
        },
      };
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const content = read(path);
    if (content === undefined) continue;
    // An empty file is one whose owner has not written yet, or that SPDK, which locks with flock, left behind.
    if (content === '' && attempt < 3) continue;
    if (isHeld(content)) return null;
    removeStale(path, content);
  }
  return null;
};
