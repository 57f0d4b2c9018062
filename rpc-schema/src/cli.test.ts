import { methods as file } from '@spdk-ts/bdev-file/schema';
import { methods as malloc } from '@spdk-ts/bdev-malloc/schema';
import { methods as nullMethods } from '@spdk-ts/bdev-null/schema';
import { methods as split } from '@spdk-ts/bdev-split/schema';
import { describe, expect, it } from 'vitest';
import {
  cliArguments,
  findMethod,
  paramsFromArguments,
  parseArgument,
  printForm,
  registerSchema,
  t,
} from './index.ts';

registerSchema(...malloc, ...nullMethods, ...file, ...split);

const method = (name: string) => findMethod(name)!;
const positionals = (name: string) =>
  cliArguments(method(name))
    .filter(({ form }) => form === 'positional')
    .map((argument) => argument.name);

describe('command line of methods', () => {
  it('orders positional arguments as rpc.py does', () => {
    expect(positionals('bdev_malloc_create')).toEqual(['total_size', 'block_size']);
    expect(positionals('bdev_null_create')).toEqual(['name', 'total_size', 'block_size']);
    expect(positionals('nvmf_subsystem_add_ns')).toEqual(['nqn', 'bdev_name']);
    expect(positionals('bdev_file_create')).toEqual(['filename', 'name', 'block_size']);
  });

  it('computes blocks from MiB', () => {
    const args = { total_size: 1.5, block_size: 4096, name: 'M' };
    expect(paramsFromArguments(method('bdev_malloc_create'), args)).toEqual({
      name: 'M',
      block_size: 4096,
      num_blocks: 384,
    });
    expect(() =>
      paramsFromArguments(method('bdev_malloc_create'), { total_size: 0, block_size: 512 }),
    ).toThrow('give at least one block');
    expect(() =>
      paramsFromArguments(method('bdev_null_create'), {
        name: 'N',
        total_size: 1,
        block_size: 512,
        dif_type: 1,
      }),
    ).toThrow('--md-size');
  });

  it('gathers the fields of addresses and namespaces', () => {
    expect(
      paramsFromArguments(method('nvmf_subsystem_add_listener'), {
        nqn: 'discovery',
        trtype: 'TCP',
        traddr: '::1',
        trsvcid: '4420',
      }),
    ).toEqual({
      nqn: 'nqn.2014-08.org.nvmexpress.discovery',
      listen_address: { trtype: 'TCP', traddr: '::1', trsvcid: '4420' },
    });
    expect(
      paramsFromArguments(method('nvmf_subsystem_add_ns'), { nqn: 'n', bdev_name: 'b', nsid: 3 }),
    ).toEqual({
      nqn: 'n',
      namespace: { bdev_name: 'b', nsid: 3 },
    });
  });

  it('expands "all" in lists', () => {
    expect(paramsFromArguments(method('nvmf_create_transport'), { trtype: 'TCP', oncs: ['all'] })).toEqual({
      trtype: 'TCP',
      masked_oncs: ['nvmcmps', 'nvmdsmsv', 'nvmwzsv', 'reservs', 'nvmcpys'],
    });
    expect(paramsFromArguments(method('nvmf_set_config'), { passthru: ['sanitize'] })).toEqual({
      admin_cmd_passthru: { sanitize: true },
    });
  });

  it('reads arguments', () => {
    expect(parseArgument(t.u32, 'n', '0x10')).toBe(16);
    expect(parseArgument(t.i32, 'n', '-1')).toBe(-1);
    expect(parseArgument(t.number, 'n', '0.5')).toBe(0.5);
    expect(parseArgument(t.array(t.u64), 'n', '1,2')).toEqual([1, 2]);
    expect(() => parseArgument(t.u8, 'n', '')).toThrow('"n" is ""');
    expect(() => parseArgument(t.u8, 'n', '1k')).toThrow('give an integer from 0 to 255');
    expect(() => parseArgument(t.array(t.u64), 'n', '1,x')).toThrow('give an integer');
  });

  it('prints nothing for true, names without quotes, the rest as JSON', () => {
    expect(printForm(method('bdev_malloc_delete'))).toBe('none');
    expect(printForm(method('bdev_malloc_create'))).toBe('text');
    expect(printForm(method('bdev_get_bdevs'))).toBe('json');
    expect(printForm(method('bdev_null_resize'))).toBe('json');
    expect(printForm(method('bdev_split_create'))).toBe('words');
  });
});
