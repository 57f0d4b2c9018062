/** Files that the process has open. */
import { readdirSync, readlinkSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Bench } from './bench.ts';

/** What the kernel calls memory that other processes can map. */
const MEMORY = '/memfd:';

let collect: (() => void) | null = null;

/** Regular files, devices and memory, sockets and the like aside; none where that is not known. */
function openPaths(): string[] {
  try {
    return readdirSync('/proc/self/fd')
      .map((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`);
        } catch {
          return ''; // the descriptor of the folder itself
        }
      })
      .filter((path) => path.startsWith('/'));
  } catch {
    return [];
  }
}

export function openFiles(): number {
  return openPaths().length;
}

/** Memory that nobody refers to any more goes when it is collected, its descriptor with it: that is now. */
export async function letMemoryGo(bench: Bench): Promise<void> {
  if (!openPaths().some((path) => path.startsWith(MEMORY))) return;
  if (collect === null) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  await bench.quiet();
}
