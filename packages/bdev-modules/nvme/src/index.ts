import { type BdevControlPlugin, BdevError, type BdevPluginContext, Errno } from '@spdk-ts/bdev';
import { NvmeCommands } from './commands-control.ts';
import { NvmeControllers } from './controllers-control.ts';
import { NvmeDiscovery } from './discovery-control.ts';
import { MODULE } from './group-control.ts';
import { methods } from './schema.ts';
import { ioPaths, pathStats } from './told-control.ts';

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ host, bdevs, rpc, keyring }: BdevPluginContext) {
    const controllers = new NvmeControllers(host, bdevs, keyring);
    const discovery = new NvmeDiscovery(host, controllers);
    bdevs.registerModule({
      name: MODULE,
      destroy: (description) => controllers.destroyed(description),
      config: (description) => controllers.config(description),
      pending: () => [...controllers.pending(), ...discovery.config()],
      options: () => [controllers.optionsCall()],
      info: (description) => controllers.info(description),
      ending: () => controllers.ending(),
    });
    rpc.register('bdev_nvme_set_options', (params) => {
      controllers.setOptions(params);
      return true;
    });
    rpc.register('bdev_nvme_attach_controller', (params) => controllers.attach(params));
    rpc.register('bdev_nvme_detach_controller', async ({ name, ...wanted }) => {
      await controllers.detach(name, wanted);
      return true;
    });
    rpc.register('bdev_nvme_get_controllers', ({ name }) => controllers.list(name));
    rpc.register('bdev_nvme_set_keys', async (params) => {
      await controllers.setKeys(params);
      return true;
    });
    const commands = new NvmeCommands(host, controllers);
    rpc.register('bdev_nvme_send_cmd', (params) => commands.send(params));
    rpc.register('bdev_nvme_add_error_injection', async (params) => {
      await commands.inject(params);
      return true;
    });
    rpc.register('bdev_nvme_remove_error_injection', async (params) => {
      await commands.removeInjection(params);
      return true;
    });
    rpc.register('bdev_nvme_get_controller_health_info', ({ name }) => commands.health(name));
    rpc.register('bdev_nvme_get_transport_statistics', () => commands.transportStatistics());
    rpc.register('bdev_nvme_start_discovery', async (params) => {
      await discovery.start(params);
      return true;
    });
    rpc.register('bdev_nvme_stop_discovery', async ({ name }) => {
      await discovery.stop(name);
      return true;
    });
    rpc.register('bdev_nvme_get_discovery_info', () => discovery.info());
    for (const operation of ['reset', 'enable', 'disable'] as const)
      rpc.register(`bdev_nvme_${operation}_controller`, async ({ name, cntlid }) => {
        await controllers.operate(operation, name, cntlid);
        return true;
      });
    rpc.register('bdev_nvme_get_io_paths', ({ name }) =>
      ioPaths(
        host,
        controllers.byId,
        name === undefined ? undefined : controllers.bdevByName(name).bdev.name,
      ),
    );
    rpc.register('bdev_nvme_get_path_iostat', ({ name }) => {
      if (!controllers.io_path_stat)
        throw new BdevError(
          Errno.EPERM,
          'RPC not enabled if io_path_stat is false: set it with bdev_nvme_set_options before controllers are attached',
        );
      return pathStats(host, controllers.bdevByName(name).bdev);
    });
    rpc.register('bdev_nvme_set_preferred_path', async ({ name, ...wanted }) => {
      await controllers.prefer(name, wanted);
      return true;
    });
    rpc.register('bdev_nvme_set_multipath_policy', async ({ name, rr_min_io: min_io, ...policy }) => {
      await controllers.setPolicy(name, { ...policy, ...(min_io !== undefined && { min_io }) });
      return true;
    });
  },
};
export default plugin;
