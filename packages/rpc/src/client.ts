// Runs in browsers too: nothing of Node here.
import { type MethodName, type ParamsOf, type ResultOf, show } from '@spdk-ts/rpc-schema';
import { RpcError } from './errors.ts';

/** What carries text to a server and back, one JSON value at a time. */
export interface RpcChannel {
  send(text: string): void;
  close(): void;
  /** To be set by the client: called with each JSON value received, parsed. */
  onMessage: (value: unknown) => void;
  /** To be set by the client: called once when the channel is closed, with the reason if there is one. */
  onClose: (reason?: Error) => void;
}

/** Parameters as a caller may write them: optional ones may be undefined and are then left out. */
export type LooseParams<P> = { [K in keyof P]: undefined extends P[K] ? P[K] | undefined : P[K] };
type CallArguments<P> =
  Record<never, never> extends P
    ? [params?: LooseParams<P> | undefined, options?: CallOptions]
    : [params: LooseParams<P>, options?: CallOptions];

export interface CallOptions {
  /** How long to wait for the answer; the client's when absent; 0 for ever. */
  readonly timeout_ms?: number;
}

export interface RpcClientOptions {
  /** How long calls wait for their answers; 60 000 when absent, 0 for ever. */
  readonly timeout_ms?: number;
}

/** One call of a batch. */
export interface BatchCall {
  readonly method: string;
  readonly params?: unknown;
}
export type BatchResult = { readonly result: unknown } | { readonly error: RpcError };

/** An event that the server pushed. */
export interface PushedEvent {
  readonly type: string;
  readonly ctx: string;
  readonly id: number;
}

/** Whatever methods can be called through: a client of a connection, or the server in the same process. */
export interface RpcCaller {
  call<M extends MethodName>(method: M, ...rest: CallArguments<ParamsOf<M>>): Promise<ResultOf<M>>;
  call(method: string, params?: unknown, options?: CallOptions): Promise<unknown>;
  batch(calls: readonly BatchCall[], options?: CallOptions): Promise<BatchResult[]>;
}

/** The call got no answer: the connection closed or the time ran out. */
export class RpcConnectionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'RpcConnectionError';
  }
}

interface Pending {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout> | undefined;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function toError(error: unknown): RpcError {
  if (isObject(error) && typeof error['code'] === 'number') {
    return new RpcError(error['code'], String(error['message'] ?? ''), error['data']);
  }
  return new RpcError(-32603, `error answer without a code: ${show(error)}`);
}

/**
 * A client of one connection. Calls may overlap; answers find their call by its id, in any order. `call` resolves
 * to the result, rejects with the RpcError the server answered or with an RpcConnectionError.
 */
export class RpcClient implements RpcCaller {
  /** Resolves when the connection is closed, whoever closed it. */
  readonly closed: Promise<void>;
  readonly #channel: RpcChannel;
  readonly #timeout_ms: number;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: PushedEvent) => void>();
  #nextId = 1;
  #closedBy: Error | undefined;

  constructor(channel: RpcChannel, options: RpcClientOptions = {}) {
    this.#channel = channel;
    this.#timeout_ms = options.timeout_ms ?? 60_000;
    this.closed = new Promise((resolve) => {
      channel.onClose = (reason) => {
        this.#closedBy ??= reason ?? new RpcConnectionError('the server closed the connection');
        this.#failAll(this.#closedBy);
        resolve();
      };
    });
    channel.onMessage = (value) => this.#receive(value);
  }

  call<M extends MethodName>(method: M, ...rest: CallArguments<ParamsOf<M>>): Promise<ResultOf<M>>;
  call(method: string, params?: unknown, options?: CallOptions): Promise<unknown>;
  call(method: string, params?: unknown, options: CallOptions = {}): Promise<unknown> {
    const id = this.#nextId++;
    const answer = this.#wait(id, method, options);
    if (this.#closedBy === undefined) this.#channel.send(requestText(method, params, id));
    return answer;
  }

  /** Sends several calls as one message; they run at the same time. The results come in the order of the calls. */
  async batch(calls: readonly BatchCall[], options: CallOptions = {}): Promise<BatchResult[]> {
    if (calls.length === 0) return [];
    const ids = calls.map(() => this.#nextId++);
    const answers = ids.map((id) => this.#wait(id, 'batch', options));
    const texts = calls.map(({ method, params }, index) => requestText(method, params, ids[index]!));
    if (this.#closedBy === undefined) this.#channel.send(`[${texts.join(',')}]`);
    return Promise.all(
      answers.map((answer) =>
        answer.then(
          (result) => ({ result }),
          (error: Error) => {
            if (error instanceof RpcError) return { error };
            throw error;
          },
        ),
      ),
    );
  }

  /** Calls back for every event the server pushes, after `notify_subscribe`. Returns a function that ends that. */
  onNotification(listener: (event: PushedEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closedBy ??= new RpcConnectionError('the client is closed');
    this.#channel.close();
  }

  #wait(id: number, method: string, options: CallOptions): Promise<unknown> {
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy);
    const timeout_ms = options.timeout_ms ?? this.#timeout_ms;
    return new Promise((resolve, reject) => {
      const timer =
        timeout_ms <= 0
          ? undefined
          : setTimeout(() => {
              this.#pending.delete(id);
              const text = `no answer to ${method} within ${timeout_ms / 1000} s; wait longer with a larger timeout`;
              reject(new RpcConnectionError(text));
            }, timeout_ms);
      this.#pending.set(id, { resolve, reject, timer });
    });
  }

  #receive(value: unknown): void {
    if (Array.isArray(value)) {
      for (const element of value) this.#receive(element);
      return;
    }
    if (!isObject(value)) return;
    const { id } = value;
    if (value['method'] === 'notify' && isObject(value['params'])) {
      for (const listener of this.#listeners) listener(value['params'] as unknown as PushedEvent);
      return;
    }
    if (typeof id !== 'number') {
      // An error without an id is about the connection or the message as a whole: no call is left with an answer.
      if (value['error'] !== undefined) this.#failAll(toError(value['error']));
      return;
    }
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (value['error'] !== undefined) pending.reject(toError(value['error']));
    else pending.resolve(value['result']);
  }

  #failAll(error: Error): void {
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#pending.clear();
  }
}

function requestText(method: string, params: unknown, id: number): string {
  const given =
    isObject(params) && Object.values(params).every((value) => value === undefined) ? undefined : params;
  return JSON.stringify({ jsonrpc: '2.0', method, params: given, id });
}
