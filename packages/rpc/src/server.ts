import {
  checkResult,
  findMethod,
  type Method,
  type MethodName,
  type MethodParams,
  type MethodResult,
  nearest,
  type ParamsOf,
  type ResultOf,
  registerSchema,
  show,
  validateParams,
} from '@spdk-ts/rpc-schema';
import { errnoError, RpcError, rpcCode, stateMessage, toRpcError } from './errors.ts';
import type { JsonPath } from './json-scanner.ts';
import { limits } from './limits.ts';
import { type RpcLogger, silentLogger } from './logger.ts';
import type { IncomingMessage } from './message.ts';

/** Before and after the subsystems are initialized. */
export type RpcState = 'startup' | 'runtime';

/** Whoever calls. */
export interface RpcConnection {
  readonly id: number;
  readonly transport: 'unix' | 'websocket' | 'local';
  /**
   * Calls back once when the connection is closed, at once if it is. Returns a function that takes that back. A
   * client of a unix socket that goes away with calls in work is noticed when an answer cannot be sent: until then it
   * looks like one that has only stopped asking.
   */
  onClose(callback: () => void): () => void;
  /** Sends a notification; undefined where clients cannot receive one. */
  readonly push?: (text: string) => void;
}

export interface CallContext {
  readonly method: string;
  /** Undefined for calls from inside the process. */
  readonly connection: RpcConnection | undefined;
  readonly server: RpcServer;
}

/** Answer of a handler; where the result is a boolean, no answer means true. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler without a return statement is meant
export type HandlerResult<R> = R | (boolean extends R ? void : never);
export type RpcHandler<P, R> = (
  params: P,
  context: CallContext,
) => HandlerResult<R> | Promise<HandlerResult<R>>;

export interface RpcServerOptions {
  /** `runtime` when absent. */
  readonly state?: RpcState;
  /** Methods that may be called over connections (`--rpcs-allowed`); all when absent. */
  readonly allowed?: readonly string[];
  readonly log?: RpcLogger;
  /** Holds results against the schema and answers -32603 where they differ; for tests. */
  readonly checkResults?: boolean;
}

type AnyHandler = (params: Record<string, unknown>, context: CallContext) => unknown;

interface Registered {
  readonly method: Method;
  readonly handler: AnyHandler;
}

interface Subscription {
  /** Kinds of events wanted; undefined for all. */
  readonly types: ReadonlySet<string> | undefined;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const requestKeys = new Set(['jsonrpc', 'method', 'params', 'id']);

const pathText = (path: JsonPath): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? key : `${text}.${key}`;
  }, '');

/**
 * The methods of an application and the rules by which they are called: states, allow-list, validation, errors,
 * batches. Knows no transport; `listenUnix` and `listenWebSocket` bring one.
 *
 * Answers itself to rpc_get_methods, notify_subscribe and notify_unsubscribe.
 */
export class RpcServer {
  readonly log: RpcLogger;
  #state: RpcState;
  readonly #handlers = new Map<string, Registered>();
  readonly #allowed: ReadonlySet<string> | undefined;
  readonly #checkResults: boolean;
  readonly #subscriptions = new Map<RpcConnection, Subscription>();

