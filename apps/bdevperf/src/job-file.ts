import { parseCpuset } from '@spdk-ts/env';
import { parseSize } from '@spdk-ts/load';
import type { JobConfig } from './job-config.ts';
import { parseWorkload, type Workload } from './workload.ts';

/** What the command line says about every job: it wins over [global], a job's own section over it. */
export interface JobOverrides {
  readonly bdevs: readonly string[];
  readonly io_size: number | null;
  readonly queue_depth: number | null;
  readonly rw_percentage: number | null;
  readonly workload: Workload | null;
}

interface Section {
  readonly name: string;
  readonly line: number;
  readonly values: Map<string, { text: string; line: number }>;
}

type Values = { -readonly [K in keyof JobConfig]: JobConfig[K] | null };

const KEYS = ['filename', 'cpumask', 'bs', 'iodepth', 'rwmixread', 'offset', 'length', 'rw'] as const;
const QUEUE_DEPTH_MAX = 65_535;
/** fio's share of reads: -M has no default in SPDK, job files do. */
const DEFAULT_READS = 50;

const none: Values = {
  ...{ name: null, bdevs: null, cores: [], io_size: null, queue_depth: null },
  ...{ rw_percentage: DEFAULT_READS, offset_blocks: 0, length_blocks: 0, workload: null },
};

function parseSections(text: string, path: string): Section[] {
  const sections: Section[] = [];
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    const where = `${path}:${index + 1}`;
    if (line === '' || line.startsWith('#') || line.startsWith(';')) return;
    const heading = /^\[(.+)\]$/.exec(line);
    if (heading !== null) {
      sections.push({ name: heading[1]!.trim(), line: index + 1, values: new Map() });
      return;
    }
    const pair = /^(\w+)\s*[=\s]\s*"?(.*?)"?$/.exec(line);
    if (pair === null) throw new Error(`${where}: '${line}' is neither [a section] nor key=value`);
    const key = pair[1]!;
    if (!(KEYS as readonly string[]).includes(key))
      throw new Error(`${where}: there is no key '${key}'; there are ${KEYS.join(', ')}`);
    const section = sections.at(-1);
    if (section === undefined) throw new Error(`${where}: '${key}' stands before the first [section]`);
    section.values.set(key, { text: pair[2]!, line: index + 1 });
  });
  return sections;
}

function integer(text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new RangeError(`'${text}' is not an integer from ${min} to ${max}`);
  return value;
}

const readers: Record<(typeof KEYS)[number], (text: string) => Partial<Values>> = {
  filename: (text) => ({ bdevs: text.replace(/[ \t]/g, '').split(':').filter(Boolean) }),
  cpumask: (text) => ({ cores: parseCpuset(text) }),
  bs: (text) => ({ io_size: parseSize(text) }),
  iodepth: (text) => ({ queue_depth: integer(text, 1, QUEUE_DEPTH_MAX) }),
  rwmixread: (text) => ({ rw_percentage: integer(text, 0, 100) }),
  offset: (text) => ({ offset_blocks: integer(text, 0, Number.MAX_SAFE_INTEGER) }),
  length: (text) => ({ length_blocks: integer(text, 0, Number.MAX_SAFE_INTEGER) }),
  rw: (text) => ({ workload: parseWorkload(text) }),
};

function read(section: Section, path: string): Partial<Values> {
  const values: Partial<Values> = {};
  for (const [key, { text, line }] of section.values) {
    try {
      Object.assign(values, readers[key as (typeof KEYS)[number]](text));
    } catch (error) {
      throw new Error(`${path}:${line}: ${key} of [${section.name}]: ${(error as Error).message}`);
    }
  }
  return values;
}

/**
 * The jobs of a job file: INI sections with `filename` (bdevs, separated by `:`), `cpumask`, `bs`, `iodepth`,
 * `rwmixread`, `offset` and `length` (blocks), `rw`. A [global] section holds for the sections after it, up to the
 * next [global]. Throws an Error that names file, line and key.
 */
export function parseJobFile(text: string, path: string, overrides: JobOverrides): JobConfig[] {
  const given: Partial<Values> = {};
  if (overrides.bdevs.length > 0) given.bdevs = overrides.bdevs;
  for (const key of ['io_size', 'queue_depth', 'rw_percentage', 'workload'] as const)
    if (overrides[key] !== null) Object.assign(given, { [key]: overrides[key] });
  let global: Values = { ...none, ...given };
  const configs: JobConfig[] = [];
  for (const section of parseSections(text, path)) {
    const own = read(section, path);
    if (section.name === 'global') {
      global = { ...none, ...own, ...given };
      continue;
    }
    const values = { ...global, ...own, name: section.name };
    const missing = (
      [
        ['bdevs', 'filename'],
        ['io_size', 'bs'],
        ['queue_depth', 'iodepth'],
        ['workload', 'rw'],
      ] as const
    ).find(([field]) => values[field] === null || (field === 'bdevs' && values.bdevs?.length === 0));
    if (missing !== undefined)
      throw new Error(`${path}:${section.line}: job [${section.name}] has no '${missing[1]}'`);
    configs.push(values as JobConfig);
  }
  if (configs.length === 0)
    throw new Error(`${path}: there is no job in it, that is a section other than [global]`);
  return configs;
}
