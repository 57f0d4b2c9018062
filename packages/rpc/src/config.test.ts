import { methods as mallocMethods } from '@spdk-ts/bdev-malloc/schema';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { describe, expect, it } from 'vitest';
import {
  type ConfigEntry,
  checkConfig,
  formatConfig,
  loadConfig,
  loadSubsystemConfig,
  saveConfig,
  saveSubsystemConfig,
} from './config.ts';
import { errnoError } from './errors.ts';
import { parseJsonWithComments } from './json-comments.ts';
import { connectLocal } from './local-client.ts';
import { RpcServer } from './server.ts';

registerSchema(...mallocMethods);

/** A small application: options that can be set before the start, and malloc bdevs. */
function application() {
  const server = new RpcServer({ state: 'startup' });
  const calls: string[] = [];
  let poolSize = 65535;
  const bdevs = new Map<string, { name: string; num_blocks: number; block_size: number }>();
  server.register('framework_start_init', () => {
    calls.push('framework_start_init');
    server.setState('runtime');
  });
  server.register('framework_get_subsystems', () => [
    { subsystem: 'iobuf', depends_on: [] },
    { subsystem: 'bdev', depends_on: ['iobuf'] },
    { subsystem: 'nvmf', depends_on: ['bdev'] },
  ]);
  server.register('bdev_set_options', ({ bdev_io_pool_size }) => {
    calls.push('bdev_set_options');
    poolSize = bdev_io_pool_size ?? poolSize;
  });
  server.register('bdev_malloc_create', ({ name = 'Malloc0', num_blocks, block_size }) => {
    if (bdevs.has(name)) throw errnoError('EEXIST', `there is a bdev "${name}"`);
    calls.push(name);
    bdevs.set(name, { name, num_blocks, block_size });
    return name;
  });
  server.register('bdev_wait_for_examine', () => void calls.push('bdev_wait_for_examine'));
  server.register('framework_get_config', ({ name, with_batches }) => {
    if (name === 'iobuf') return null;
    if (name === 'nvmf') return [];
    const creates = [...bdevs.values()].map((params) => ({ method: 'bdev_malloc_create', params }));
    return [
      { method: 'bdev_set_options', params: { bdev_io_pool_size: poolSize } },
      ...(with_batches ? [creates] : creates),
      { method: 'bdev_wait_for_examine' },
    ];
  });
  return { server, caller: connectLocal(server), calls };
}

const config = {
  comment: 'other keys are ignored',
  subsystems: [
    { subsystem: 'iobuf', config: null },
    {
      subsystem: 'bdev',
      config: [
        { method: 'bdev_set_options', params: { bdev_io_pool_size: 1000 } },
        { method: 'bdev_malloc_create', params: { name: 'A', num_blocks: 8, block_size: 512 } },
        { method: 'bdev_malloc_create', params: { name: 'B', num_blocks: 8, block_size: 4096 } },
        { method: 'bdev_wait_for_examine' },
      ],
    },
    { subsystem: 'nvmf', config: [] },
  ],
};

