import { Worker } from 'node:worker_threads';
import type { DhKeyPair } from './ffdhe.ts';
import type { DhJob } from './worker-dh.ts';

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Jobs that may wait at once: who asks for more is refused, so that hosts cannot make it work for ever. */
const JOBS_MAX = 1024;

type JobSpec = { group: number } | { group: number; privateKey: Uint8Array; peer: Uint8Array };

/**
 * Diffie-Hellman on a thread of its own, which is started by the first job and does not keep the process alive. The
 * jobs of all are done one after the other.
 */
export class DhPool {
  private worker: Worker | null = null;
  private readonly waiting = new Map<number, Waiting>();
  private ids = 0;

  /** An ephemeral key pair of a group. Rejects if too many jobs wait, or the thread failed. */
  generate(group: number): Promise<DhKeyPair> {
    return this.run({ group }) as Promise<DhKeyPair>;
  }

  /** The shared secret, or null for a peer's value that cannot be used. Rejects as {@link generate} does. */
  derive(group: number, privateKey: Uint8Array, peer: Uint8Array): Promise<Uint8Array | null> {
    return this.run({ group, privateKey, peer }) as Promise<Uint8Array | null>;
  }

  private run(spec: JobSpec): Promise<unknown> {
    if (this.waiting.size >= JOBS_MAX)
      return Promise.reject(new Error(`${JOBS_MAX} Diffie-Hellman computations wait already`));
    const job: DhJob = { id: ++this.ids, ...spec };
    this.worker ??= this.start();
    const { worker } = this;
    return new Promise((resolve, reject) => {
      this.waiting.set(job.id, { resolve, reject });
      worker.postMessage(job);
    });
  }

  private start(): Worker {
    const worker = new Worker(new URL('./worker-dh.js', import.meta.url));
    worker.on('message', ({ id, result }: { id: number; result: unknown }) => {
      const found = this.waiting.get(id);
      this.waiting.delete(id);
      found?.resolve(result);
    });
    worker.on('error', (error) => this.failed(worker, error));
    worker.on('exit', () => this.failed(worker, new Error('the Diffie-Hellman thread has ended')));
    // Last: a listener for messages makes the worker keep the process alive again.
    worker.unref();
    return worker;
  }

  /** What waited fails; the next job starts another thread. */
  private failed(worker: Worker, error: Error): void {
    if (this.worker !== worker) return;
    this.worker = null;
    const all = [...this.waiting.values()];
    this.waiting.clear();
    for (const { reject } of all) reject(error);
  }

  async stop(): Promise<void> {
    const { worker } = this;
    if (worker === null) return;
    this.failed(worker, new Error('the target is stopping'));
    await worker.terminate();
  }
}
