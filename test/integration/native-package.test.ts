/** The addon from its platform package, as who installs spdk-ts without a compiler gets it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { native } from '@spdk-ts/native';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanUp, temporaryDirectory } from './app-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const environment = { ...process.env, SPDK_TS_NATIVE: '', SPDK_TS_ADDON: '', LD_PRELOAD: '' };

/** What a program that imports @spdk-ts/native in `folder` finds. */
function load(folder: string): { there: boolean; why: string; crc: number | null } {
  const program = `
    import { native, nativeUnavailable } from '@spdk-ts/native';
    const crc = native?.crc32c(Buffer.from('123456789'), 0, 9, 0) ?? null;
    console.log(JSON.stringify({ there: native !== null, why: nativeUnavailable, crc }));`;
  writeFileSync(join(folder, 'program.mjs'), program);
  return JSON.parse(
    execFileSync(process.execPath, ['program.mjs'], { cwd: folder, env: environment, encoding: 'utf8' }),
  );
}

describe.skipIf(native === null)('the addon', () => {
  let folder: string;
  let name: string;

  beforeAll(() => {
    folder = temporaryDirectory();
    // @spdk-ts/native as it would be installed: without what a build leaves behind.
    const installed = join(folder, 'node_modules/@spdk-ts/native');
    mkdirSync(installed, { recursive: true });
    for (const part of ['lib', 'package.json'])
      cpSync(join(root, 'packages/native', part), join(installed, part), { recursive: true });
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'user', version: '1.0.0' }));
  });
  afterAll(cleanUp);

  it('is absent without build and package, and says where it was looked for', () => {
    const { there, why } = load(folder);
    expect(there).toBe(false);
    expect(why).toMatch(/neither .*build\/spdk_ts\.node .* nor the package @spdk-ts\/native-linux-/);
    name = /package (\S+)$/.exec(why)![1]!;
  });

  it('is loaded from its platform package, packed and installed by npm', () => {
    const made = join(folder, 'made');
    execFileSync(process.execPath, [join(root, 'scripts/pack-native.mjs'), made], { env: environment });
    const npm = (cwd: string, ...args: string[]): string =>
      execFileSync('npm', args, {
        cwd,
        env: environment,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    const tarball = npm(made, 'pack', '--silent', '--pack-destination', folder).trim();
    expect(existsSync(join(folder, tarball))).toBe(true);
    // Beside the installed one: npm would remove what its own folder has no record of.
    const other = join(folder, 'other');
    mkdirSync(other);
    writeFileSync(join(other, 'package.json'), JSON.stringify({ name: 'other', version: '1.0.0' }));
    npm(other, 'install', '--offline', '--no-audit', '--no-fund', join(folder, tarball));
    const unpacked = join(other, 'node_modules', name);
    expect(readdirSync(unpacked).sort()).toEqual(['LICENSE', 'package.json', 'spdk_ts.node']);
    cpSync(unpacked, join(folder, 'node_modules', name), { recursive: true });
    expect(load(folder)).toEqual({ there: true, why: '', crc: 0xe306_9283 });
  });

  it('that cannot be loaded is named, with the reason', () => {
    writeFileSync(join(folder, 'node_modules', name, 'spdk_ts.node'), 'no library');
    const { there, why } = load(folder);
    expect(there).toBe(false);
    expect(why).toContain(`the package ${name} cannot be loaded`);
    rmSync(join(folder, 'node_modules', name), { recursive: true });
  });

  it('that is built here is loaded first, and switched off by the environment', () => {
    const installed = join(folder, 'node_modules/@spdk-ts/native');
    mkdirSync(join(installed, 'build'));
    cpSync(join(root, 'packages/native/build/spdk_ts.node'), join(installed, 'build/spdk_ts.node'));
    expect(load(folder).there).toBe(true);
    const off = spawnSync(process.execPath, ['program.mjs'], {
      ...{ cwd: folder, encoding: 'utf8', env: { ...environment, SPDK_TS_NATIVE: '0' } },
    });
    expect(JSON.parse(off.stdout)).toMatchObject({ there: false, why: 'switched off by SPDK_TS_NATIVE=0' });
  });
});
