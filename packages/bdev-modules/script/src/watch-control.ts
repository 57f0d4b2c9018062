import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Editors write a file in several steps: this long after the last one it is looked at, ms. */
const SETTLE_MS = 50;

/**
 * Calls back some time after a file was written, or another put in its place. Returns what ends that. Throws an Error
 * if the system cannot watch the folder.
 */
export function watchFile(path: string, changed: () => void, onError: (error: Error) => void): () => void {
  const name = basename(path);
  let timer: NodeJS.Timeout | undefined;
  // The folder and not the file: a file that is replaced takes its watches with it.
  const watcher: FSWatcher = watch(dirname(path), { persistent: false }, (_event, file) => {
    if (file !== null && file !== name) return;
    clearTimeout(timer);
    timer = setTimeout(changed, SETTLE_MS);
    timer.unref();
  });
  watcher.on('error', onError);
  return () => {
    clearTimeout(timer);
    watcher.close();
  };
}
