import type { BdevControlPlugin, BdevPluginContext } from '@spdk-ts/bdev';
import { MODULE, NvmeControllers } from './controllers-control.ts';
import { NvmeDiscovery } from './discovery-control.ts';
import { methods } from './schema.ts';

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ host, bdevs, rpc, keyring }: BdevPluginContext) {
    const controllers = new NvmeControllers(host, bdevs, keyring);
    const discovery = new NvmeDiscovery(host, controllers);
    bdevs.registerModule({
      name: MODULE,
      destroy: () => {},
      config: (description) => controllers.config(description),
      pending: () => [...controllers.pending(), ...discovery.config()],
      options: () => [controllers.optionsCall()],
      info: (description) => controllers.info(description),
    });
    rpc.register('bdev_nvme_set_options', (params) => {
      controllers.setOptions(params);
      return true;
    });
    rpc.register('bdev_nvme_attach_controller', (params) => controllers.attach(params));
    rpc.register('bdev_nvme_detach_controller', async ({ name }) => {
      await controllers.detach(name);
      return true;
    });
    rpc.register('bdev_nvme_get_controllers', ({ name }) => controllers.list(name));
    rpc.register('bdev_nvme_set_keys', async (params) => {
      await controllers.setKeys(params);
      return true;
    });
    rpc.register('bdev_nvme_start_discovery', async (params) => {
      await discovery.start(params);
      return true;
    });
    rpc.register('bdev_nvme_stop_discovery', async ({ name }) => {
      await discovery.stop(name);
      return true;
    });
    rpc.register('bdev_nvme_get_discovery_info', () => discovery.info());
    rpc.register('bdev_nvme_reset_controller', async ({ name }) => {
      await controllers.reset(name);
      return true;
    });
  },
};
export default plugin;
