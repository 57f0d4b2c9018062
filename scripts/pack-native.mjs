// Makes the package that holds the addon ready-made for this platform: `pack-native.mjs [FOLDER]`. Inside it,
// `npm pack` gives what would be published. Prints the folder (packages/native/prebuilt/NAME unless given).
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { platformPackage } from '../packages/native/dist/load-addon.js';

const native = fileURLToPath(new URL('../packages/native/', import.meta.url));
const addon = join(native, 'build/spdk_ts.node');
const name = platformPackage();
if (name === null || !existsSync(addon)) {
  console.error('pack-native: there is no addon to pack; npm run build makes it, on Linux with a C compiler');
  process.exit(1);
}
const { version, license, engines } = JSON.parse(readFileSync(join(native, 'package.json'), 'utf8'));
const folder = resolve(process.argv[2] ?? join(native, 'prebuilt', name.split('/')[1]));
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
copyFileSync(addon, join(folder, 'spdk_ts.node'));
copyFileSync(fileURLToPath(new URL('../LICENSE', import.meta.url)), join(folder, 'LICENSE'));
const manifest = {
  name,
  version,
  description: `The native addon of spdk-ts for ${process.platform} on ${process.arch}`,
  license,
  engines,
  main: 'spdk_ts.node',
  files: ['spdk_ts.node'],
  // npm installs an optional dependency only where these agree.
  os: [process.platform],
  cpu: [process.arch],
  libc: [name.endsWith('-musl') ? 'musl' : 'glibc'],
};
writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
console.log(folder);
