import { type BdevControlPlugin, bdevReactorEntry, registerBdevRpcs } from '@spdk-ts/bdev';
import aio from '@spdk-ts/bdev-aio';
import file from '@spdk-ts/bdev-file';
import malloc from '@spdk-ts/bdev-malloc';
import nullModule from '@spdk-ts/bdev-null';
import uring from '@spdk-ts/bdev-uring';
import { NvmfTarget, nvmfReactorEntry, registerNvmfRpcs } from '@spdk-ts/nvmf';
import type { AppPlugin } from './plugin.ts';

/** The bdev modules that come with the framework. */
const modules: readonly BdevControlPlugin[] = [malloc, nullModule, file, aio, uring];

/** The block device layer and its modules. */
export const bdevPlugin: AppPlugin = {
  name: 'bdev',
  reactorEntries: [bdevReactorEntry, ...modules.map((module) => module.reactorEntry)],
  async setup({ rpc, host, bdevs, notifications, subsystems }) {
    for (const type of ['bdev_register', 'bdev_unregister', 'bdev_resize']) notifications.addType(type);
    bdevs.onNotification((type, name) => notifications.send(type, name));
    registerBdevRpcs(rpc, bdevs, host);
    for (const module of modules) await module.setup({ host, bdevs, rpc });
    subsystems.push({
      name: 'bdev',
      depends_on: ['sock', 'iobuf'],
      config: () => bdevs.config(),
      stop: () => bdevs.stop(),
    });
  },
};

/** The NVMe-oF target. */
export const nvmfPlugin: AppPlugin = {
  name: 'nvmf',
  reactorEntries: [nvmfReactorEntry],
  setup({ rpc, host, bdevs, subsystems }) {
    const target = new NvmfTarget({ host, bdevs });
    registerNvmfRpcs(rpc, target);
    subsystems.push({
      name: 'nvmf',
      depends_on: ['bdev', 'sock', 'iobuf'],
      config: () => target.config(),
      stop: () => target.stop(),
    });
  },
};
