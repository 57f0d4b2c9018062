import { readFileSync } from 'node:fs';
import { connectLocal, loadConfig, parseJsonWithComments } from '@spdk-ts/rpc';
import type { Application } from './application.ts';

/**
 * Loads a JSON configuration as save_config writes it: what may only be set at start first, then
 * framework_start_init, then the rest. Rejects with an Error that names the file and what is wrong in it.
 */
export async function loadConfigFile(app: Application, path: string): Promise<void> {
  const { log, options } = app;
  try {
    const config = parseJsonWithComments(readFileSync(path, 'utf8'), path);
    await loadConfig(connectLocal(app.rpc), config, {
      knownSubsystems: app.subsystems.map((subsystem) => subsystem.name),
      ignoreErrors: options.ignoreInitErrors,
      onNotice: (text) => log.notice(`${path}: ${text}`),
    });
  } catch (error) {
    throw new Error(`configuration ${path}: ${(error as Error).message}`);
  }
}
