/** Targets with vhost controllers, for tests of whole processes. */
import { join } from 'node:path';
import type { RpcClient } from '@spdk-ts/rpc';
import { type AppProcess, client, startTarget, temporaryDirectory } from '../integration/app-process.ts';

export interface VhostTarget {
  readonly directory: string;
  readonly process: AppProcess;
  readonly rpc: RpcClient;
  /** The socket of a controller. */
  socket(name: string): string;
}

/** Starts a target whose vhost sockets are in its own folder, or in `directory`. */
export async function startVhostTarget(
  args: readonly string[] = [],
  directory = temporaryDirectory(),
): Promise<VhostTarget> {
  const socket = join(directory, 'rpc.sock');
  const process = await startTarget(socket, '-S', directory, ...args);
  const rpc = await client(socket);
  return { directory, process, rpc, socket: (name) => join(directory, name) };
}

/** Bytes that tell where they belong. */
export function pattern(seed: number, bytes: number): Uint8Array {
  const data = new Uint8Array(bytes);
  const words = new Uint32Array(data.buffer, 0, bytes >> 2);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(seed * 65_537 + i, 0x9e37_79b1);
  return data;
}
