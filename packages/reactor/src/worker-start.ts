import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';

let early: Worker | null = null;

function startWorker(): Worker {
  // V8 spreads a collection over helper threads and waits for them. Reactors leave those no CPU to run on: what
  // one thread does in a fifth of a millisecond took ten or more.
  setFlagsFromString('--no-parallel-scavenge');
  return new Worker(new URL('./worker-main.js', import.meta.url));
}

/**
 * Starts a reactor's worker before anyone has said which: it loads while the control thread loads too, and becomes the
 * first reactor of the process's next host. It keeps no process alive.
 */
export function startWorkerEarly(): void {
  early ??= startWorker();
  early.unref();
}

/** A worker that waits to be told which reactor it is (a ReactorWorkerData, as its first message). */
export function takeWorker(): Worker {
  const worker = early ?? startWorker();
  early = null;
  worker.ref();
  return worker;
}
