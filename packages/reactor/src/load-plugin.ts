import type { ReactorPlugin } from './control-link.ts';

/**
 * Loads a plugin's half for reactors, the default export of the module at a URL. Rejects with an Error that names its
 * file.
 */
export async function loadPlugin(url: string): Promise<ReactorPlugin> {
  let plugin: ReactorPlugin | undefined;
  try {
    plugin = ((await import(url)) as { default?: ReactorPlugin }).default;
  } catch (error) {
    throw new Error(`${url} cannot be loaded: ${error instanceof Error ? error.stack : error}`);
  }
  if (typeof plugin?.start !== 'function')
    throw new Error(`${url} is no reactor half: it has no default export with name and start`);
  return plugin;
}
