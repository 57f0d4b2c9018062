import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BufferPoolOptions, defaultBufferPool } from '@spdk-ts/env';
import { invalidParams } from '@spdk-ts/rpc';
import type { Application } from '../application.ts';
import type { Subsystem } from '../plugin.ts';

interface PoolStats extends BufferPoolOptions {
  small_free: number;
  large_free: number;
  small_retry: number;
  large_retry: number;
  small_gets: number;
  large_gets: number;
}

const ALIGNMENT = 4096;

/** iobuf_* and the memory report. The options are those of the whole process; each reactor has its share. */
export function registerMemoryRpcs(app: Application): Subsystem {
  const { rpc, host } = app;
  const options = {
    small_pool_count: defaultBufferPool.small_count,
    large_pool_count: defaultBufferPool.large_count,
    small_bufsize: defaultBufferPool.small_bytes,
    large_bufsize: defaultBufferPool.large_bytes,
    enable_numa: false,
  };

  rpc.register('iobuf_set_options', async (params) => {
    const wanted = { ...options, ...params };
    for (const name of ['small_bufsize', 'large_bufsize'] as const)
      if (wanted[name] === 0 || wanted[name] % ALIGNMENT !== 0)
        throw invalidParams(`${name} is ${wanted[name]}: it must be a multiple of ${ALIGNMENT} bytes`, name);
    for (const name of ['small_pool_count', 'large_pool_count'] as const)
      if (wanted[name] < host.reactors.length)
        throw invalidParams(`${name} is ${wanted[name]}: each reactor needs at least one buffer`, name);
    if (wanted.small_bufsize >= wanted.large_bufsize)
      throw invalidParams(
        `small_bufsize is ${wanted.small_bufsize}: it must be less than large_bufsize (${wanted.large_bufsize})`,
        'small_bufsize',
      );
    await host.broadcast('reactor', 'setPool', share(wanted, host.reactors.length));
    Object.assign(options, wanted);
    return true;
  });

  rpc.register('iobuf_get_stats', async () => {
    const pools = (await host.broadcast('reactor', 'buffers')) as PoolStats[];
    const sum = (pick: (pool: PoolStats) => number): number =>
      pools.reduce((total, pool) => total + pick(pool), 0);
    const stats = (gets: number, retry: number) => ({ cache: gets, main: 0, retry });
    return [
      {
        module: 'reactor',
        small_pool: stats(
          sum((p) => p.small_gets),
          sum((p) => p.small_retry),
        ),
        large_pool: stats(
          sum((p) => p.large_gets),
          sum((p) => p.large_retry),
        ),
      },
    ];
  });

  rpc.register('env_dpdk_get_mem_stats', async () => {
    const filename = join(tmpdir(), `spdk_mem_dump.${process.pid}.txt`);
    const pools = (await host.broadcast('reactor', 'buffers')) as PoolStats[];
    const report = { memory_bytes: process.memoryUsage(), buffers_by_reactor: pools };
    writeFileSync(filename, `${JSON.stringify(report, null, 2)}\n`);
    return { filename };
  });

  return {
    name: 'iobuf',
    depends_on: [],
    config: () => [{ method: 'iobuf_set_options', params: { ...options } }],
  };
}

function share(
  options: {
    small_pool_count: number;
    large_pool_count: number;
    small_bufsize: number;
    large_bufsize: number;
  },
  reactors: number,
): BufferPoolOptions {
  return {
    small_count: Math.floor(options.small_pool_count / reactors),
    small_bytes: options.small_bufsize,
    large_count: Math.floor(options.large_pool_count / reactors),
    large_bytes: options.large_bufsize,
  };
}
