import { isMetric } from '../metrics.ts';
import { parseSize } from '../size.ts';
import { runs, trtypes, workloads } from './types.ts';

/*
 * The fields of a scenario file: what each may hold, and how it is read. Unknown fields are errors, so that a
 * misspelt one is not a silent default.
 */

export type Json = Readonly<Record<string, unknown>>;
/** Returns the value as the bench uses it. Throws an Error that says what it should be. */
export type Reader = (value: unknown) => unknown;

const expected = (what: string) => (ok: boolean, value: unknown) => {
  if (!ok) throw new Error(`is ${JSON.stringify(value)}; it should be ${what}`);
  return value;
};

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const text: Reader = (value) => expected('a text')(typeof value === 'string', value);
const flag: Reader = (value) => expected('true or false')(typeof value === 'boolean', value);
const number: Reader = (value) => expected('a number')(typeof value === 'number', value);
const object: Reader = (value) => expected('an object')(isObject(value), value);
const list: Reader = (value) => expected('a list')(Array.isArray(value), value);
const integer =
  (min: number): Reader =>
  (value) =>
    expected(`an integer from ${min} on`)(Number.isSafeInteger(value) && (value as number) >= min, value);
const oneOf =
  (values: readonly string[]): Reader =>
  (value) =>
    expected(`one of ${values.join(', ')}`)(values.includes(value as string), value);
const size: Reader = (value) => {
  expected('a size: 512, "4k", "1M"')(typeof value === 'string' || typeof value === 'number', value);
  return parseSize(value as string | number);
};
const texts: Reader = (value) =>
  expected('a list of texts')(Array.isArray(value) && value.every((item) => typeof item === 'string'), value);
const cpus: Reader = (value) =>
  expected('a list of CPU numbers')(
    Array.isArray(value) && value.length > 0 && value.every((cpu) => Number.isSafeInteger(cpu) && cpu >= 0),
    value,
  );
const calls: Reader = (value) => {
  const ok =
    Array.isArray(value) && value.every((call) => isObject(call) && typeof call['method'] === 'string');
  return (expected('a list of {method, params}')(ok, value) as Json[]).map((call) => ({
    params: {},
    ...call,
  }));
};
const metric: Reader = (value) => expected('a metric')(typeof value === 'string' && isMetric(value), value);

export const sideFields: Readonly<Record<string, Reader>> = {
  program: text,
  command: text,
  args: texts,
  env: object,
  bdev: text,
  transport: object,
  calls,
  fio: object,
};

export const rowFields: Readonly<Record<string, Reader>> = {
  ...{ name: text, group: text, about: text, run: oneOf(runs), metric, reach: number, x: number, bdev: text },
  ...{ workload: oneOf(workloads), size, depth: integer(1), rw_percentage: integer(0) },
  ...{
    connections: integer(1),
    trtype: oneOf(trtypes),
    cores: cpus,
    initiator_cores: cpus,
    time_s: integer(1),
    warmup_s: integer(0),
  },
  ...{ samples: integer(1), verify: flag, needs_cpus: integer(1) },
};

export const scenarioFields: Readonly<Record<string, Reader>> = {
  ...{ title: text, about: text, per_iteration: flag, sides: object, defaults: object, rows: list },
};

/** Reads the fields of an object. `where` begins the messages. */
export function readFields(fields: Readonly<Record<string, Reader>>, value: unknown, where: string): Json {
  if (!isObject(value)) throw new Error(`${where} should be an object`);
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      const reader = fields[key];
      if (reader === undefined)
        throw new Error(`${where} has no field '${key}'; there are ${Object.keys(fields).join(', ')}`);
      try {
        return [key, reader(item)];
      } catch (error) {
        throw new Error(`${where}: ${key} ${(error as Error).message}`);
      }
    }),
  );
}
