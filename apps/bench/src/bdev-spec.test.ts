import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { planBdev } from './bdev-spec.ts';

describe('bdev words', () => {
  it('plans memory and null', () => {
    expect(planBdev('malloc:64M', '/f')).toEqual({
      calls: [
        { method: 'bdev_malloc_create', params: { name: 'Malloc0', num_blocks: 131072, block_size: 512 } },
      ],
      names: ['Malloc0'],
      ...{ memory_bytes: 67108864, size: 67108864, file_bytes: null, in_memory: false, keeps_data: true },
    });
    expect(planBdev('null:1G:4096', '/f')).toMatchObject({ memory_bytes: 0, keeps_data: false });
  });

  it('puts file bdevs on the file', () => {
    const { calls, file_bytes } = planBdev('uring:1G:4k', '/f');
    expect(calls[0]!.params).toEqual({ name: 'Uring0', filename: '/f', block_size: 4096 });
    expect(file_bytes).toBe(2 ** 30);
    expect(planBdev('file:1G@memory', '/f')).toMatchObject({ in_memory: true, names: ['File0'] });
  });

  it('makes script bdevs of a script that is there', () => {
    const { calls, file_bytes } = planBdev('script:1M', '/f');
    expect([file_bytes, existsSync(String(calls[0]!.params['path']))]).toEqual([null, true]);
  });

  it('stacks layers and repeats', () => {
    const plan = planBdev('2*malloc:1M+passthru+split', '/f');
    expect(plan.names).toEqual(['Malloc0Pp0', 'Malloc1Pp0']);
    expect(plan.calls.map(({ method }) => method)).toEqual(
      ['malloc', 'passthru', 'split', 'malloc', 'passthru', 'split'].map((kind) => `bdev_${kind}_create`),
    );
    expect(plan.memory_bytes).toBe(2 ** 21);
  });

  it.each([
    ['ram:64M', "no kind 'ram'"],
    ['malloc:64M+lvol', "no layer 'lvol'"],
    ['malloc', 'not understood'],
    ['malloc:64M@memory', 'for bdevs on files'],
    ['malloc:lots', "'lots' is no size"],
    ['null:1000:512', 'not a multiple'],
    ['2*aio:1G', 'for itself'],
  ])('refuses %s', (spec, why) => {
    expect(() => planBdev(spec, '/f')).toThrow(why);
  });
});
