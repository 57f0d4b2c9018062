/**
 * The bdev modules that come with the framework: the dependencies of this package whose package.json has the key
 * `spdk-ts`, as the build has listed them. Loads nothing of them by itself; `rpc.ts` needs their schemas only.
 */
import { readFileSync } from 'node:fs';
import type { BdevControlPlugin } from '@spdk-ts/bdev';
import { type Method, registerSchema } from '@spdk-ts/rpc-schema';

interface ListedModule {
  readonly package: string;
  /** It has descriptions of methods in `<package>/schema`. */
  readonly schema: boolean;
}

const list = (): ListedModule[] =>
  JSON.parse(readFileSync(new URL('../dist/modules.json', import.meta.url), 'utf8'));

/** Adds the descriptions of the modules' RPC methods to the schema, without loading the modules. */
export async function loadModuleSchemas(): Promise<void> {
  const schemas = await Promise.all(
    list()
      .filter(({ schema }) => schema)
      .map((module) => import(`${module.package}/schema`) as Promise<{ methods: readonly Method[] }>),
  );
  for (const { methods } of schemas) registerSchema(...methods);
}

/** Loads the modules' control halves. */
export async function loadModules(): Promise<BdevControlPlugin[]> {
  const loaded = await Promise.all(
    list().map((module) => import(module.package) as Promise<{ default: BdevControlPlugin }>),
  );
  return loaded.map((module) => module.default);
}
