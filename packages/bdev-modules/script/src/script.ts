import { IO_TYPE_COUNT, IoType } from '@spdk-ts/bdev';
import type { Script, ScriptContext, ScriptFunction, ScriptInstance, ScriptOptions } from './api.ts';

const functions: readonly [name: keyof ScriptInstance, type: number][] = [
  ['read', IoType.READ],
  ['write', IoType.WRITE],
  ['flush', IoType.FLUSH],
  ['unmap', IoType.UNMAP],
  ['writeZeroes', IoType.WRITE_ZEROES],
];

/** An instance, and its functions by I/O type. */
export interface OpenScript {
  readonly instance: ScriptInstance;
  readonly byType: readonly (ScriptFunction | null)[];
  /** Bit mask of I/O types. */
  readonly io_types: number;
}

/** What a script threw, in the first lines of its stack. */
export function explain(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const lines = (thrown.stack ?? '').split('\n');
  const at = lines.find((line) => /^\s+at /.test(line));
  return at === undefined ? `${thrown}` : `${thrown} (${at.trim()})`;
}

/** Loads a script. Rejects with an Error if it cannot be, or its default export is no Script. */
export async function loadScript(url: string): Promise<Script> {
  let script: Script | undefined;
  try {
    script = ((await import(url)) as { default?: Script }).default;
  } catch (error) {
    throw new Error(`it cannot be loaded: ${explain(error)}`);
  }
  if (typeof script?.open !== 'function') throw new Error('it has no default export with a function open');
  return script;
}

/** How much memory the instances share, bytes. */
export function memoryBytes({ memory_bytes = 0 }: Script, options: ScriptOptions): number {
  const bytes = typeof memory_bytes === 'function' ? memory_bytes(options) : memory_bytes;
  if (!Number.isSafeInteger(bytes) || bytes < 0)
    throw new Error(`its memory_bytes is ${String(bytes)}; give a whole number of bytes`);
  return bytes;
}

/** Opens an instance. Rejects with an Error if open throws, or what it returns lacks functions. */
export async function openScript(script: Script, context: ScriptContext): Promise<OpenScript> {
  let instance: ScriptInstance;
  try {
    instance = await script.open(context);
  } catch (error) {
    throw new Error(`its open failed: ${explain(error)}`);
  }
  const byType: (ScriptFunction | null)[] = Array.from({ length: IO_TYPE_COUNT }, () => null);
  let io_types = 0;
  for (const [name, type] of functions) {
    const value: unknown = instance?.[name];
    if (value === undefined || value === null) continue;
    if (typeof value !== 'function') throw new Error(`its ${name} is not a function`);
    byType[type] = value as ScriptFunction;
    io_types |= 1 << type;
  }
  if (byType[IoType.READ] === null) throw new Error('its open returned no object with a function read');
  return { instance, byType, io_types };
}

/** Names of the functions for a set of I/O types. */
export const functionNames = (io_types: number): string =>
  functions
    .filter(([, type]) => (io_types & (1 << type)) !== 0)
    .map(([name]) => name)
    .join(', ');
