// Builds the native addon with the system's C compiler, where there is one. The addon is an accelerator:
// without a compiler (or with SPDK_TS_NATIVE=0) nothing is built and the portable path is used.
// With --sanitize it builds a second one, build/sanitize/spdk_ts.node, that checks itself for wrong accesses and
// undefined behaviour; that one must succeed (scripts/test-sanitize.mjs runs the suites with it).
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { sanitizerFlags } from './sanitizer-flags.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const sanitize = process.argv.includes('--sanitize');
const folder = `${here}build${sanitize ? '/sanitize' : ''}`;
const output = `${folder}/spdk_ts.node`;
rmSync(output, { force: true });

const skip = (why) => {
  if (sanitize) {
    console.error(`native addon not built: ${why}`);
    process.exit(1);
  }
  console.log(`native addon not built: ${why}; the portable path will be used`);
  process.exit(0);
};
if (process.env.SPDK_TS_NATIVE === '0') skip('SPDK_TS_NATIVE=0');
if (process.platform !== 'linux') skip(`it needs Linux, this is ${process.platform}`);

const compiler = process.env.CC || 'cc';
if (spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status !== 0) skip(`no C compiler (${compiler})`);

let headers;
try {
  headers = createRequire(import.meta.url)('node-api-headers').include_dir;
} catch {
  skip('the npm package node-api-headers is not installed');
}
mkdirSync(folder, { recursive: true });
const flags = [
  '-std=gnu11',
  ...(sanitize ? sanitizerFlags : ['-O2']),
  '-g',
  '-fPIC',
  '-shared',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fvisibility=hidden',
];
const sources = readdirSync(`${here}src`)
  .filter((name) => name.endsWith('.c'))
  .map((name) => `${here}src/${name}`);
const args = [...flags, `-I${headers}`, '-o', output, ...sources];
const built = spawnSync(compiler, args, { stdio: 'inherit' });
if (built.status !== 0) {
  rmSync(output, { force: true });
  skip(`${compiler} failed, see above`);
}
