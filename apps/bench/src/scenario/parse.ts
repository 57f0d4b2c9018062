import { isObject, type Json, readFields, rowFields, scenarioFields, sideFields } from './fields.ts';
import type { Row, Scenario, Side } from './types.ts';

const sideDefaults = {
  ...{ program: 'ours', command: null, args: [], env: {}, bdev: null, transport: {}, calls: [], fio: {} },
} satisfies Omit<Side, 'name'>;

/** What a row is unless it says otherwise. */
export const rowDefaults = {
  ...{ group: '', about: '', run: 'bdevperf', metric: 'iops', reach: null, x: null, bdev: 'malloc:64M' },
  ...{ workload: 'randread', size: 4096, depth: 128, rw_percentage: 50, connections: 1 },
  trtype: 'TCP',
  ...{ cores: [0], initiator_cores: [1], time_s: 5, warmup_s: 1, samples: 5, verify: false, needs_cpus: 1 },
} satisfies Omit<Row, 'name' | 'sides'>;

/** A side from its fields; those left out have their defaults. Throws an Error that begins with `where`. */
export function parseSide(name: string, value: unknown, where: string): Side {
  return { ...sideDefaults, ...readFields(sideFields, value, where), name } as Side;
}

/** Makes a scenario of a parsed file. Throws an Error that says which field is wrong. */
export function parseScenario(name: string, value: unknown): Scenario {
  const file = readFields(scenarioFields, value, name);
  const sides = new Map(
    Object.entries((file['sides'] as Json) ?? { ours: {} }).map(([side, fields]) => [
      side,
      parseSide(side, fields, `${name}: sides.${side}`),
    ]),
  );
  const defaults = file['defaults'] ?? {};
  const rows = ((file['rows'] as unknown[]) ?? []).flatMap((row, index) =>
    expandRow(row, `${name}: rows[${index}]`).map((one) =>
      parseRow(one, defaults as Json, sides, `${name}: rows[${index}]`),
    ),
  );
  if (rows.length === 0) throw new Error(`${name}: rows is empty; a scenario needs at least one`);
  return {
    name,
    title: (file['title'] as string) ?? name,
    about: (file['about'] as string) ?? '',
    per_iteration: file['per_iteration'] === true,
    rows,
  };
}

/**
 * `each` makes several rows of one: `{"each": {"depth": [1, 2]}}` one for each depth, several keys one for each
 * combination. `{depth}` in the texts of the row stands for the value.
 */
function expandRow(row: unknown, where: string): Json[] {
  if (!isObject(row)) throw new Error(`${where} should be an object`);
  const { each, ...rest } = row;
  if (each === undefined) return [rest];
  if (!isObject(each) || !Object.values(each).every(Array.isArray))
    throw new Error(`${where}: each should be an object of lists`);
  let rows: Json[] = [{}];
  for (const [key, values] of Object.entries(each))
    rows = rows.flatMap((values_so_far) =>
      (values as unknown[]).map((value) => ({ ...values_so_far, [key]: value })),
    );
  return rows.map((values) => ({
    ...(substitute(rest, values) as Json),
    ...Object.fromEntries(Object.entries(values).filter(([key]) => key in rowFields)),
  }));
}

function substitute(value: unknown, values: Json): unknown {
  if (typeof value === 'string') {
    const whole = /^\{(\w+)\}$/.exec(value)?.[1];
    if (whole !== undefined && whole in values) return values[whole];
    return value.replace(/\{(\w+)\}/g, (found, key: string) => (key in values ? String(values[key]) : found));
  }
  if (Array.isArray(value)) return value.map((item) => substitute(item, values));
  if (isObject(value))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substitute(item, values)]));
  return value;
}

/** `sides` of a row: names, or names with what differs from the scenario's; absent: all. */
function parseRow(row: Json, defaults: Json, sides: ReadonlyMap<string, Side>, where: string): Row {
  const { sides: chosen, ...fields } = { ...defaults, ...row };
  const read = readFields(rowFields, fields, where);
  if (typeof read['name'] !== 'string') throw new Error(`${where} needs a name`);
  return { ...rowDefaults, ...read, sides: chooseSides(chosen, sides, where) } as unknown as Row;
}

function chooseSides(chosen: unknown, sides: ReadonlyMap<string, Side>, where: string): Side[] {
  const wanted: Json = Array.isArray(chosen)
    ? Object.fromEntries(chosen.map((name) => [String(name), {}]))
    : ((chosen as Json | undefined) ?? Object.fromEntries([...sides.keys()].map((name) => [name, {}])));
  return Object.entries(wanted).map(([name, changes]) => {
    const changed = readFields(sideFields, changes, `${where}: sides.${name}`);
    const base = sides.get(name);
    if (base === undefined && changed['program'] === undefined)
      throw new Error(`${where}: there is no side '${name}'; there are ${[...sides.keys()].join(', ')}`);
    return { ...(base ?? sideDefaults), ...changed, name } as Side;
  });
}
