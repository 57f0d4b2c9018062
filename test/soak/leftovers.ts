/**
 * What simulated crashes leave behind: nobody stops what ran, and the addon has so many pieces of memory at most. A
 * piece is free once its handle was released and what was attached to it collected, which the event loop does in its turn.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { native } from '@spdk-ts/native';

/** Pieces of the addon's memory. */
const HANDLES = 4096;
const LIVES_PER_COLLECTION = 100;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
let lives = 0;

function releaseAll(): void {
  if (native === null) return;
  for (let handle = 0; handle < HANDLES; handle++)
    try {
      native.releaseMemory(handle);
    } catch {
      // There is none, or it was released.
    }
}

/** After a crash, when nothing in the process is to live on: lets go of it all, now and then. */
export async function letGo(): Promise<void> {
  if (++lives % LIVES_PER_COLLECTION === 0) {
    releaseAll();
    collect();
  }
  await new Promise((resolve) => setImmediate(resolve));
}
