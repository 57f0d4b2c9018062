import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RpcServer } from '@spdk-ts/rpc';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Keyring } from './keyring.ts';
import { registerKeyringRpcs } from './rpc.ts';

const CONTENT = 'DHHC-1:00:not-to-be-seen:';

let folder: string;
let keyring: Keyring;
let rpc: RpcServer;
const file = (name: string, mode = 0o600, content = CONTENT): string => {
  const path = join(folder, name);
  writeFileSync(path, content, { mode });
  chmodSync(path, mode);
  return path;
};
const call = (method: string, params?: object): Promise<unknown> => rpc.call(method, params);
const code = async (method: string, params: object): Promise<number> =>
  (await call(method, params).catch((error) => error)).code;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyring-'));
  keyring = new Keyring();
  rpc = new RpcServer({ checkResults: true });
  registerKeyringRpcs(rpc, keyring);
});
afterEach(() => rmSync(folder, { recursive: true }));

test('keys are added, shown without what they are, and removed', async () => {
  const path = file('key0');
  expect(await call('keyring_file_add_key', { name: 'key0', path })).toBe(true);
  const key = keyring.get('key0');
  expect(key.read()).toBe(CONTENT);
  const shown = { name: 'key0', module: 'keyring_file', removed: false, probed: false, refcnt: 2, path };
  expect(await call('keyring_get_keys')).toEqual([shown]);
  expect(keyring.config()).toEqual([{ method: 'keyring_file_add_key', params: { name: 'key0', path } }]);
  expect(await call('keyring_file_remove_key', { name: 'key0' })).toBe(true);
  expect(keyring.config()).toEqual([]);
  const { path: _, ...left } = shown;
  expect(await call('keyring_get_keys')).toEqual([{ ...left, removed: true, refcnt: 1 }]);
  expect(() => key.read()).toThrow(/removed/);
  key.put();
  key.put();
  expect(await call('keyring_get_keys')).toEqual([]);
});

test('what cannot be a key is refused', async () => {
  const add = (path: string) => code('keyring_file_add_key', { name: 'key', path });
  expect(await add('relative')).toBe(-1);
  expect(await add(join(folder, 'none'))).toBe(-2);
  expect(await add(folder)).toBe(-1);
  for (const mode of [0o640, 0o604, 0o610, 0o777]) expect(await add(file(`m${mode}`, mode))).toBe(-1);
  expect(await add(file('large', 0o600, 'x'.repeat(4097)))).toBe(-105);
  expect(await code('keyring_file_add_key', { name: '', path: file('empty') })).toBe(-22);
  expect(await add(file('good', 0o400))).toBe(undefined);
  expect(await add(file('another'))).toBe(-17);
  expect(await code('keyring_file_remove_key', { name: 'other' })).toBe(-126);
});

test('a file is checked again when it is read', () => {
  const path = file('key');
  keyring.addFile('key', path);
  chmodSync(path, 0o644);
  expect(() => keyring.get('key').read()).toThrow(/0644/);
  rmSync(path);
  expect(() => keyring.get('key').read()).toThrow(/no such file/);
});
