import { TICK_RATE } from '@spdk-ts/env';
import type { ReactorStats } from '@spdk-ts/reactor';
import { errnoError, invalidParams } from '@spdk-ts/rpc';
import type { Application } from '../application.ts';
import { coreTimes } from '../capabilities.ts';

/** The framework_* family: initialization, subsystems, reactors, scheduler. */
export function registerFrameworkRpcs(app: Application): void {
  const { rpc, host } = app;
  let period_us = 1_000_000;
  let monitorContextSwitches = false;

  rpc.register('framework_start_init', async () => {
    await app.init();
    return true;
  });
  rpc.register('framework_wait_init', async () => {
    await app.initialized;
    return true;
  });
  rpc.register('framework_get_subsystems', () =>
    app.subsystems.map(({ name, depends_on }) => ({ subsystem: name, depends_on: [...depends_on] })),
  );
  rpc.register('framework_get_config', async ({ name }) => {
    const found = app.subsystems.find((subsystem) => subsystem.name === name);
    if (found === undefined) {
      const names = app.subsystems.map((subsystem) => subsystem.name).join(', ');
      throw invalidParams(`subsystem '${name}' does not exist; there are ${names}`, 'name');
    }
    const config = await found.config();
    return config === null ? null : config.map((entry) => ({ ...entry }));
  });
  rpc.register('framework_get_reactors', async () => {
    const stats = (await host.broadcast('reactor', 'stats')) as ReactorStats[];
    return {
      tick_rate: TICK_RATE,
      pid: process.pid,
      reactors: stats.map(({ lw_threads, ...rest }) => ({ ...rest, ...coreTimes(rest.lcore), lw_threads })),
    };
  });
  rpc.register('framework_set_scheduler', ({ name, period }) => {
    if (name !== 'static')
      throw errnoError(
        'EINVAL',
        `name is '${name}': the only scheduler is static (threads stay where they start)`,
      );
    period_us = period ?? period_us;
    return true;
  });
  rpc.register('framework_get_scheduler', () => ({
    scheduler_name: 'static',
    scheduler_period: period_us,
    isolated_core_mask: '0x0',
    scheduling_core: host.reactors[0]!.lcore,
  }));
  rpc.register('framework_get_governor', () => ({}));
  rpc.register('framework_get_pci_devices', () => []);
  rpc.register('framework_monitor_context_switch', ({ enabled }) => {
    monitorContextSwitches = enabled ?? monitorContextSwitches;
    return { enabled: monitorContextSwitches };
  });
}
