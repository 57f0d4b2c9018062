import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseJsonWithComments } from '@spdk-ts/rpc';
import { parseScenario } from './parse.ts';
import type { Scenario } from './types.ts';

const directory = fileURLToPath(new URL('../../scenarios', import.meta.url));

/** The scenarios that come with the bench, by name. */
export const builtinScenarios = (): string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => basename(name, '.json'))
    .sort();

/** Loads a scenario: the name of one that comes with the bench, or the path of a file (JSON, comments allowed). */
export function loadScenario(nameOrPath: string): Scenario {
  const builtin = join(directory, `${nameOrPath}.json`);
  const path = /^[\w-]+$/.test(nameOrPath) && existsSync(builtin) ? builtin : nameOrPath;
  if (!existsSync(path))
    throw new Error(
      `there is no scenario or file '${nameOrPath}'; the scenarios are ${builtinScenarios().join(', ')}`,
    );
  const name = basename(path).replace(/\.jsonc?$/, '');
  return parseScenario(name, parseJsonWithComments(readFileSync(path, 'utf8'), nameOrPath));
}
