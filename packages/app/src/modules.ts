/**
 * The bdev modules that come with the framework: the dependencies of this package whose package.json has the key
 * `spdk-ts`, as the build has listed them. Loads nothing of them by itself; `rpc.ts` needs their schemas only.
 */
import { readFileSync } from 'node:fs';
import type { BdevControlPlugin } from '@spdk-ts/bdev';
import { type Method, registerSchema } from '@spdk-ts/rpc-schema';
import { lateModule } from './late-module.ts';

interface ListedModule {
  readonly package: string;
  readonly name: string;
  /** It has descriptions of methods in `<package>/schema`. */
  readonly schema: boolean;
  /** It need not be loaded before one of its methods is called. */
  readonly late: boolean;
}

/** A module's control half; one that loads its reactor half itself has no `reactorEntry`. */
export type LoadedModule = Omit<BdevControlPlugin, 'reactorEntry'> & { readonly reactorEntry?: string };

const list = (): ListedModule[] =>
  JSON.parse(readFileSync(new URL('../dist/modules.json', import.meta.url), 'utf8'));

const schemaOf = async (module: ListedModule): Promise<readonly Method[]> =>
  module.schema ? ((await import(`${module.package}/schema`)) as { methods: readonly Method[] }).methods : [];

const load = async (module: ListedModule): Promise<BdevControlPlugin> =>
  ((await import(module.package)) as { default: BdevControlPlugin }).default;

/** Adds the descriptions of the modules' RPC methods to the schema, without loading the modules. */
export async function loadModuleSchemas(): Promise<void> {
  for (const methods of await Promise.all(list().map(schemaOf))) registerSchema(...methods);
}

/** Loads the modules' control halves, or what stands for them until they are needed. */
export async function loadModules(): Promise<LoadedModule[]> {
  return await Promise.all(
    list().map(async (module) =>
      module.late ? lateModule(module.name, await schemaOf(module), () => load(module)) : await load(module),
    ),
  );
}
