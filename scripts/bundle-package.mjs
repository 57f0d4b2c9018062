// Part of the build of each package: puts the modules that tsc has written to dist/ into one file for each entry point, in
// lib/, with what several of them need in chunks beside them. Node.js takes more than a millisecond to load a module,
// however small, and a target loads hundreds. Packages stay apart: whoever imports one by its name, a plugin from elsewhere
// too, has the same instance.
//
// Entry points: what `exports` names in lib/, and what a module starts by `new URL('./name.js', import.meta.url)`.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { rolldown } from 'rolldown';

const { name, exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const input = {};
for (const { default: file } of Object.values(exports)) {
  const entry = /^\.\/lib\/([\w-]+)\.js$/.exec(file)?.[1];
  if (entry === undefined) throw new Error(`${name}: an entry point is ${file}, which is not in ./lib/`);
  input[entry] = `./dist/${entry}.js`;
}
const files = new Set(readdirSync('dist'));
for (const file of files) {
  if (!file.endsWith('.js')) continue;
  const started = readFileSync(`dist/${file}`, 'utf8').matchAll(
    /new URL\('\.\/([\w-]+)\.js', import\.meta\.url\)/g,
  );
  for (const [, entry] of started) if (files.has(`${entry}.js`)) input[entry] = `./dist/${entry}.js`;
}

const bundle = await rolldown({
  input,
  platform: 'node',
  external: /^[^./]/,
  treeshake: false,
  logLevel: 'warn',
});
rmSync('lib', { recursive: true, force: true });
await bundle.write({
  dir: 'lib',
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
});
await bundle.close();
