// Holds the house rule that imports point only downward: every import of a workspace package must be a
// declared dependency, must name a public face of the package (what its package.json exports; no deep imports), and
// must lie in a lower layer. Every bdev module must be among the dependencies of the application framework.
// Data-plane packages must also leave clocks, chance, sockets and files to what is handed to them, so that a
// simulator can drive them.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

// Lowest first. A package may import from lines above its own, and from those its own line allows.
const layers = [
  [
    'rpc-schema',
    'packages/nvme-spec',
    'packages/nvme-auth',
    'packages/native',
    'packages/log',
    'packages/load',
  ],
  ['packages/env', 'packages/dif', 'packages/zones', 'packages/vfio-user'],
  ['packages/reactor', 'packages/rpc'],
  ['packages/sock', 'packages/bdev', 'packages/keyring', 'packages/guest-memory'],
  ['packages/file-io', 'packages/vbdev', 'packages/kv', 'packages/nvme'],
  ['packages/bdev-modules/*', 'packages/nvmf', 'packages/vhost'],
  ['packages/app'],
  ['apps/bench', 'apps/rpc', 'apps/bdevperf', 'apps/nvme-perf', 'apps/nvme'],
  ['apps/spdk-ts'],
];
// What only env (clock, chance) and the portable edges (node:net, node:fs) may touch.
const dataPlane = [
  'packages/load',
  'packages/dif',
  'packages/zones',
  'packages/reactor',
  'packages/bdev',
  'packages/file-io',
  'packages/vbdev',
  'packages/kv',
  'packages/guest-memory',
  'packages/nvme',
  'packages/nvmf',
  'packages/vhost',
  'packages/nvme-spec',
  'packages/sock',
  'packages/vfio-user',
];
const impure =
  /\b(Date\.now|new Date|performance\.now|Math\.random|process\.hrtime|set(?:Timeout|Interval|Immediate))\b|from 'node:(?:net|fs|fs\/promises|timers)'/;
const edges =
  /(?:^|\/)testing\/|(?:^|\/)(?:node-[\w-]+|worker-[\w-]+|[\w-]+-control|posix-[\w-]+|uring-[\w-]+)\.ts$/;

const expand = (pattern) =>
  pattern.endsWith('/*')
    ? readdirSync(join(root, pattern.slice(0, -2))).map((name) => `${pattern.slice(0, -1)}${name}`)
    : [pattern];
const isPackage = (directory) => {
  try {
    return statSync(join(root, directory, 'package.json')).isFile();
  } catch {
    return false;
  }
};

const packages = new Map();
layers.forEach((line, level) => {
  for (const directory of line.flatMap(expand).filter(isPackage)) {
    const manifest = JSON.parse(readFileSync(join(root, directory, 'package.json'), 'utf8'));
    packages.set(manifest.name, { directory, level, manifest });
  }
});

const sources = (directory) =>
  readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return sources(path);
    return /\.tsx?$/.test(entry.name) && !/\.test\.ts$/.test(entry.name) ? [path] : [];
  });

const problems = [];
for (const [name, { directory, level, manifest }] of packages) {
  const declared = new Set(Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }));
  for (const file of sources(join(root, directory, 'src'))) {
    const text = readFileSync(file, 'utf8');
    const where = relative(root, file);
    for (const [, target] of text.matchAll(/(?:from|import)\s*\(?\s*'([^'.][^']*)'/g)) {
      if (!target.startsWith('@spdk-ts/') && target !== 'spdk-ts') continue;
      const parts = target.split('/');
      const wanted = parts[0] === 'spdk-ts' ? 'spdk-ts' : parts.slice(0, 2).join('/');
      const found = packages.get(wanted);
      if (found && !Object.hasOwn(found.manifest.exports, `.${target.slice(wanted.length)}`))
        problems.push(`${where}: deep import of ${target}`);
      else if (!found) problems.push(`${where}: ${wanted} is in no layer of scripts/check-layers.mjs`);
      else if (found.level >= level && wanted !== name)
        problems.push(`${where}: imports ${wanted}, which is not below ${name}`);
      else if (!declared.has(wanted))
        problems.push(`${where}: ${wanted} is not a dependency in package.json`);
    }
    if (dataPlane.includes(directory) && !edges.test(where)) {
      text.split('\n').forEach((line, index) => {
        const code = line.replace(/\/\/.*$|^\s*\*.*$/, '');
        const match = impure.exec(code);
        if (match) problems.push(`${where}:${index + 1}: ${match[0]} in a data-plane package`);
      });
    }
  }
}
const app = packages.get('@spdk-ts/app');
for (const [name, { directory }] of packages)
  if (directory.startsWith('packages/bdev-modules/') && !Object.hasOwn(app.manifest.dependencies, name))
    problems.push(`${app.directory}/package.json: ${name} is not among the dependencies, so nobody finds it`);
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}
console.log(`layers: ${packages.size} packages, imports point downward`);
