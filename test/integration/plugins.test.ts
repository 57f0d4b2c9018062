/** Bdev modules from outside of the framework: how `--plugin` finds them, what they bring, how they are refused. */
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadPlugin } from '@spdk-ts/app';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppProcess, cleanUp, client, programs, run, runIn, temporaryDirectory } from './app-process.ts';

const workspace = fileURLToPath(new URL('../../node_modules/@spdk-ts', import.meta.url));

const schema = `
import { bdevFields, defineMethod, optional, option, t } from '@spdk-ts/rpc-schema';
export const methods = [
  defineMethod({
    name: 'bdev_hole_create',
    text: 'Makes a bdev that swallows everything.',
    params: {
      name: bdevFields.name('hole'),
      block_size: optional(t.u32, 'Bytes of a block.', { default: '512', cli: option('-b, --block-size') }),
    },
    result: t.string,
  }, 'hole'),
];`;

const index = `
import { IoType, ioTypeMask } from '@spdk-ts/bdev';
import { methods } from './schema.js';
export default {
  name: 'hole',
  api: 1,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }) {
    bdevs.registerModule({ name: 'hole', destroy() {}, config: ({ name }) => [{ method: 'bdev_hole_create', params: { name } }] });
    rpc.register('bdev_hole_create', async ({ name, block_size = 512 }) => {
      const io_types = ioTypeMask(IoType.READ, IoType.WRITE);
      await bdevs.register('hole', { name, product_name: 'Hole', block_size, num_blocks: 1024, io_types, context: null });
      return name;
    });
  },
};`;

const reactor = `
import { IoStatus, registerReactorModule } from '@spdk-ts/bdev';
const channel = { submit: (io) => io.complete(IoStatus.SUCCESS), destroy() {} };
export default {
  name: 'bdev_hole',
  start(reactor) {
    registerReactorModule(reactor, { name: 'hole', instantiate: () => ({ createChannel: () => channel }) });
    return {};
  },
};`;

const manifest = JSON.stringify({
  name: 'bdev-hole',
  version: '1.0.0',
  type: 'module',
  'spdk-ts': { plugin: './index.js', schema: './schema.js' },
});

let folder = '';
/** Writes files of a package, with the framework's packages installed beside it. Returns its folder. */
function writePackage(name: string, files: Record<string, string>): string {
  const path = join(folder, name);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, file)), { recursive: true });
    writeFileSync(join(path, file), text);
  }
  return path;
}

const whole = { 'package.json': manifest, 'index.js': index, 'schema.js': schema, 'reactor.js': reactor };

beforeAll(() => {
  folder = temporaryDirectory();
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(workspace, join(folder, 'node_modules/@spdk-ts'));
  writePackage('node_modules/bdev-hole', whole);
});
afterAll(cleanUp);

