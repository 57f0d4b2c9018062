// Runs in browsers too: nothing of Node here.
import { show } from '@spdk-ts/rpc-schema';
import type { BatchCall, RpcCaller } from './client.ts';
import { RpcError } from './errors.ts';

/** A call of a configuration file, or several that go as one batch. */
export type ConfigEntry = BatchCall | readonly BatchCall[];

export interface SubsystemConfig {
  readonly subsystem: string;
  readonly config: readonly ConfigEntry[] | null;
}

/** What save_config writes and load_config and --json read. */
export interface Config {
  readonly subsystems: readonly SubsystemConfig[];
}

export interface SaveOptions {
  /** Only these subsystems and what they depend on. */
  readonly subsystems?: readonly string[];
  /** Keep batches as nested arrays. */
  readonly withBatches?: boolean;
}

/** Text of a configuration: `indent` blanks for each level, on one line if negative. */
export function formatConfig(config: unknown, indent = 2): string {
  return `${JSON.stringify(config, null, indent < 0 ? undefined : indent)}\n`;
}

/** Asks the server for the calls that make its present configuration, subsystem by subsystem in order. */
export async function saveConfig(caller: RpcCaller, options: SaveOptions = {}): Promise<Config> {
  const known = await caller.call('framework_get_subsystems');
  const needs = new Map<string, Set<string>>();
  for (const { subsystem, depends_on } of known) {
    const all = new Set([subsystem]);
    for (const name of depends_on) for (const below of needs.get(name) ?? [name]) all.add(below);
    needs.set(subsystem, all);
  }
  const wanted = new Set<string>();
  for (const name of options.subsystems ?? needs.keys()) {
    const all = needs.get(name);
    if (all === undefined) {
      throw new Error(`there is no subsystem "${name}"; use one of ${[...needs.keys()].join(', ')}`);
    }
    for (const below of all) wanted.add(below);
  }
  const subsystems: SubsystemConfig[] = [];
  for (const { subsystem } of known) {
    if (wanted.has(subsystem)) subsystems.push(await saveSubsystemConfig(caller, subsystem, options));
  }
  return { subsystems };
}

/** The same for one subsystem by itself. */
export async function saveSubsystemConfig(
  caller: RpcCaller,
  name: string,
  options: { withBatches?: boolean } = {},
): Promise<SubsystemConfig> {
  const params = options.withBatches ? { name, with_batches: true } : { name };
  return {
    subsystem: name,
    config: (await caller.call('framework_get_config', params)) as ConfigEntry[] | null,
  };
}

