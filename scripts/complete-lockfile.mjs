// `npm install` against a registry that lacks some platforms' packages leaves them out of the lock file, and
// `npm ci` then refuses it everywhere. This adds what is missing: an optional package of another platform needs
// no more than its version, and the platform that its name ends in. Run it after `npm install`.
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));

const systems = {
  android: 'android',
  darwin: 'darwin',
  freebsd: 'freebsd',
  linux: 'linux',
  netbsd: 'netbsd',
  openbsd: 'openbsd',
  openharmony: 'openharmony',
  aix: 'aix',
  sunos: 'sunos',
  win32: 'win32',
  windows: 'win32',
};
const processors = {
  64: 'x64',
  x64: 'x64',
  x86_64: 'x64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: 'ia32',
  riscv64: 'riscv64',
  ppc64: 'ppc64',
  ppc64le: 'ppc64',
  s390x: 's390x',
  loong64: 'loong64',
  mips64el: 'mips64el',
  wasm32: 'wasm32',
};

/** The platform fields that a package of this name has. */
function platform(name) {
  const words = name.split(/[/-]/);
  const found = {};
  const os = words.map((word) => systems[word]).find(Boolean);
  const cpu = words.map((word) => processors[word]).findLast(Boolean);
  if (cpu) found.cpu = [cpu];
  if (words.includes('musl') || words.includes('musleabihf')) found.libc = ['musl'];
  else if (os === 'linux' && (words.includes('gnu') || words.includes('gnueabihf'))) found.libc = ['glibc'];
  if (os) found.os = [os];
  return found;
}

let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const nested = `${path}/node_modules/${name}`;
    const hoisted = `node_modules/${name}`;
    if (lock.packages[nested] || lock.packages[hoisted]) continue;
    const fields = platform(name);
    if (!fields.os && !fields.cpu) continue;
    lock.packages[hoisted] = {
      version: range.replace(/^[\^~]/, ''),
      ...fields,
      ...(entry.dev && { dev: true }),
      license: entry.license,
      optional: true,
      ...(entry.engines && { engines: entry.engines }),
    };
    added++;
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${added} packages of other platforms added`);
