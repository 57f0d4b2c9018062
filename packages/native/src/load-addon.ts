import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/** What was found: the addon's exports, or why there are none. */
export interface LoadedAddon {
  readonly addon: unknown;
  readonly why: string;
}

/** Name of the package that holds the addon ready-made for this platform; null where there can be none. */
export function platformPackage(): string | null {
  if (process.platform !== 'linux') return null;
  (process.report as { excludeNetwork?: boolean }).excludeNetwork = true; // no lookups of names
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return `@spdk-ts/native-linux-${process.arch}${header?.glibcVersionRuntime === undefined ? '-musl' : ''}`;
}

function open(path: string, what: string): LoadedAddon {
  try {
    return { addon: require(path), why: '' };
  } catch (error) {
    return { addon: null, why: `not usable: ${what} cannot be loaded: ${(error as Error).message}` };
  }
}

/**
 * Looks for the addon: SPDK_TS_ADDON if that names one (another build, as with sanitizers), then what was built here,
 * then the platform's package. SPDK_TS_NATIVE=0 switches it off.
 */
export function loadAddon(): LoadedAddon {
  if (process.env['SPDK_TS_NATIVE'] === '0') return { addon: null, why: 'switched off by SPDK_TS_NATIVE=0' };
  const named = process.env['SPDK_TS_ADDON'];
  if (named !== undefined && named !== '') return open(named, `SPDK_TS_ADDON (${named})`);

  const built = fileURLToPath(new URL('../build/spdk_ts.node', import.meta.url));
  if (existsSync(built)) return open(built, built);

  const name = platformPackage();
  if (name === null) return { addon: null, why: `not there: it needs Linux, this is ${process.platform}` };
  let path: string;
  try {
    path = require.resolve(name);
  } catch {
    const why = `not there: neither ${built} (is there a C compiler? npm run build makes it) nor the package ${name}`;
    return { addon: null, why };
  }
  return open(path, `the package ${name}`);
}
