import type { Method } from './method.ts';
import { type Field, type Fields, fieldOf, type SomeType, type Type } from './types.ts';

/** What is wrong with a value: where, and what to do, in one sentence without its full stop. */
export interface Problem {
  /** Parameter, with the path inside it: `listen_address.trsvcid`, `names[3]`; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

export type Validation =
  | { readonly ok: true; readonly value: Record<string, unknown> }
  | { readonly ok: false; readonly problem: Problem };

interface Rules {
  /** Word for what is checked. */
  readonly noun: 'parameter' | 'result';
}

const uuidForm = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const shownLength = 80;

/** A value as it appears in an error text: JSON, shortened. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > shownLength ? `${text.slice(0, shownLength - 1)}…` : text;
}

/** What a type accepts, in words: "an integer from 0 to 255 (%)". */
export function describeType(type: Type, unit?: string): string {
  const known = type as SomeType;
  const units = unit === undefined ? '' : ` (${unit})`;
  switch (known.kind) {
    case 'bool':
      return 'true or false';
    case 'integer':
      return `an integer from ${known.min} to ${known.max}${units}`;
    case 'number':
      return `a number${units}`;
    case 'string':
      return `a string${units}`;
    case 'uuid':
      return 'a UUID such as "ceccf520-691e-4b46-9546-34af789907c5"';
    case 'enum':
      return `one of ${known.values.map((value) => `"${value}"`).join(', ')}`;
    case 'bitmask':
      return `an array of any of ${known.values.map((value) => `"${value}"`).join(', ')}`;
    case 'array':
      return `an array${known.max === undefined ? '' : ` of at most ${known.max}`}, each ${describeType(known.item, unit)}`;
    case 'object':
      return `an object with ${Object.keys(known.fields).join(', ') || 'any keys'}`;
    case 'map':
      return 'an object';
    case 'nullable':
      return `${describeType(known.inner, unit)}, or null`;
    case 'union':
      return known.options.map((item) => describeType(item, unit)).join(', or ');
    case 'any':
      return 'any JSON value';
  }
}

class Failure extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

