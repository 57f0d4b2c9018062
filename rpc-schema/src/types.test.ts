import type {} from '@spdk-ts/bdev-malloc/schema';
import type {} from '@spdk-ts/bdev-null/schema';
import { describe, expectTypeOf, it } from 'vitest';
import type { MethodName, ParamsOf, ResultOf } from './index.ts';

describe('types from the schema', () => {
  it('gives parameters and results of a method', () => {
    expectTypeOf<ParamsOf<'bdev_null_resize'>>().toEqualTypeOf<{ name: string; new_size: number }>();
    expectTypeOf<ParamsOf<'log_set_level'>['level']>().toEqualTypeOf<
      'ERROR' | 'WARNING' | 'NOTICE' | 'INFO' | 'DEBUG'
    >();
    expectTypeOf<ParamsOf<'bdev_malloc_create'>['name']>().toEqualTypeOf<string | undefined>();
    expectTypeOf<ParamsOf<'nvmf_subsystem_add_ns'>['namespace']['bdev_name']>().toEqualTypeOf<string>();
    expectTypeOf<ParamsOf<'nvmf_set_config'>['discovery_filters']>().toEqualTypeOf<
      ('transport' | 'address' | 'svcid')[] | undefined
    >();
    expectTypeOf<ParamsOf<'thread_get_stats'>>().toEqualTypeOf<Record<never, never>>();
    expectTypeOf<ResultOf<'framework_get_subsystems'>>().toEqualTypeOf<
      { subsystem: string; depends_on: string[] }[]
    >();
    expectTypeOf<ResultOf<'bdev_malloc_create'>>().toEqualTypeOf<string>();
    expectTypeOf<'no_such_method'>().not.toExtend<MethodName>();
    expectTypeOf<ResultOf<'bdev_get_bdevs'>[number]['supported_io_types']>().toEqualTypeOf<
      Record<string, boolean>
    >();
  });
});
