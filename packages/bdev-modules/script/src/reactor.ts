import { type BdevReactorModule, registerReactorModule } from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import {
  type DescriptionContext,
  type InspectParams,
  type LoadParams,
  type OpenParams,
  SERVICE,
} from './calls.ts';
import { loadScript, memoryBytes } from './script.ts';
import { instanceOf, ScriptDevice } from './script-device.ts';

const plugin: ReactorPlugin = {
  name: SERVICE,
  start(reactor) {
    const log = new Logger('plugin');
    const devices = new Map<number, ScriptDevice>();
    const close = (key: number): void => {
      devices.get(key)?.end();
      devices.delete(key);
    };
    const module: BdevReactorModule = {
      name: 'script',
      instantiate(description) {
        const { key } = description.context as DescriptionContext;
        return instanceOf(devices.get(key)!, () => close(key));
      },
    };
    registerReactorModule(reactor, module);
    // A bdev may be deleted while it is reloaded: then there is nothing left to do.
    return {
      inspect: async ({ url, options }: InspectParams) => memoryBytes(await loadScript(url), options),
      async open(params: OpenParams) {
        const device = await ScriptDevice.open(params, reactor, log);
        devices.set(params.key, device);
        return device.io_types;
      },
      load: ({ key, url }: LoadParams) => devices.get(key)?.load(url),
      pause: ({ key }: { key: number }) => devices.get(key)?.pause(),
      prepare: ({ key }: { key: number }) => devices.get(key)?.prepare(),
      commit: ({ key }: { key: number }) => devices.get(key)?.commit(),
      discard: ({ key }: { key: number }) => devices.get(key)?.discard(),
      resume: ({ key }: { key: number }) => devices.get(key)?.resume(),
      close: ({ key }: { key: number }) => close(key),
    };
  },
};
export default plugin;
