import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BDEV_PLUGIN_API, type BdevControlPlugin } from '@spdk-ts/bdev';
import { locatePlugin } from './locate-plugin.ts';

/** What is wrong with what a plugin exports; empty if nothing is. */
function problemOf(plugin: Partial<BdevControlPlugin> | null | undefined): string {
  if (typeof plugin !== 'object' || plugin === null)
    return 'it has no default export with name, api, reactorEntry and setup';
  const { name, api, reactorEntry, setup, methods = [] } = plugin;
  if (api !== BDEV_PLUGIN_API)
    return `its api is ${JSON.stringify(api)}, and this framework offers ${BDEV_PLUGIN_API}; use versions that go together`;
  if (typeof name !== 'string' || !/^[a-z][a-z0-9_]*$/.test(name))
    return `its name is ${JSON.stringify(name)}; use lower case letters, digits and underscores`;
  if (typeof setup !== 'function') return 'its setup is not a function';
  if (!Array.isArray(methods) || methods.some((method) => typeof method?.name !== 'string'))
    return 'its methods are not an array of what defineMethod gives';
  if (typeof reactorEntry !== 'string' || !reactorEntry.startsWith('file:'))
    return `its reactorEntry is ${JSON.stringify(reactorEntry)}; use new URL('./reactor.js', import.meta.url).href`;
  if (!existsSync(fileURLToPath(reactorEntry)))
    return `its reactorEntry is ${fileURLToPath(reactorEntry)}, and there is no such file`;
  return '';
}

/**
 * Loads a bdev module from outside of the framework, as `--plugin` names it. Rejects with an Error that names the
 * option's value and says what is wrong; what the plugin itself throws comes with its stack.
 */
export async function loadPlugin(spec: string, from?: string): Promise<BdevControlPlugin> {
  const fail = (text: string): never => {
    throw new Error(`--plugin ${spec}: ${text}`);
  };
  let url = '';
  try {
    url = locatePlugin(spec, from);
  } catch (error) {
    fail((error as Error).message);
  }
  let loaded: { default?: Partial<BdevControlPlugin> } = {};
  try {
    loaded = await import(url);
  } catch (error) {
    fail(`${fileURLToPath(url)} cannot be loaded: ${error instanceof Error ? error.stack : error}`);
  }
  const problem = problemOf(loaded.default);
  if (problem !== '') fail(`${fileURLToPath(url)}: ${problem}`);
  return loaded.default as BdevControlPlugin;
}
