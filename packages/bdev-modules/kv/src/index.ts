import { type BdevControlPlugin, BdevError, type BdevPluginContext, Errno } from '@spdk-ts/bdev';
import { StackedModule } from '@spdk-ts/vbdev';
import { kindOf } from './kv-control.ts';
import { methods } from './schema.ts';

const plugin: BdevControlPlugin = {
  name: 'kv',
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    const formats = new Set<string>();
    const module = new StackedModule(bdevs, kindOf(bdevs, formats));
    bdevs.registerModule(module);
    rpc.register('bdev_kv_create', async (params) => {
      const { name, format } = params;
      // One of a bdev that waits for its base is not to be forgotten for another that cannot be made.
      const first = format === true && !formats.has(name);
      if (first) formats.add(name);
      try {
        await module.create(params);
      } catch (error) {
        if (first) formats.delete(name);
        throw error;
      }
      return name;
    });
    rpc.register('bdev_kv_delete', async ({ name }) => {
      formats.delete(name);
      await module.delete(name, new BdevError(Errno.ENODEV, `no kv bdev has the name "${name}"`));
      return true;
    });
  },
};
export default plugin;