function refuse(
  rules: Rules,
  type: Type,
  path: string,
  value: unknown,
  field: Field | undefined,
  note = '',
): never {
  const what = path === '' ? `the ${rules.noun}` : `${rules.noun} "${path}"`;
  const advice =
    value === null && field?.required === false
      ? `leave it out or give ${describeType(type, field.unit)}`
      : `give ${describeType(type, field?.unit)}`;
  throw new Failure({ path, message: `${what} is ${show(value)}${note}; ${advice}` });
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function checkInteger(
  rules: Rules,
  type: SomeType & { kind: 'integer' },
  path: string,
  value: unknown,
  field?: Field,
) {
  if (typeof value !== 'number') {
    const quoted = typeof value === 'string' && value !== '' && Number.isFinite(Number(value));
    refuse(rules, type, path, value, field, quoted ? ', a string; leave the quotes away' : '');
  }
  if (!Number.isInteger(value)) refuse(rules, type, path, value, field, ', not an integer');
  if (type.width === 'u64' && value > type.max) {
    refuse(rules, type, path, value, field, ', more than a JSON number can carry here without rounding');
  }
  if (value < type.min || value > type.max) refuse(rules, type, path, value, field, ', out of range');
  return value === 0 ? 0 : value;
}

function checkArray(
  rules: Rules,
  type: SomeType & { kind: 'array' | 'bitmask' },
  path: string,
  value: unknown,
  field?: Field,
): unknown[] {
  if (!Array.isArray(value)) refuse(rules, type, path, value, field);
  if (type.kind === 'bitmask') {
    const item: SomeType = { kind: 'enum', values: type.values };
    return value.map((entry, index) => checkValue(rules, item, `${path}[${index}]`, entry));
  }
  if (type.max !== undefined && value.length > type.max) {
    throw new Failure({
      path,
      message: `${rules.noun} "${path}" has ${value.length} items; give at most ${type.max}`,
    });
  }
  return value.map((entry, index) => checkValue(rules, type.item, `${path}[${index}]`, entry));
}

function checkValue(rules: Rules, type: Type, path: string, value: unknown, field?: Field): unknown {
  const known = type as SomeType;
  switch (known.kind) {
    case 'bool':
      if (typeof value !== 'boolean') refuse(rules, type, path, value, field);
      return value;
    case 'integer':
      return checkInteger(rules, known, path, value, field);
    case 'number':
      if (typeof value !== 'number' || !Number.isFinite(value)) refuse(rules, type, path, value, field);
      return value;
    case 'string':
      if (typeof value !== 'string') refuse(rules, type, path, value, field);
      if (value.includes('\0')) refuse(rules, type, path, value, field, ', with a NUL character');
      return value;
    case 'uuid':
      if (typeof value !== 'string' || !uuidForm.test(value)) refuse(rules, type, path, value, field);
      return value.toLowerCase();
    case 'enum':
      if (typeof value !== 'string' || !known.values.includes(value)) refuse(rules, type, path, value, field);
      return value;
    case 'bitmask':
    case 'array':
      return checkArray(rules, known, path, value, field);
    case 'object':
      if (!isObject(value)) refuse(rules, type, path, value, field);
      return checkFields(rules, known.fields, known.open, path, value);
    case 'map': {
      if (!isObject(value)) refuse(rules, type, path, value, field);
      return Object.fromEntries(
        Object.entries(value).map(([key, entry]) => [
          key,
          checkValue(rules, known.value, path === '' ? key : `${path}.${key}`, entry),
        ]),
      );
    }
    case 'nullable':
      return value === null ? null : checkValue(rules, known.inner, path, value, field);
    case 'union':
      for (const option of known.options) {
        try {
          return checkValue(rules, option, path, value, field);
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
        }
      }
      return refuse(rules, type, path, value, field);
    case 'any':
      return value;
  }
}

/** The name in `names` that `word` is most likely a slip of, if any is near. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    if (Math.abs(name.length - word.length) >= least) continue;
    let row = Array.from({ length: name.length + 1 }, (_, i) => i);
    for (let i = 1; i <= word.length; i++) {
      const next = [i];
      for (let j = 1; j <= name.length; j++) {
        const change = row[j - 1]! + (word[i - 1] === name[j - 1] ? 0 : 1);
        next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
      }
      row = next;
    }
    if (row[name.length]! < least) {
      least = row[name.length]!;
      best = name;
    }
  }
  return best;
}

function refuseUnknown(rules: Rules, path: string, key: string, names: readonly string[]): never {
  const near = nearest(key.slice(0, 64), names);
  const guess = near === undefined ? '' : `did you mean "${near}"? `;
  const known = names.length === 0 ? 'there are none' : names.join(', ');
  throw new Failure({
    path,
    message: `unknown ${rules.noun} ${show(path)}; ${guess}remove it or use one of: ${known}`,
  });
}

function checkFields(
  rules: Rules,
  fields: Fields,
  open: boolean,
  base: string,
  value: Record<string, unknown>,
): Record<string, unknown> {
  const checked: Record<string, unknown> = {};
  const at = (key: string) => (base === '' ? key : `${base}.${key}`);
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(fields, key)) continue;
    if (!open) refuseUnknown(rules, at(key), key, Object.keys(fields));
    if (key !== '__proto__') checked[key] = value[key];
  }
  for (const [key, entry] of Object.entries(fields)) {
    const field = fieldOf(entry);
    if (Object.hasOwn(value, key)) {
      checked[key] = checkValue(rules, field.type, at(key), value[key], field);
    } else if (field.required) {
      const text = field.text === '' ? '' : ` — ${field.text.replace(/\.$/, '')}`;
      throw new Failure({
        path: at(key),
        message: `${rules.noun} "${at(key)}" is missing; add ${describeType(field.type, field.unit)}${text}`,
      });
    }
  }
  return checked;
}

function guarded(check: () => Record<string, unknown>): Validation {
  try {
    return { ok: true, value: check() };
  } catch (error) {
    if (error instanceof Failure) return { ok: false, problem: error.problem };
    throw error;
  }
}

/**
 * Checks the parameters of a call against the schema, as strictly as SPDK: unknown and missing keys, nulls, wrong
 * types, integers outside their C width. `params` is parsed JSON; undefined, null and `{}` all mean none (SPDK
 * refuses `{}` for a method without parameters). The answer is a new object with only what was checked, UUIDs in
 * lower case.
 */
export function validateParams(method: Method, params: unknown): Validation {
  const rules: Rules = { noun: 'parameter' };
  if (params === undefined || params === null) {
    return guarded(() => checkFields(rules, method.params, method.relaxed, '', {}));
  }
  if (!isObject(params)) {
    const message = `params is ${show(params)}; give an object of named parameters, such as {"name": "Malloc0"}`;
    return { ok: false, problem: { path: '', message } };
  }
  if (Object.keys(method.params).length === 0 && Object.keys(params).length > 0) {
    const key = Object.keys(params)[0]!;
    return {
      ok: false,
      problem: { path: key, message: `${method.name} requires no parameters; remove "${key}"` },
    };
  }
  return guarded(() => checkFields(rules, method.params, method.relaxed, '', params));
}

/** Checks a result against the schema; for tests. Returns what is wrong, or undefined. */
export function checkResult(method: Method, result: unknown): Problem | undefined {
  const answer = guarded(() => ({ value: checkValue({ noun: 'result' }, method.result, '', result) }));
  return answer.ok ? undefined : answer.problem;
}

/** Checks one value against a type, such as an argument of the command line. Throws an Error that says what to do. */
export function parseValue(type: Type, path: string, value: unknown, field?: Field): unknown {
  const answer = guarded(() => ({ value: checkValue({ noun: 'parameter' }, type, path, value, field) }));
  if (answer.ok) return answer.value['value'];
  throw new Error(answer.problem.message);
}
