import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectTcp, connectUnix, connectWebSocket, type RpcClient } from '@spdk-ts/rpc';

export interface Target {
  /** Path of a unix socket, IP address, or ws:// URL. */
  readonly address: string;
  /** For IP addresses. */
  readonly port: number;
  readonly token: string | undefined;
  readonly timeout_ms: number;
  readonly retries: number;
}

const retryInterval_ms = 200;

function connectOnce({ address, port, token, timeout_ms }: Target): Promise<RpcClient> {
  const options = { timeout_ms };
  if (/^wss?:\/\//.test(address)) {
    return connectWebSocket(address, token === undefined ? options : { ...options, token });
  }
  if (isIP(address) !== 0) return connectTcp(address, port, options);
  if (!existsSync(address)) return Promise.reject(new Error('there is no such socket'));
  return connectUnix(address, options);
}

/** Connects, trying again as often as told. Rejects with an Error for the user. */
export async function connectTo(target: Target): Promise<RpcClient> {
  for (let left = target.retries; ; left--) {
    try {
      return await connectOnce(target);
    } catch (error) {
      if (left > 0) {
        await sleep(retryInterval_ms);
        continue;
      }
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(
        `Error while connecting to ${target.address}\nIs the application running? Give its socket with -s, or wait for it with -r.\nError details: ${reason}`,
      );
    }
  }
}
