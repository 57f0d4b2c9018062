import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { BdevControlPlugin } from '@spdk-ts/bdev';

const folder = fileURLToPath(new URL('../../packages/bdev-modules', import.meta.url));

/** The file that a package's main entry is, or null if the folder is no built package. */
function entryOf(path: string): string | null {
  const manifest = join(path, 'package.json');
  if (!existsSync(manifest)) return null;
  const { exports, main } = JSON.parse(readFileSync(manifest, 'utf8')) as {
    exports?: { '.'?: { default?: string } };
    main?: string;
  };
  const entry = join(path, exports?.['.']?.default ?? main ?? 'index.js');
  return existsSync(entry) ? entry : null;
}

async function load(entry: string): Promise<BdevControlPlugin | null> {
  const { default: plugin } = (await import(pathToFileURL(entry).href)) as { default?: BdevControlPlugin };
  const right = typeof plugin?.setup === 'function' && typeof plugin.reactorEntry === 'string';
  return right ? plugin : null;
}

/** Every bdev module of the tree, found by its folder, and those named, as `spdk-ts tgt --plugin` takes them. */
export async function loadModules(named: readonly string[] = []): Promise<BdevControlPlugin[]> {
  const modules: BdevControlPlugin[] = [];
  for (const name of readdirSync(folder).sort()) {
    const entry = entryOf(join(folder, name));
    const plugin = entry === null ? null : await load(entry);
    if (plugin !== null) modules.push(plugin);
  }
  if (named.length > 0) {
    const { loadPlugin } = await import('@spdk-ts/app');
    for (const name of named) modules.push(await loadPlugin(name));
  }
  return modules;
}