describe('configuration', () => {
  it('is the same after save, load, save', async () => {
    const first = application();
    await loadConfig(first.caller, config);
    expect(first.calls).toEqual([
      'bdev_set_options',
      'framework_start_init',
      'A',
      'B',
      'bdev_wait_for_examine',
    ]);
    const saved = formatConfig(await saveConfig(first.caller));
    const second = application();
    await loadConfig(second.caller, JSON.parse(saved));
    expect(formatConfig(await saveConfig(second.caller))).toBe(saved);
    expect(formatConfig({ a: 1 }, -1)).toBe('{"a":1}\n');

    const batched = await saveConfig(second.caller, { withBatches: true });
    const third = application();
    await loadConfig(third.caller, batched);
    expect(formatConfig(await saveConfig(third.caller))).toBe(saved);
  });

  it('saves some subsystems with what they need', async () => {
    const { caller, server } = application();
    server.setState('runtime');
    const names = async (...subsystems: string[]) =>
      (await saveConfig(caller, { subsystems })).subsystems.map(({ subsystem }) => subsystem);
    expect(await names('nvmf')).toEqual(['iobuf', 'bdev', 'nvmf']);
    expect(await names('bdev')).toEqual(['iobuf', 'bdev']);
    await expect(names('nvmef')).rejects.toThrow(
      'there is no subsystem "nvmef"; use one of iobuf, bdev, nvmf',
    );
    expect(await saveSubsystemConfig(caller, 'nvmf')).toEqual({ subsystem: 'nvmf', config: [] });
  });

  it('starts the framework even if there is nothing to load', async () => {
    const { caller, calls } = application();
    await loadConfig(caller, { subsystems: [] });
    expect(calls).toEqual(['framework_start_init']);
  });

  it('calls nothing if a method is unknown, unless told to go on', async () => {
    const { caller, calls } = application();
    const entry = { method: 'bdev_lost_create' };
    const wrong = { subsystems: [...config.subsystems, { subsystem: 'nvmf', config: [entry] }] };
    await expect(loadConfig(caller, wrong)).rejects.toThrow(
      'unknown method bdev_lost_create in the configuration of nvmf',
    );
    expect(calls).toEqual([]);
    const notices: string[] = [];
    await loadConfig(caller, wrong, { ignoreErrors: true, onNotice: (text) => notices.push(text) });
    expect(calls).toContain('B');
    expect(notices).toEqual(['unknown method bdev_lost_create in the configuration of nvmf: left out']);
  });

  it('stops at the first call that fails, unless told to go on', async () => {
    const create = (name: string) => ({
      method: 'bdev_malloc_create',
      params: { name, num_blocks: 1, block_size: 512 },
    });
    const twice = (second: ConfigEntry) => ({
      subsystems: [{ subsystem: 'bdev', config: [create('A'), second, create('C')] }],
    });
    for (const second of [create('A'), [create('A')]]) {
      const { caller, calls } = application();
      await expect(loadConfig(caller, twice(second))).rejects.toMatchObject({
        code: -17,
        message: 'bdev: bdev_malloc_create: File exists: there is a bdev "A"',
      });
      expect(calls).not.toContain('C');
      const other = application();
      await loadConfig(other.caller, twice(second), { ignoreErrors: true });
      expect(other.calls).toContain('C');
    }
  });

  it('leaves out subsystems and calls that do not fit, and says so', async () => {
    const { caller, server } = application();
    server.setState('runtime');
    const notices: string[] = [];
    const onNotice = (text: string) => notices.push(text);
    const late = [{ subsystem: 'bdev', config: [{ method: 'bdev_set_options' }] }];
    await loadConfig(
      caller,
      { subsystems: [...late, { subsystem: 'vmd', config: late }] },
      { knownSubsystems: ['bdev'], onNotice },
    ).catch(onNotice);
    await loadConfig(caller, { subsystems: late }, { onNotice });
    await loadSubsystemConfig(caller, late[0], { onNotice });
    expect(notices).toEqual([
      expect.objectContaining({ message: expect.stringContaining('vmd config[0]') }),
      'bdev: bdev_set_options left out: the state in which they may be called is over',
      'bdev: bdev_set_options left out: it may not be called in this state',
    ]);
    const skipped: string[] = [];
    await loadConfig(
      caller,
      { subsystems: [{ subsystem: 'vmd', config: [{ method: 'vmd_enable' }] }] },
      { knownSubsystems: ['bdev'], onNotice: (text) => skipped.push(text) },
    );
    expect(skipped).toEqual(['subsystem vmd of the configuration does not exist here: left out']);
  });

  it.each([
    [[], 'no "subsystems" array'],
    [{ subsystems: {} }, 'no "subsystems" array'],
    [{ subsystems: [{ name: 'bdev' }] }, 'subsystems[0]: {"name":"bdev"} is no subsystem'],
    [
      { subsystems: [{ subsystem: 'bdev', config: 3 }] },
      'config of bdev is 3; give an array of calls or null',
    ],
    [
      { subsystems: [{ subsystem: 'bdev', config: [{ params: {} }] }] },
      'bdev config[0]: {"params":{}} is no call',
    ],
  ])('refuses what is no configuration: %j', (value, message) => {
    expect(() => checkConfig(value)).toThrow(message);
  });

  it('may hold comments', () => {
    const text = '{ // to the end "of\n "a": "http://x/*y*/", /* one\n two */ "b": "\\"//" }';
    expect(parseJsonWithComments(text, 'x.json')).toEqual({ a: 'http://x/*y*/', b: '"//' });
    expect(() => parseJsonWithComments('{ /* ', 'x.json')).toThrow(
      'x.json is not valid JSON: comment that begins in line 1 does not end',
    );
    expect(() => parseJsonWithComments('{ /*/ }', 'x.json')).toThrow('does not end');
    expect(() => parseJsonWithComments('{ a }', 'x.json')).toThrow('x.json is not valid JSON');
  });
});
