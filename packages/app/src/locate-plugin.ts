import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { typeScriptUnavailable } from '@spdk-ts/env';

/** Packages of which a process must have one copy only: they know reactors and regions by identity. */
const shared = ['@spdk-ts/bdev', '@spdk-ts/env', '@spdk-ts/reactor', '@spdk-ts/rpc-schema'];
const packageName = /^(?:@[a-z\d~-][\w.~-]*\/)?[a-z\d~-][\w.~-]*$/i;
const isPath = (spec: string): boolean =>
  isAbsolute(spec) || /^\.{1,2}(?:[\\/]|$)/.test(spec) || /\.[cm]?[jt]s$/.test(spec);

/** The folder of an installed package, as Node finds it from a folder; undefined if there is none. */
function installed(name: string, from: string): string | undefined {
  const folders = createRequire(join(from, 'noop.js')).resolve.paths(name) ?? [];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(join(path, 'package.json')));
}

/** The entry that a package names. Throws an Error that says what its package.json lacks. */
function entryOf(folder: string): string {
  const path = join(folder, 'package.json');
  let manifest: { 'spdk-ts'?: { plugin?: unknown } };
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(
      existsSync(path)
        ? `${path} is not JSON: ${(error as Error).message}`
        : `${folder} is a folder without package.json; give a package's folder or a .js file`,
    );
  }
  const plugin = manifest['spdk-ts']?.plugin;
  if (typeof plugin !== 'string')
    throw new Error(
      `${path} names no plugin: it needs "spdk-ts": { "plugin": "./dist/index.js", "schema": "./dist/schema.js" }`,
    );
  const entry = resolve(folder, plugin);
  if (!existsSync(entry))
    throw new Error(`${path} names ${plugin}, and there is no such file; build the package first`);
  return entry;
}

/** A second copy of a package that must be there once is found here, before it does harm. */
function refuseSecondCopies(entry: string): void {
  for (const name of shared) {
    let theirs: string;
    try {
      theirs = realpathSync(createRequire(entry).resolve(name));
    } catch {
      continue; // it does without
    }
    const ours = realpathSync(fileURLToPath(import.meta.resolve(name)));
    if (theirs !== ours)
      throw new Error(
        `it would use a copy of ${name} of its own (${theirs}, and not ${ours}); make ${name} a peer dependency of ` +
          'it and install it beside spdk-ts (npm install spdk-ts in the same folder)',
      );
  }
}

/**
 * The URL of what `--plugin` names: the path of a .js or .mjs file or of a package's folder, or the name of a package
 * that is installed in `from` or above (or beside the framework). Throws an Error that says what is missing.
 */
export function locatePlugin(spec: string, from: string = process.cwd()): string {
  let entry: string;
  if (isPath(spec)) {
    const path = resolve(from, spec);
    if (!existsSync(path)) throw new Error(`there is no ${path}`);
    entry = statSync(path).isDirectory() ? entryOf(path) : path;
  } else {
    if (!packageName.test(spec))
      throw new Error('this is neither the name of a package nor a path, which begins with ./ or /');
    const folder = installed(spec, from) ?? installed(spec, fileURLToPath(new URL('.', import.meta.url)));
    if (folder === undefined) {
      const hint = existsSync(resolve(from, spec)) ? `; for the folder, write ./${spec}` : '';
      throw new Error(`no package of that name is installed in ${from} or above: npm install ${spec}${hint}`);
    }
    entry = entryOf(folder);
  }
  const why = typeScriptUnavailable(entry);
  if (why !== '') throw new Error(why);
  refuseSecondCopies(entry);
  return pathToFileURL(entry).href;
}
