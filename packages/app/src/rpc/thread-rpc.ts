import { parseCpuset, TICK_RATE } from '@spdk-ts/env';
import type { ThreadChannels, ThreadPollers, ThreadStats } from '@spdk-ts/reactor';
import { errnoError, invalidParams } from '@spdk-ts/rpc';
import type { Application } from '../application.ts';

/** The thread_* family. Shapes are decoded strictly by clients: see the reactor package's statistics. */
export function registerThreadRpcs({ rpc, host }: Application): void {
  const gather = async <T>(method: string): Promise<T[]> =>
    ((await host.broadcast('reactor', method)) as T[][]).flat();

  rpc.register('thread_get_stats', async () => ({
    tick_rate: TICK_RATE,
    threads: await gather<ThreadStats>('threadStats'),
  }));
  rpc.register('thread_get_pollers', async () => ({
    tick_rate: TICK_RATE,
    threads: await gather<ThreadPollers>('threadPollers'),
  }));
  rpc.register('thread_get_io_channels', async () => ({
    tick_rate: TICK_RATE,
    threads: await gather<ThreadChannels>('threadChannels'),
  }));
  rpc.register('thread_set_cpumask', async ({ id, cpumask }) => {
    let cores: number[];
    try {
      cores = parseCpuset(cpumask);
    } catch (error) {
      throw invalidParams(`cpumask: ${(error as Error).message}`, 'cpumask');
    }
    const stats = (await host.broadcast('reactor', 'threadStats')) as ThreadStats[][];
    const reactor = stats.findIndex((threads) => threads.some((thread) => thread.id === id));
    if (reactor < 0)
      throw errnoError('ENOENT', `id is ${id}: there is no such thread (thread_get_stats lists them)`);
    const lcore = host.reactors[reactor]!.lcore;
    if (!cores.includes(lcore))
      throw errnoError(
        'ENOTSUP',
        `cpumask '${cpumask}' leaves out core ${lcore}, where the thread runs: threads do not move between reactors`,
      );
    return (await host.call(reactor, 'reactor', 'setCpumask', { id, cores })) as boolean;
  });
}