  constructor(options: RpcServerOptions = {}) {
    this.#state = options.state ?? 'runtime';
    this.#allowed = options.allowed === undefined ? undefined : new Set(options.allowed);
    this.log = options.log ?? silentLogger;
    this.#checkResults = options.checkResults ?? false;
    this.register('rpc_get_methods', ({ current }, { connection }) =>
      this.methods({ current: current ?? false, unrestricted: connection === undefined }),
    );
    this.register('notify_subscribe', ({ types }, { connection }) => {
      if (connection?.push === undefined) {
        throw errnoError(
          'ENOTSUP',
          'only WebSocket connections receive events; poll notify_get_notifications',
        );
      }
      const isNew = !this.#subscriptions.has(connection);
      this.#subscriptions.set(connection, { types: types === undefined ? undefined : new Set(types) });
      if (isNew) connection.onClose(() => this.#subscriptions.delete(connection));
      return true;
    });
    this.register('notify_unsubscribe', (_params, { connection }) =>
      connection === undefined ? false : this.#subscriptions.delete(connection),
    );
  }

  get state(): RpcState {
    return this.#state;
  }

  /** To be called by whoever initializes the subsystems, when that is done. */
  setState(state: RpcState): void {
    this.#state = state;
  }

  /**
   * Makes the server answer a method of the schema. The handler receives validated parameters and returns the
   * result, or a promise of it, or throws: an RpcError as it is to be sent, or any Error (see toRpcError).
   * Throws an Error if the schema has no such method or it is registered.
   */
  register<M extends MethodName>(name: M, handler: RpcHandler<ParamsOf<M>, ResultOf<M>>): void {
    const method = findMethod(name);
    if (method === undefined) {
      throw new Error(`RPC method ${name} is not in the schema; add it with registerSchema(defineMethod(…))`);
    }
    this.#add(method, handler as unknown as AnyHandler);
  }

  /** The same for a method described elsewhere, such as in a plugin; adds it to the schema. */
  registerMethod<M extends Method>(method: M, handler: RpcHandler<MethodParams<M>, MethodResult<M>>): void {
    registerSchema(method);
    this.#add(method, handler as unknown as AnyHandler);
  }

  #add(method: Method, handler: AnyHandler): void {
    if (this.#handlers.has(method.name)) throw new Error(`RPC method ${method.name} is registered already`);
    this.#handlers.set(method.name, { method, handler });
  }

  /** Takes a method away again. Returns whether it was there. */
  unregister(name: string): boolean {
    return this.#handlers.delete(name);
  }

  /** Names of registered methods; only those callable in the present state with `current`, also disallowed ones with `unrestricted`. */
  methods(which: { current?: boolean; unrestricted?: boolean } = {}): string[] {
    return [...this.#handlers.values()]
      .map(({ method }) => method)
      .filter(({ name }) => which.unrestricted === true || this.#isAllowed(name))
      .filter(({ state }) => which.current !== true || state === 'both' || state === this.#state)
      .map(({ name }) => name);
  }

  #isAllowed(name: string): boolean {
    return this.#allowed === undefined || this.#allowed.has(name);
  }

  /**
   * Calls a method as a client would, from inside the process: same states and validation, no allow-list.
   * Rejects with an RpcError.
   */
  async call<M extends MethodName>(name: M, params?: ParamsOf<M>): Promise<ResultOf<M>>;
  async call(name: string, params?: unknown): Promise<unknown>;
  async call(name: string, params?: unknown): Promise<unknown> {
    return this.#dispatch(name, params, [], undefined);
  }

  async #dispatch(
    name: string,
    params: unknown,
    duplicates: readonly JsonPath[],
    connection: RpcConnection | undefined,
  ): Promise<unknown> {
    const registered = this.#handlers.get(name);
    if (registered === undefined || (connection !== undefined && !this.#isAllowed(name))) {
      throw new RpcError(rpcCode.methodNotFound, this.#notFoundText(name, registered !== undefined));
    }
    const { method, handler } = registered;
    if (method.state !== 'both' && method.state !== this.#state) {
      throw new RpcError(rpcCode.invalidState, stateMessage[this.#state]);
    }
    if (duplicates.length > 0) {
      const path = pathText(duplicates[0]!);
      throw new RpcError(
        method.decodeError,
        `${method.decodeText}: parameter ${show(path)} is given twice; keep one of them`,
        { parameter: path },
      );
    }
    const checked = validateParams(method, params);
    if (!checked.ok) {
      const { path, message } = checked.problem;
      throw new RpcError(
        method.decodeError,
        `${method.decodeText}: ${message}`,
        path === '' ? undefined : { parameter: path },
      );
    }
    let result: unknown;
    try {
      result = await handler(checked.value, { method: name, connection, server: this });
    } catch (error) {
      const answer = toRpcError(error);
      if (answer.code === rpcCode.internalError && !(error instanceof RpcError)) {
        this.log.error(
          `RPC ${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`,
        );
      }
      throw answer;
    }
    const answer = result === undefined ? true : result;
    if (this.#checkResults) {
      const problem = checkResult(method, answer);
      if (problem !== undefined) {
        throw new RpcError(rpcCode.internalError, `Internal error: ${name}: ${problem.message}`);
      }
    }
    return answer;
  }

  #notFoundText(name: string, exists: boolean): string {
    if (exists) return `Method not found: ${show(name)} is not allowed here; add it to --rpcs-allowed`;
    if (findMethod(name) !== undefined) {
      return `Method not found: ${name} exists, but nothing in this application serves it; rpc_get_methods lists what is`;
    }
    const near = nearest(name.slice(0, 64), this.methods());
    const guess = near === undefined ? '' : `did you mean ${near}? `;
    return `Method not found: ${show(name)}; ${guess}rpc_get_methods lists what is there`;
  }

  /**
   * Answers a message: the text to send back without a newline, or undefined where nothing is to be sent. Never
   * rejects. Handlers of a message are called before this returns, so that requests start in the order they came in.
   */
  async answer(message: IncomingMessage, connection: RpcConnection): Promise<string | undefined> {
    const { value, duplicates, ids } = message;
    if (!Array.isArray(value)) return this.#single(value, duplicates, ids.get(-1), connection);
    if (value.length === 0) {
      return errorText('null', new RpcError(rpcCode.invalidRequest, 'Invalid request: the batch is empty'));
    }
    const inElement = (index: number): JsonPath[] =>
      duplicates.filter((path) => path[0] === index).map((path) => path.slice(1));
    const answers = await Promise.all(
      value.map((element, index) => this.#single(element, inElement(index), ids.get(index), connection)),
    );
    const texts = answers.filter((text) => text !== undefined);
    if (texts.length === 0) return undefined;
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 2);
    if (bytes > limits.responseBytes) return errorText('null', tooLarge(bytes));
    return `[${texts.join(',')}]`;
  }

  async #single(
    value: unknown,
    duplicates: readonly JsonPath[],
    idText: string | undefined,
    connection: RpcConnection,
  ): Promise<string | undefined> {
    const problem = requestProblem(value, duplicates);
    if (problem !== undefined) {
      const known = isObject(value) && idProblem(value['id']) === undefined ? idText : undefined;
      return errorText(known ?? 'null', new RpcError(rpcCode.invalidRequest, `Invalid request: ${problem}`));
    }
    const { method, params, id } = value as { method: string; params?: unknown; id?: unknown };
    const isNotification = id === undefined || id === null;
    const shownId = isNotification ? 'null' : (idText ?? JSON.stringify(id));
    try {
      const inParams = duplicates.filter((path) => path[0] === 'params').map((path) => path.slice(1));
      const result = await this.#dispatch(method, params, inParams, connection);
      if (isNotification) return undefined;
      const text = `{"jsonrpc":"2.0","id":${shownId},"result":${JSON.stringify(result)}}`;
      // Half the limit in UTF-16 units can exceed it in bytes, so only then count exactly.
      if (text.length > limits.responseBytes / 3 && Buffer.byteLength(text) > limits.responseBytes) {
        throw tooLarge(Buffer.byteLength(text));
      }
      return text;
    } catch (error) {
      return errorText(shownId, toRpcError(error));
    }
  }

  /** Sends an event to the connections that subscribed to its type. `id` is its number in the ring of notifications. */
  broadcast(type: string, ctx: string, id: number): void {
    if (this.#subscriptions.size === 0) return;
    const text = JSON.stringify({ jsonrpc: '2.0', method: 'notify', params: { type, ctx, id } });
    for (const [connection, { types }] of this.#subscriptions) {
      if (types === undefined || types.has(type)) connection.push?.(text);
    }
  }
}

function tooLarge(bytes: number): RpcError {
  return new RpcError(
    rpcCode.internalError,
    `Internal error: the answer has ${bytes} bytes, more than ${limits.responseBytes}; ask for less, such as one name`,
  );
}

/** Text of an error answer. `id` is JSON text. */
export function errorText(id: string, error: RpcError): string {
  return `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify(error)}}`;
}

function idProblem(id: unknown): string | undefined {
  if (id === undefined || id === null || typeof id === 'number') return undefined;
  if (typeof id !== 'string') return `id is ${show(id)}; give a string or a number`;
  if (id.length > limits.idCharacters) {
    return `id has ${id.length} characters; give at most ${limits.idCharacters}`;
  }
  return undefined;
}

/** What is wrong with a request as such, before anybody looks at its method. */
function requestProblem(value: unknown, duplicates: readonly JsonPath[]): string | undefined {
  if (!isObject(value))
    return `it is ${show(value)}; send an object such as {"method": "spdk_get_version", "id": 1}`;
  const twice = duplicates.find((path) => path.length === 1);
  if (twice !== undefined) return `${show(twice[0])} is given twice; keep one of them`;
  const { jsonrpc, method, params } = value;
  for (const key of Object.keys(value)) {
    if (!requestKeys.has(key)) return `unknown key ${show(key)}; use jsonrpc, method, params and id`;
  }
  if (jsonrpc !== undefined && jsonrpc !== '2.0')
    return `jsonrpc is ${show(jsonrpc)}; give "2.0" or leave it out`;
  if (method === undefined) return 'method is missing; add the name of a method';
  if (typeof method !== 'string') return `method is ${show(method)}; give the name of a method`;
  const id = idProblem(value['id']);
  if (id !== undefined) return id;
  if (params !== undefined && typeof params !== 'object') {
    return `params is ${show(params)}; give an object of named parameters`;
  }
  return undefined;
}
