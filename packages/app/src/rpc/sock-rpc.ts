import { readFileSync } from 'node:fs';
import { errnoError } from '@spdk-ts/rpc';
import { sockImplementations } from '@spdk-ts/sock';
import type { Application } from '../application.ts';
import type { Subsystem } from '../plugin.ts';

/** A limit of the kernel's, or 0 where it does not tell. */
function systemLimit(name: string): number {
  try {
    return Number(readFileSync(`/proc/sys/net/core/${name}`, 'utf8'));
  } catch {
    return 0;
  }
}

/**
 * sock_*: the implementations of sockets. Sizes of buffers are the system's with `posix`, and with `uring` where the
 * system's limit is below them: what it allows would be less than what it takes by itself.
 */
export async function registerSockRpcs({ rpc, host, log }: Application): Promise<Subsystem> {
  const uringUnavailable = (await host.call(0, 'reactor', 'uringUnavailable')) as string;
  const options = new Map(
    sockImplementations.map((name) => [
      name as string,
      {
        recv_buf_size: 2 * 1024 * 1024,
        send_buf_size: 2 * 1024 * 1024,
        enable_recv_pipe: true,
        enable_quickack: false,
        enable_placement_id: 0,
        enable_zerocopy_send_server: false,
        enable_zerocopy_send_client: false,
        zerocopy_threshold: 0,
        tls_version: 0,
        enable_ktls: false,
      },
    ]),
  );
  let current: string = uringUnavailable === '' ? 'uring' : 'posix';
  const optionsOf = (impl_name: string): Record<string, number | boolean> => {
    const found = options.get(impl_name);
    if (found !== undefined) return found;
    const names = sockImplementations.join(' and ');
    throw errnoError('EINVAL', `impl_name is '${impl_name}': the socket implementations are ${names}`);
  };
  const tellReactors = async (): Promise<void> => {
    const { send_buf_size, recv_buf_size, enable_quickack } = optionsOf('uring') as Options;
    await host.broadcast('sock', 'setOptions', {
      send_buf_size: send_buf_size <= systemLimit('wmem_max') ? send_buf_size : 0,
      recv_buf_size: recv_buf_size <= systemLimit('rmem_max') ? recv_buf_size : 0,
      enable_quickack,
    });
  };
  await tellReactors();
  type Options = typeof options extends Map<string, infer O> ? O : never;

  rpc.register('sock_impl_get_options', ({ impl_name }) => ({ ...(optionsOf(impl_name) as Options) }));
  rpc.register('sock_impl_set_options', async ({ impl_name, ...changes }) => {
    const found = optionsOf(impl_name);
    for (const name of ['enable_zerocopy_send_server', 'enable_zerocopy_send_client', 'enable_ktls'] as const)
      if (changes[name] === true)
        throw errnoError('ENOTSUP', `${name} is true: no socket implementation here can do that`);
    Object.assign(found, changes);
    await tellReactors();
    return true;
  });
  rpc.register('sock_set_default_impl', async ({ impl_name }) => {
    optionsOf(impl_name);
    if (impl_name === 'uring' && uringUnavailable !== '') {
      // A configuration that was saved where there is io_uring must load where there is none.
      log.warn(`socket implementation uring is not available (${uringUnavailable}): posix is used`);
      return true;
    }
    await host.broadcast('sock', 'setImplementation', impl_name);
    current = impl_name;
    return true;
  });
  rpc.register('sock_get_default_impl', () => ({ impl_name: current }));
  return {
    name: 'sock',
    depends_on: [],
    config: () => [
      { method: 'sock_set_default_impl', params: { impl_name: current } },
      ...[...options].map(([impl_name, values]) => ({
        method: 'sock_impl_set_options',
        params: { impl_name, ...values },
      })),
    ],
  };
}
