import type { BdevControlPlugin, BdevPluginContext } from '@spdk-ts/bdev';
import { KvModule } from './kv-control.ts';
import { methods } from './schema.ts';

const plugin: BdevControlPlugin = {
  name: 'kv',
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    const module = new KvModule(bdevs);
    bdevs.registerModule(module);
    rpc.register('bdev_kv_create', async (params) => (await module.create(params)).name);
    rpc.register('bdev_kv_delete', async ({ name }) => {
      await bdevs.unregister(name, module.name);
      return true;
    });
  },
};
export default plugin;
