import type { Method, MethodParams, MethodResult } from './method.ts';
import { bdevMethods } from './methods/bdev.ts';
import { bdevRateMethods } from './methods/bdev-rate.ts';
import { bdevZoneMethods } from './methods/bdev-zone.ts';
import { bdevperfMethods } from './methods/bdevperf.ts';
import { coreMethods } from './methods/core.ts';
import { frameworkMethods } from './methods/framework.ts';
import { iobufMethods } from './methods/iobuf.ts';
import { keyringMethods } from './methods/keyring.ts';
import { logMethods } from './methods/log.ts';
import { notifyMethods } from './methods/notify.ts';
import { nvmfDiscoveryMethods } from './methods/nvmf-discovery.ts';
import { nvmfLimitMethods } from './methods/nvmf-limits.ts';
import { nvmfNamespaceMethods } from './methods/nvmf-namespace.ts';
import { nvmfSubsystemMethods } from './methods/nvmf-subsystem.ts';
import { nvmfTargetMethods } from './methods/nvmf-target.ts';
import { nvmfTransportMethods } from './methods/nvmf-transport.ts';
import { sockMethods } from './methods/sock.ts';
import { threadMethods } from './methods/thread.ts';
import { vhostMethods } from './methods/vhost.ts';

type Builtin =
  | (typeof coreMethods)[number]
  | (typeof frameworkMethods)[number]
  | (typeof threadMethods)[number]
  | (typeof logMethods)[number]
  | (typeof notifyMethods)[number]
  | (typeof iobufMethods)[number]
  | (typeof sockMethods)[number]
  | (typeof keyringMethods)[number]
  | (typeof bdevMethods)[number]
  | (typeof bdevRateMethods)[number]
  | (typeof bdevZoneMethods)[number]
  | (typeof nvmfTargetMethods)[number]
  | (typeof nvmfTransportMethods)[number]
  | (typeof nvmfSubsystemMethods)[number]
  | (typeof nvmfNamespaceMethods)[number]
  | (typeof nvmfDiscoveryMethods)[number]
  | (typeof nvmfLimitMethods)[number]
  | (typeof vhostMethods)[number]
  | (typeof bdevperfMethods)[number];

/** The types of a list of methods, each under its name. */
export type MethodsByName<L extends readonly Method[]> = { [M in L[number] as M['name']]: M };

/**
 * Every method by name, with its types. A module adds its own by declaration merging:
 * `declare module '@spdk-ts/rpc-schema' { interface MethodTable extends MethodsByName<typeof methods> {} }`.
 */
export interface MethodTable extends MethodsByName<Builtin[]> {}

/** Names with known types. */
export type MethodName = keyof MethodTable & string;
/** Parameters of a method as its handler receives them: validated, absent ones left out. */
export type ParamsOf<M extends MethodName> = MethodParams<MethodTable[M]>;
/** Result of a method. */
export type ResultOf<M extends MethodName> = MethodResult<MethodTable[M]>;

const table = new Map<string, Method>();

/**
 * Adds methods to the schema: those of modules, when they are loaded. A method may be registered again only as the same object.
 * Throws an Error on a name that is taken.
 */
export function registerSchema(...methods: Method[]): void {
  for (const method of methods) {
    const known = table.get(method.name);
    if (known !== undefined && known !== method) {
      throw new Error(`RPC method ${method.name} is in the schema already; give the new one another name`);
    }
    table.set(method.name, method);
  }
}

registerSchema(
  ...([
    coreMethods,
    frameworkMethods,
    threadMethods,
    logMethods,
    notifyMethods,
    iobufMethods,
    sockMethods,
    keyringMethods,
    bdevMethods,
    bdevRateMethods,
    bdevZoneMethods,
    nvmfTargetMethods,
    nvmfTransportMethods,
    nvmfSubsystemMethods,
    nvmfNamespaceMethods,
    nvmfDiscoveryMethods,
    nvmfLimitMethods,
    vhostMethods,
    bdevperfMethods,
  ].flat() as unknown as Method[]),
);

/** The description of a method, or undefined if the schema has none of that name. */
export function findMethod(name: string): Method | undefined {
  return table.get(name);
}

/** Every method, in the order of the schema; families stay together. */
export function allMethods(): Method[] {
  return [...table.values()];
}
