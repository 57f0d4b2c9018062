import {
  type BatchCall,
  type BatchResult,
  type RpcCaller,
  type RpcClient,
  RpcConnectionError,
} from '@spdk-ts/rpc';
import { CommandError, errorText, type Output } from './output.ts';

/** Through what commands reach the server: a connection, a list for a batch, or only the screen. */
export interface Session {
  readonly caller: RpcCaller;
  /** Calls a method; undefined when the answer is not known here, because the call was only shown or put aside. */
  call(
    method: string,
    params: Record<string, unknown>,
    timeout_ms?: number,
  ): Promise<{ result: unknown } | undefined>;
  /** Called after the last command. */
  finish(): Promise<void>;
}

/** A session over a connection that is made for the first command that needs one. */
export function clientSession(connect: () => Promise<RpcClient>): Session {
  let connecting: Promise<RpcClient> | undefined;
  const client = () => {
    connecting ??= connect();
    return connecting;
  };
  return {
    caller: {
      call: async (method: string, params?: unknown) =>
        (await client()).call(method, params) as Promise<never>,
      batch: async (calls: readonly BatchCall[]): Promise<BatchResult[]> => (await client()).batch(calls),
    },
    async call(method, params, timeout_ms) {
      const connected = await client();
      try {
        const options = timeout_ms === undefined ? {} : { timeout_ms };
        return { result: await connected.call(method, params, options) };
      } catch (error) {
        // The signal may be quicker than the answer.
        if (method === 'spdk_kill_instance' && error instanceof RpcConnectionError) return { result: {} };
        throw new CommandError(errorText(error, { method, params }));
      }
    },
    async finish() {
      (await connecting?.catch(() => undefined))?.close();
    },
  };
}

const noAnswers = (option: string): RpcCaller => {
  const refuse = () =>
    Promise.reject(new CommandError(`this command needs answers of the server; leave out ${option}`));
  return { call: refuse, batch: refuse };
};

/** Shows requests and sends nothing. */
export function dryRunSession(output: Output): Session {
  return {
    caller: noAnswers('--dry-run'),
    async call(method, params) {
      output.out(`Request:\n${JSON.stringify({ method, params }, null, 2)}\n`);
      return undefined;
    },
    async finish() {},
  };
}

/** Puts calls aside and sends them as one batch at the end. */
export function batchSession(output: Output, connect: () => Promise<RpcClient>): Session {
  const calls: BatchCall[] = [];
  return {
    caller: noAnswers('--batch-mode'),
    async call(method, params) {
      calls.push({ method, params });
      return undefined;
    },
    async finish() {
      if (calls.length === 0) return;
      const client = await connect();
      const results = await client.batch(calls).finally(() => client.close());
      const errors = results.flatMap((result) => ('error' in result ? [result.error] : []));
      for (const result of results) {
        if ('result' in result && result.result !== null)
          output.out(`${JSON.stringify(result.result, null, 2)}\n`);
      }
      if (errors.length > 0) {
        throw new CommandError(errors.map((error) => JSON.stringify(error, null, 2)).join('\n'));
      }
    },
  };
}
