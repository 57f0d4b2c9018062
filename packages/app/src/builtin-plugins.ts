import { bdevReactorEntry, registerBdevRpcs } from '@spdk-ts/bdev';
import { NvmfTarget, nvmfReactorEntry, registerNvmfRpcs } from '@spdk-ts/nvmf';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { registerVhostRpcs, VhostTarget, vhostReactorEntry } from '@spdk-ts/vhost';
import { capability } from './capabilities.ts';
import { loadPlugin } from './load-plugin.ts';
import { type LoadedModule, loadModules } from './modules.ts';
import type { AppPlugin } from './plugin.ts';

/** The framework's modules, then those that the command line names. Rejects with an Error if names clash. */
async function allModules(plugins: readonly string[]): Promise<Map<LoadedModule, string>> {
  const modules = new Map((await loadModules()).map((module) => [module, `bdev module ${module.name}`]));
  for (const spec of plugins) {
    const module = await loadPlugin(spec);
    for (const [{ name }, origin] of modules)
      if (name === module.name)
        throw new Error(`--plugin ${spec}: a module called "${name}" is loaded already (${origin})`);
    modules.set(module, `--plugin ${spec}`);
  }
  return modules;
}

/**
 * The block device layer and its modules: those of the framework and, in the order given, those that `--plugin` names.
 * Rejects with an Error that says which of them cannot be loaded, and why.
 */
export async function bdevPlugin({ plugins }: { readonly plugins: readonly string[] }): Promise<AppPlugin> {
  const modules = await allModules(plugins);
  return {
    name: 'bdev',
    reactorEntries: [
      bdevReactorEntry,
      ...[...modules.keys()].flatMap(({ reactorEntry = [] }) => reactorEntry),
    ],
    async setup({ rpc, host, bdevs, keyring, notifications, subsystems }) {
      for (const type of ['bdev_register', 'bdev_unregister', 'bdev_resize']) notifications.addType(type);
      bdevs.onNotification((type, name) => notifications.send(type, name));
      registerBdevRpcs(rpc, bdevs, host);
      for (const [module, origin] of modules) {
        try {
          registerSchema(...(module.methods ?? []));
          await module.setup({ host, bdevs, rpc, keyring });
        } catch (error) {
          throw new Error(`${origin}: setup failed: ${(error as Error).message}`, { cause: error });
        }
      }
      subsystems.push({
        name: 'bdev',
        depends_on: ['sock', 'iobuf', 'keyring'],
        config: () => bdevs.config(),
        ending: () => bdevs.ending(),
        stop: () => bdevs.stop(),
      });
    },
    async capabilities(host) {
      const found = await Promise.all([...modules.keys()].map((module) => module.capabilities?.(host) ?? []));
      return found.flat().map(({ name, unavailable }) => capability(name, unavailable));
    },
  };
}

/** The NVMe-oF target. */
export const nvmfPlugin: AppPlugin = {
  name: 'nvmf',
  reactorEntries: [nvmfReactorEntry],
  setup({ rpc, host, bdevs, keyring, subsystems }) {
    const target = new NvmfTarget({ host, bdevs, keyring });
    registerNvmfRpcs(rpc, target);
    subsystems.push({
      name: 'nvmf',
      depends_on: ['bdev', 'keyring', 'sock', 'iobuf'],
      config: () => target.config(),
      stop: () => target.stop(),
    });
  },
};

/** The vhost-user target, whose sockets are in a directory (empty: the working directory). */
export function vhostPlugin(socketDir: string): AppPlugin {
  return {
    name: 'vhost',
    reactorEntries: [vhostReactorEntry],
    setup({ rpc, host, bdevs, subsystems }) {
      const target = new VhostTarget({ host, bdevs, socketDir });
      registerVhostRpcs(rpc, target);
      subsystems.push({
        name: 'vhost_blk',
        depends_on: ['bdev'],
        config: () => target.config(),
        stop: () => target.stop(),
      });
    },
  };
}
