import { setTimeout as sleep } from 'node:timers/promises';
import { connectUnix, type RpcClient } from '@spdk-ts/rpc';
import type { RpcCall } from '../bdev-spec.ts';
import type { Child } from '../child.ts';
import { Skip } from '../skip.ts';

const START_MS_MAX = 60_000;
const LOOK_MS = 20;
const CALL_MS_MAX = 600_000;

/** Waits until a program answers on its RPC socket. Throws an Error with its output if it ends or takes too long. */
export async function connectRpc(child: Child, socket: string): Promise<RpcClient> {
  const deadline = performance.now() + START_MS_MAX;
  for (;;) {
    const client = await connectUnix(socket, { timeout_ms: CALL_MS_MAX }).catch(() => null);
    if (client !== null) return client;
    if (!child.running) throw child.error('it ended instead of listening on its RPC socket');
    if (performance.now() > deadline) throw child.error(`no RPC socket after ${START_MS_MAX / 1000} s`);
    await sleep(LOOK_MS);
  }
}

/** Makes calls in order. Throws Skip if the server does not know one of them. */
export async function configure(client: RpcClient, calls: readonly RpcCall[]): Promise<void> {
  const known = new Set((await client.call('rpc_get_methods')) as string[]);
  const unknown = calls.find(({ method }) => !known.has(method));
  if (unknown !== undefined) throw new Skip(`it has no ${unknown.method}`);
  for (const { method, params } of calls) {
    await client.call(method, params).catch((error: Error) => {
      throw new Error(`${method} ${JSON.stringify(params)}: ${error.message}`);
    });
  }
}
