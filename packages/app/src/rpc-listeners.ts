import { closeSync, openSync } from 'node:fs';
import { native } from '@spdk-ts/native';
import { type HeldLock, listenUnix, listenWebSocket, lockWithPid, type RpcServer } from '@spdk-ts/rpc';
import type { AppOptions } from './options.ts';

/** Where the RPC server listens. */
export interface RpcListeners {
  /** A line for each, to be printed. */
  readonly describe: readonly string[];
  close(): Promise<void>;
}

/** flock(2) on `<socket>.lock`, as SPDK takes it: the kernel gives it back whatever ends the process. */
function lockWithFlock(path: string): HeldLock | null {
  const fd = openSync(path, 'a', 0o600);
  if (!native!.lockFile(fd)) {
    closeSync(fd);
    return null;
  }
  return { release: () => closeSync(fd) };
}

/**
 * Takes the RPC socket's lock, before anything is opened that another instance may be using. Returns null where
 * no socket is wanted. Throws an Error if another instance has it.
 */
export function lockRpcSocket({ rpcSocket }: AppOptions): HeldLock | null {
  if (rpcSocket === null) return null;
  const lock = (native === null ? lockWithPid : lockWithFlock)(`${rpcSocket}.lock`);
  if (lock === null) throw new Error(`RPC Unix domain socket path ${rpcSocket} in use. Specify another.`);
  return lock;
}

/** Opens what the options ask for. Rejects with an Error that says what is in the way. */
export async function listenForRpc(
  rpc: RpcServer,
  options: AppOptions,
  lock: HeldLock | null,
): Promise<RpcListeners> {
  const opened: { close(): Promise<void> }[] = [];
  const describe: string[] = [];
  try {
    if (options.rpcSocket !== null) {
      opened.push(await listenUnix(rpc, { path: options.rpcSocket, lockFile: () => lock }));
      describe.push(`RPC: listening on ${options.rpcSocket}`);
    }
    if (options.webSocket !== null) {
      const token = options.webSocketToken === null ? {} : { token: options.webSocketToken };
      const origins = options.webSocketOrigins;
      const listener = await listenWebSocket(rpc, { address: options.webSocket, ...token, origins });
      opened.push(listener);
      describe.push(`RPC: listening on ${listener.url}`);
    }
  } catch (error) {
    await Promise.all(opened.map((listener) => listener.close()));
    throw error;
  }
  return {
    describe,
    close: async () => void (await Promise.all(opened.map((listener) => listener.close()))),
  };
}