// Each starts several processes, which take their time on a busy machine.
describe('--plugin', { timeout: 120_000 }, () => {
  it('loads a package by its name, and rpc.ts has its commands', async () => {
    const socket = join(folder, 'name.sock');
    const target = new AppProcess(
      programs.spdkTs,
      ['tgt', '-r', socket, '-m', '0x3', '--plugin', 'bdev-hole'],
      folder,
    );
    await target.says(`listening on ${socket}`);
    const rpc = (...words: string[]) => run(programs.rpc, '-s', socket, ...words);
    expect(await rpc('bdev_hole_create', 'Hole0', '--block', '4096')).toMatchObject({
      code: 0,
      stdout: 'Hole0\n',
    });
    expect((await rpc('bdev_hole_create', '--help')).stdout).toContain(
      'Usage: rpc.ts bdev_hole_create [options] <name>',
    );
    expect((await rpc('bdev_hole_create')).stderr).toContain("missing required argument 'name'");
    expect((await rpc('bdev_hole_crate', 'x')).stderr).toContain("unknown command 'bdev_hole_crate'");
    const connected = await client(socket);
    const [bdev] = await connected.call('bdev_get_bdevs');
    expect(bdev).toMatchObject({ name: 'Hole0', block_size: 4096, product_name: 'Hole' });
    const schemas = await connected.call('spdk_ts_get_schema');
    expect(schemas.map(({ name }) => name)).toEqual(await connected.call('rpc_get_methods'));
    // What travels without its conversion still can be spelled.
    const malloc = schemas.find(({ name }) => name === 'bdev_malloc_create');
    expect(malloc).toMatchObject({ params: { num_blocks: { required: true } }, cli: {} });
    expect((await target.stop()).code).toBe(0);
  });

  it('loads a folder, a file, and several; bdevperf-ts takes it too', async () => {
    const config = join(folder, 'conf.json');
    const calls = [{ method: 'bdev_hole_create', params: { name: 'Hole0' } }];
    writeFileSync(config, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: calls }] }));
    const path = writePackage('sibling', {
      ...whole,
      'package.json': manifest.replace('./index.js', './other.js'),
      'other.js': index.replaceAll('hole', 'sibling').replace('./reactor.js', './sibling-reactor.js'),
      'schema.js': schema.replaceAll('hole', 'sibling'),
      'sibling-reactor.js': reactor.replaceAll('hole', 'sibling'),
    });
    for (const plugins of [
      ['--plugin', './node_modules/bdev-hole', '--plugin', path],
      ['--plugin', join(folder, 'node_modules/bdev-hole/index.js')],
    ]) {
      const load = ['-c', config, '-q', '4', '-o', '4k', '-w', 'randread', '-t', '1'];
      const { code, stdout, stderr } = await runIn(folder, programs.bdevperf, ...plugins, ...load);
      expect(code, stdout + stderr).toBe(0);
      expect(stdout).toContain('Job: Hole0 (Core Mask 0x1, workload: randread');
    }
  });

  it.each<[string, string, Record<string, string>, string]>([
    ['no such package', 'nobody', {}, 'no package of that name is installed in'],
    ['a folder without ./', 'bare', { 'package.json': manifest }, 'for the folder, write ./bare'],
    ['no such file', './nobody.js', {}, 'there is no /'],
    ['neither name nor path', 'a b', {}, 'neither the name of a package nor a path'],
    ['a folder that is no package', './none', { 'x.txt': '' }, 'is a folder without package.json'],
    ['a broken package.json', './broken', { 'package.json': '{' }, 'package.json is not JSON'],
    ['no key', './keyless', { 'package.json': '{}' }, 'names no plugin: it needs "spdk-ts"'],
    ['not built', './unbuilt', { 'package.json': manifest }, 'names ./index.js, and there is no such file'],
    [
      'throws when loaded',
      './thrower',
      { ...whole, 'index.js': 'throw new TypeError("no luck")' },
      'thrower/index.js cannot be loaded: TypeError: no luck',
    ],
    [
      'exports nothing',
      './empty',
      { ...whole, 'index.js': 'export {}' },
      'it has no default export with name, api, reactorEntry and setup',
    ],
    [
      'another API',
      './future',
      { ...whole, 'index.js': index.replace('api: 1', 'api: 2') },
      'its api is 2, and this framework offers 1',
    ],
    [
      'no API',
      './apiless',
      { ...whole, 'index.js': index.replace('api: 1,', '') },
      'its api is undefined, and',
    ],
    [
      'a wrong name',
      './misnamed',
      { ...whole, 'index.js': index.replace("'hole'", "'a hole'") },
      'its name is "a hole"',
    ],
    [
      'no reactor half',
      './halved',
      { 'package.json': manifest, 'index.js': index, 'schema.js': schema },
      'halved/reactor.js, and there is no such file',
    ],
    [
      'methods that are none',
      './methods',
      { ...whole, 'schema.js': 'export const methods = [5];' },
      'its methods are not an array',
    ],
  ])('refuses what cannot be: %s', async (_, spec, files, text) => {
    if (Object.keys(files).length > 0) writePackage(spec, files);
    await expect(loadPlugin(spec, folder)).rejects.toThrow(`--plugin ${spec}: `);
    await expect(loadPlugin(spec, folder)).rejects.toThrow(text);
  });

  it('refuses a second copy of what must be there once', async () => {
    const path = writePackage('copied', whole);
    cpSync(join(workspace, 'bdev/lib'), join(path, 'node_modules/@spdk-ts/bdev/lib'), { recursive: true });
    cpSync(join(workspace, 'bdev/package.json'), join(path, 'node_modules/@spdk-ts/bdev/package.json'));
    await expect(loadPlugin(path)).rejects.toThrow('it would use a copy of @spdk-ts/bdev of its own');
  });

  it.skipIf((process.features as { typescript?: unknown }).typescript)(
    'says that this Node.js loads no TypeScript',
    async () => {
      const path = join(writePackage('typed', { 'index.ts': index }), 'index.ts');
      await expect(loadPlugin(path)).rejects.toThrow('use Node.js 22.18 or newer, or compile it');
    },
  );

  it.each<[string, Record<string, string>, string]>([
    [
      'a name that is taken',
      { 'index.js': index.replace("name: 'hole',", "name: 'malloc',") },
      'called "malloc"',
    ],
    [
      'a method that is taken',
      { 'schema.js': schema.replace('bdev_hole_create', 'bdev_null_create') },
      'setup failed: RPC method bdev_null_create is in the schema already',
    ],
    [
      'a setup that throws',
      { 'index.js': index.replace('setup({ bdevs, rpc }) {', "$& throw new Error('not today');") },
      'setup failed: not today',
    ],
    ['a syntax error', { 'index.js': 'export default {' }, 'cannot be loaded: SyntaxError'],
    ['a reactor half that throws', { 'reactor.js': 'throw new Error("not here")' }, 'Error: not here'],
    ['a reactor half that is none', { 'reactor.js': '' }, 'reactor.js is no reactor half'],
  ])('ends with 1 over %s', async (name, files, text) => {
    const path = writePackage(name.replaceAll(' ', '-'), { ...whole, ...files });
    const { code, stderr } = await run(programs.spdkTs, 'tgt', '--no-rpc-server', '--plugin', path);
    expect(stderr).toContain(text);
    expect(code).toBe(1);
  });
});
