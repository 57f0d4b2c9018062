// Part of the build: writes dist/modules.json, the bdev modules among this package's dependencies. A package is one if
// its package.json has the key "spdk-ts": { "plugin": FILE, "schema": FILE, "late": BOOLEAN }; both files must be what its
// exports lead to. One that is "late" is not loaded before one of its methods is called.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const here = new URL('package.json', import.meta.url);

/** The manifest of a dependency, where npm has put it. */
function manifestOf(name) {
  for (const folder of createRequire(here).resolve.paths(name)) {
    try {
      return read(join(folder, name, 'package.json'));
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    }
  }
  throw new Error(`${name} is a dependency, but not installed: run npm install`);
}

const modules = [];
for (const name of Object.keys(read(here).dependencies).sort()) {
  const { 'spdk-ts': key, exports: faces } = manifestOf(name);
  if (key === undefined) continue;
  for (const [field, face] of [
    ['plugin', '.'],
    ['schema', './schema'],
  ]) {
    if (key[field] !== faces[face]?.default)
      throw new Error(
        `${name}: "spdk-ts".${field} is ${key[field]}, but exports["${face}"] leads to ${faces[face]?.default}`,
      );
  }
  const { default: plugin } = await import(name);
  const late = key.late === true;
  if (late && key.schema === undefined)
    throw new Error(`${name}: it has no schema that says which methods load it, so it cannot be late`);
  if (late && plugin.capabilities !== undefined)
    throw new Error(`${name}: it says what it finds on a machine (capabilities), so it cannot be late`);
  modules.push({ package: name, name: plugin.name, schema: key.schema !== undefined, late });
}
mkdirSync(new URL('dist/', import.meta.url), { recursive: true });
writeFileSync(new URL('dist/modules.json', import.meta.url), `${JSON.stringify(modules, null, 2)}\n`);