export interface LoadOptions {
  /** Subsystems to leave out with a notice when not among these; all are loaded when absent. */
  readonly knownSubsystems?: readonly string[];
  /** Go on after calls that fail (`--json-ignore-init-errors`). */
  readonly ignoreErrors?: boolean;
  /** Told about everything that was left out or failed and ignored. */
  readonly onNotice?: (message: string) => void;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const callsOf = (entry: ConfigEntry): readonly BatchCall[] =>
  Array.isArray(entry) ? entry : [entry as BatchCall];

function checkEntry(entry: unknown, where: string): void {
  for (const call of Array.isArray(entry) ? entry : [entry]) {
    if (!isObject(call) || typeof call['method'] !== 'string') {
      throw new Error(`${where}: ${show(call)} is no call; give {"method": "…", "params": {…}}`);
    }
  }
}

function checkSubsystem(value: unknown, where: string): SubsystemConfig {
  if (!isObject(value) || typeof value['subsystem'] !== 'string') {
    throw new Error(`${where}: ${show(value)} is no subsystem; give {"subsystem": "…", "config": […]}`);
  }
  const { subsystem, config = null } = value;
  if (config !== null && !Array.isArray(config)) {
    throw new Error(`${where}: config of ${subsystem} is ${show(config)}; give an array of calls or null`);
  }
  config?.forEach((entry, index) => {
    checkEntry(entry, `${subsystem} config[${index}]`);
  });
  return { subsystem, config };
}

/** Checks the shape of a whole configuration; other keys beside `subsystems` are ignored. Throws an Error. */
export function checkConfig(value: unknown): Config {
  if (!isObject(value) || !Array.isArray(value['subsystems'])) {
    throw new Error('the configuration has no "subsystems" array at its top');
  }
  return {
    subsystems: value['subsystems'].map((item, index) => checkSubsystem(item, `subsystems[${index}]`)),
  };
}

async function checkMethods(caller: RpcCaller, subsystems: readonly SubsystemConfig[], options: LoadOptions) {
  const known = new Set(await caller.call('rpc_get_methods'));
  return subsystems.map(({ subsystem, config }) => {
    const left = (config ?? []).filter((entry) => {
      const unknown = callsOf(entry).find(({ method }) => !known.has(method));
      if (unknown === undefined) return true;
      const text = `unknown method ${unknown.method} in the configuration of ${subsystem}`;
      if (options.ignoreErrors !== true)
        throw new Error(`${text}; remove it or start the application that has it`);
      options.onNotice?.(`${text}: left out`);
      return false;
    });
    return { subsystem, config: left };
  });
}

/** Makes one entry's calls. Throws an RpcError that names the call. */
async function apply(
  caller: RpcCaller,
  subsystem: string,
  entry: ConfigEntry,
  options: LoadOptions,
): Promise<void> {
  const fail = (method: string, error: unknown) => {
    if (!(error instanceof RpcError)) throw error;
    const text = `${subsystem}: ${method}: ${error.message}`;
    if (options.ignoreErrors !== true) throw new RpcError(error.code, text, error.data);
    options.onNotice?.(`${text} (ignored)`);
  };
  if (!Array.isArray(entry)) {
    const { method, params } = entry as BatchCall;
    await caller.call(method, params).catch((error: unknown) => fail(method, error));
    return;
  }
  const results = await caller.batch(entry);
  results.forEach((result, index) => {
    if ('error' in result) fail(entry[index]!.method, result.error);
  });
}

/**
 * Makes the calls of a configuration: first those that may be made now, then, if the server is still in its startup
 * state, `framework_start_init` and the rest. The order within a subsystem and between subsystems is kept. Rejects
 * with an Error on a malformed configuration or unknown method before anything is called, and with the RpcError of
 * the first call that fails.
 */
export async function loadConfig(
  caller: RpcCaller,
  value: unknown,
  options: LoadOptions = {},
): Promise<void> {
  const { subsystems } = checkConfig(value);
  const known = options.knownSubsystems;
  const chosen = subsystems.filter(({ subsystem, config }) => {
    if (config === null || config.length === 0) return false;
    if (known === undefined || known.includes(subsystem)) return true;
    options.onNotice?.(`subsystem ${subsystem} of the configuration does not exist here: left out`);
    return false;
  });
  let left = await checkMethods(caller, chosen, options);
  for (;;) {
    const allowed = new Set(await caller.call('rpc_get_methods', { current: true }));
    const later: typeof left = [];
    let called = false;
    for (const { subsystem, config } of left) {
      const rest: ConfigEntry[] = [];
      for (const entry of config) {
        if (callsOf(entry).every(({ method }) => allowed.has(method))) {
          await apply(caller, subsystem, entry, options);
          called = true;
        } else rest.push(entry);
      }
      if (rest.length > 0) later.push({ subsystem, config: rest });
    }
    left = later;
    if (allowed.has('framework_start_init')) await caller.call('framework_start_init');
    else if (left.length === 0 || !called) break;
  }
  for (const { subsystem, config } of left) {
    const names = config.flatMap(callsOf).map(({ method }) => method);
    options.onNotice?.(
      `${subsystem}: ${names.join(', ')} left out: the state in which they may be called is over`,
    );
  }
}

/** The same for what saveSubsystemConfig gave. Does not start the framework. */
export async function loadSubsystemConfig(
  caller: RpcCaller,
  value: unknown,
  options: LoadOptions = {},
): Promise<void> {
  const checked = checkSubsystem(value, 'the configuration');
  const [subsystem] = await checkMethods(caller, [checked], options);
  const allowed = new Set(await caller.call('rpc_get_methods', { current: true }));
  for (const entry of subsystem!.config) {
    const closed = callsOf(entry).find(({ method }) => !allowed.has(method));
    if (closed === undefined) await apply(caller, checked.subsystem, entry, options);
    else
      options.onNotice?.(
        `${checked.subsystem}: ${closed.method} left out: it may not be called in this state`,
      );
  }
}
