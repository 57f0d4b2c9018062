import { describe, expect, it } from 'vitest';
import { createCall, freeName, parseBdevArgument } from './bdev-argument.ts';

describe('--bdev', () => {
  it('reads size, block size and path', () => {
    expect(parseBdevArgument('malloc:64M')).toEqual({
      ...{ kind: 'malloc', size: 2 ** 26, path: null, block_size: 512 },
    });
    expect(parseBdevArgument('null:1G:4096').block_size).toBe(4096);
    expect(parseBdevArgument('null:1G:4k').block_size).toBe(4096);
    expect(parseBdevArgument('file:/tmp/a:b.img')).toMatchObject({ path: '/tmp/a:b.img', block_size: 512 });
    expect(parseBdevArgument('file:/tmp/a:b.img:4096')).toMatchObject({
      ...{ path: '/tmp/a:b.img', size: null, block_size: 4096 },
    });
    expect(parseBdevArgument('file:x:64M')).toMatchObject({ path: 'x', size: 2 ** 26, block_size: 512 });
    expect(parseBdevArgument('uring:/dev/sda')).toMatchObject({
      kind: 'uring',
      path: '/dev/sda',
      block_size: 512,
    });
    expect(parseBdevArgument('aio:x:4k')).toMatchObject({ kind: 'aio', path: 'x', block_size: 4096 });
    expect(parseBdevArgument('file:x:64M:4k')).toMatchObject({ path: 'x', size: 2 ** 26, block_size: 4096 });
  });

  it('says what is wrong', () => {
    expect(() => parseBdevArgument('malloc')).toThrow('malloc:SIZE[:BLOCK_SIZE]');
    expect(() => parseBdevArgument('ram:64M')).toThrow('malloc:SIZE');
    expect(() => parseBdevArgument('malloc:64Q')).toThrow("'64Q' is not a size");
    expect(() => parseBdevArgument('malloc:1M:1000')).toThrow('power of two from 512 to 65536, not 1000');
    expect(() => parseBdevArgument('malloc:1000')).toThrow('not a multiple of the block size 512');
    expect(() => parseBdevArgument('uring:x:64M')).toThrow('takes a file as it is, without a size');
    expect(() => parseBdevArgument('null:1M:512:3')).toThrow('null:SIZE');
  });

  it('makes the RPC call and finds a free name', () => {
    expect(createCall(parseBdevArgument('null:1M:4096'), 'Null0')).toEqual({
      method: 'bdev_null_create',
      params: { name: 'Null0', block_size: 4096, num_blocks: 256 },
    });
    expect(createCall(parseBdevArgument('file:x'), 'File3').params).toEqual({
      ...{ name: 'File3', filename: 'x', block_size: 512 },
    });
    expect(createCall(parseBdevArgument('uring:x:4096'), 'Uring0')).toEqual({
      method: 'bdev_uring_create',
      params: { name: 'Uring0', filename: 'x', block_size: 4096 },
    });
    expect(createCall(parseBdevArgument('file:x:1M'), 'File3').params).toMatchObject({ size: 2 ** 20 });
    expect(freeName('malloc', new Set(['Malloc0', 'Malloc2']))).toBe('Malloc1');
  });
});
