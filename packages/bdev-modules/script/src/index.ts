import type { BdevControlPlugin, BdevDescription, BdevPluginContext } from '@spdk-ts/bdev';
import { methods } from './schema.ts';
import { MODULE, ScriptBdevs } from './script-control.ts';

export type {
  Script,
  ScriptContext,
  ScriptFunction,
  ScriptInstance,
  ScriptIo,
  ScriptOptions,
} from './api.ts';

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ host, bdevs, rpc }: BdevPluginContext) {
    const scripts = new ScriptBdevs(host, bdevs);
    bdevs.registerModule({
      name: MODULE,
      destroy: (description) => scripts.forget(description),
      config(description: BdevDescription) {
        const { name, block_size, num_blocks, uuid } = description;
        const { path, params, watch } = scripts.state(description);
        return [
          {
            method: 'bdev_script_create',
            params: { name, path, block_size, num_blocks, params, ...(!watch && { watch }), uuid },
          },
        ];
      },
      info(description) {
        const { path, params, watch, version, reload_error } = scripts.state(description);
        return { script: { path, params, watch, version, reload_error } };
      },
    });
    rpc.register('bdev_script_create', async (params) => (await scripts.create(params)).name);
    rpc.register('bdev_script_reload', async ({ name }) => {
      await scripts.reload(name);
      return true;
    });
    rpc.register('bdev_script_delete', async ({ name }) => {
      await bdevs.unregister(name, MODULE);
      return true;
    });
  },
};
export default plugin;
