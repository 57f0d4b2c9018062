import { errnoError } from '@spdk-ts/rpc';
import type { Application } from '../application.ts';
import type { Subsystem } from '../plugin.ts';

const IMPLEMENTATION = 'posix';

/** sock_*: one implementation, whose kernel buffers and options Node.js leaves at the system's defaults. */
export function registerSockRpcs({ rpc }: Application): Subsystem {
  const options = {
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
  };
  const check = (impl_name: string): void => {
    if (impl_name !== IMPLEMENTATION)
      throw errnoError(
        'EINVAL',
        `impl_name is '${impl_name}': the only socket implementation is '${IMPLEMENTATION}'`,
      );
  };
  rpc.register('sock_impl_get_options', ({ impl_name }) => {
    check(impl_name);
    return { ...options };
  });
  rpc.register('sock_impl_set_options', ({ impl_name, ...changes }) => {
    check(impl_name);
    for (const name of ['enable_zerocopy_send_server', 'enable_zerocopy_send_client', 'enable_ktls'] as const)
      if (changes[name] === true)
        throw errnoError(
          'ENOTSUP',
          `${name} is true: the ${IMPLEMENTATION} sockets of Node.js cannot do that`,
        );
    Object.assign(options, changes);
    return true;
  });
  rpc.register('sock_set_default_impl', ({ impl_name }) => {
    check(impl_name);
    return true;
  });
  rpc.register('sock_get_default_impl', () => ({ impl_name: IMPLEMENTATION }));
  return {
    name: 'sock',
    depends_on: [],
    config: () => [
      { method: 'sock_set_default_impl', params: { impl_name: IMPLEMENTATION } },
      { method: 'sock_impl_set_options', params: { impl_name: IMPLEMENTATION, ...options } },
    ],
  };
}
