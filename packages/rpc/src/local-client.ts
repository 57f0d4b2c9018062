import type { BatchCall, BatchResult, RpcCaller } from './client.ts';
import { toRpcError } from './errors.ts';
import type { RpcServer } from './server.ts';

/** Calls methods of a server in the same process, such as those of a configuration file. */
export function connectLocal(server: RpcServer): RpcCaller {
  return {
    call: (method: string, params?: unknown) => server.call(method, params) as Promise<never>,
    batch: (calls: readonly BatchCall[]): Promise<BatchResult[]> =>
      Promise.all(
        calls.map(({ method, params }) =>
          server.call(method, params).then(
            (result) => ({ result }),
            (error) => ({ error: toRpcError(error) }),
          ),
        ),
      ),
  };
}
