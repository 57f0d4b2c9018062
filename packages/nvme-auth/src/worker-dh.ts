import { parentPort } from 'node:worker_threads';
import { generateDhKeys, sharedDhSecret } from './ffdhe.ts';

/** What the pool asks: a key pair, or the secret shared with a peer. */
export type DhJob =
  | { readonly id: number; readonly group: number }
  | {
      readonly id: number;
      readonly group: number;
      readonly privateKey: Uint8Array;
      readonly peer: Uint8Array;
    };

parentPort!.on('message', (job: DhJob) => {
  const result =
    'peer' in job ? sharedDhSecret(job.group, job.privateKey, job.peer) : generateDhKeys(job.group);
  parentPort!.postMessage({ id: job.id, result });
});
