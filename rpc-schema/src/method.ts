import type { Fields, Infer, InferFields, Type } from './types.ts';

/** When a method may be called: before `framework_start_init`, after it, or always. */
export type MethodState = 'startup' | 'runtime' | 'both';

/** JSON-RPC code of the answer to wrong parameters; SPDK's modules differ and their users match on it. */
export type DecodeErrorCode = -32602 | -32603;

export type PrintForm = 'none' | 'json' | 'text' | 'words';

/** What the command line does that its parameters do not say by themselves. */
export interface MethodCli {
  /** Arguments that exist on the command line only, such as a size in MiB; `toParams` must turn them into parameters. */
  readonly args?: Fields;
  /** Order of the positional arguments; without it, that of the parameters. */
  readonly positionals?: readonly string[];
  /** Client-side computation, given the arguments by name. May throw an Error whose message is for the user. */
  readonly toParams?: (args: Record<string, unknown>) => Record<string, unknown>;
  /**
   * How `rpc.ts` prints the result: `none`, `json` (two spaces), `text` (json without the quotes around a string),
   * or `words` (an array's strings on a line, quoted for a shell). By default `none` for booleans, `text` for
   * strings, else `json`.
   */
  readonly print?: PrintForm;
  /** There is no command, because the method makes no sense outside of a lasting connection. */
  readonly hidden?: boolean;
}

export interface MethodDefinition<N extends string, P extends Fields, R extends Type> {
  readonly name: N;
  /** What the method does, in a sentence or a few. */
  readonly text: string;
  readonly params?: P;
  readonly result: R;
  readonly resultText?: string;
  /** `runtime` when absent. */
  readonly state?: MethodState;
  /** -32602 when absent. */
  readonly decodeError?: DecodeErrorCode;
  /** Start of the message of a decode error; by default `Invalid parameters`, or SPDK's text for -32603. */
  readonly decodeText?: string;
  /** Unknown parameters are ignored instead of refused. */
  readonly relaxed?: boolean;
  /** Errors worth knowing beside wrong parameters: code and reason. */
  readonly errors?: readonly (readonly [code: number, text: string])[];
  /** Exists here and not in SPDK. */
  readonly own?: boolean;
  readonly cli?: MethodCli;
}

/** A method as the registry holds it, every default filled in. */
export interface Method<N extends string = string, P extends Fields = Fields, R extends Type = Type> {
  readonly name: N;
  readonly family: string;
  readonly text: string;
  readonly params: P;
  readonly result: R;
  readonly resultText: string;
  readonly state: MethodState;
  readonly decodeError: DecodeErrorCode;
  readonly decodeText: string;
  readonly relaxed: boolean;
  readonly errors: readonly (readonly [code: number, text: string])[];
  readonly own: boolean;
  readonly cli: MethodCli;
}

const methodName = /^[a-z][a-z0-9_]*$/;

/**
 * Describes one method. The name is lower case with underscores; parameters are `required()` or `optional()`
 * fields. Throws an Error on a name that cannot be a command.
 */
export function defineMethod<
  const N extends string,
  const R extends Type,
  const P extends Fields = Record<never, never>,
>(definition: MethodDefinition<N, P, R>, family = 'plugin'): Method<N, P, R> {
  if (!methodName.test(definition.name)) {
    throw new Error(`method name "${definition.name}": use lower case letters, digits and underscores`);
  }
  const decodeError = definition.decodeError ?? -32602;
  return {
    name: definition.name,
    family,
    text: definition.text,
    params: definition.params ?? ({} as P),
    result: definition.result,
    resultText: definition.resultText ?? '',
    state: definition.state ?? 'runtime',
    decodeError,
    decodeText:
      definition.decodeText ??
      (decodeError === -32603 ? 'spdk_json_decode_object failed' : 'Invalid parameters'),
    relaxed: definition.relaxed ?? false,
    errors: definition.errors ?? [],
    own: definition.own ?? false,
    cli: definition.cli ?? {},
  };
}

/** The parameter object of a method's description. */
export type MethodParams<M> = M extends Method<string, infer P, Type> ? InferFields<P> : never;
/** The result of a method's description. */
export type MethodResult<M> = M extends Method<string, Fields, infer R> ? Infer<R> : never;

/** `defineMethod` for a file of methods that belong together. */
export const inFamily =
  (family: string) =>
  <const N extends string, const R extends Type, const P extends Fields = Record<never, never>>(
    definition: MethodDefinition<N, P, R>,
  ): Method<N, P, R> =>
    defineMethod(definition, family);
