import { invalidParams } from '@spdk-ts/rpc';
import { findMethod, methodToJson } from '@spdk-ts/rpc-schema';
import type { Application } from '../application.ts';
import { capabilities } from '../capabilities.ts';
import { version, versionFields } from '../version.ts';

/** spdk_get_version, spdk_kill_instance, notifications and capabilities. */
export function registerCoreRpcs(app: Application): void {
  const { rpc, notifications } = app;
  rpc.register('spdk_get_version', () => ({ version: `spdk-ts v${version}`, fields: versionFields() }));
  rpc.register('spdk_kill_instance', ({ sig_name }) => {
    // After the answer is on its way: SIGKILL leaves no time for it otherwise.
    setTimeout(() => process.kill(process.pid, sig_name), 10);
    return true;
  });
  rpc.register('framework_get_capabilities', async () => ({ capabilities: await capabilities(app) }));
  rpc.register('spdk_ts_get_schema', ({ method }, { connection }) =>
    rpc
      .methods({ unrestricted: connection === undefined })
      .filter((name) => method === undefined || method === name)
      .map((name) => methodToJson(findMethod(name)!)),
  );
  rpc.register('notify_get_types', () => [...notifications.types]);
  rpc.register('notify_get_notifications', ({ id, max }) => {
    if (max === 0) throw invalidParams('max is 0: at least one event must be asked for', 'max');
    return notifications.from(id ?? 0, max ?? Number.MAX_SAFE_INTEGER);
  });
}
