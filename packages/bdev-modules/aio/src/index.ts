import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  Errno,
} from '@spdk-ts/bdev';
import { aioUnavailable, closeFileBdev, createFileBdev, rescanFileBdev } from '@spdk-ts/file-io';
import type { AioContext } from './context.ts';
import { methods } from './schema.ts';

const MODULE = 'aio';

interface CreateParams {
  readonly name: string;
  readonly filename: string;
  readonly block_size?: number;
  readonly readonly?: boolean;
  readonly fallocate?: boolean;
  readonly uuid?: string;
  readonly nowait?: boolean;
}

async function create(bdevs: BdevRegistry, params: CreateParams): Promise<BdevDescription> {
  const { name, filename, block_size, uuid, readonly = false, fallocate = false, nowait = false } = params;
  const why = aioUnavailable();
  if (why !== '')
    throw new BdevError(
      Errno.ENOTSUP,
      `bdev ${name} needs kernel AIO (${why}); use bdev_file_create, which does without`,
    );
  return await createFileBdev(bdevs, {
    ...{ module: MODULE, product_name: 'AIO disk', name, filename, block_size, readonly, uuid },
    ...{ direct: true, ranges: fallocate },
    more: { fallocate, nowait, block_size_override: block_size !== undefined },
  });
}

function config(description: BdevDescription): { method: string; params: Record<string, unknown> }[] {
  const { filename, readonly, fallocate, nowait, block_size_override } = description.context as AioContext;
  const { name, block_size, uuid } = description;
  const params = {
    ...{ name, ...(block_size_override && { block_size }), filename, readonly, fallocate, uuid },
    ...(nowait && { nowait }),
  };
  return [{ method: 'bdev_aio_create', params }];
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  capabilities() {
    const unavailable = aioUnavailable();
    return [
      { name: 'kernel_aio', unavailable },
      { name: 'bdev_aio', unavailable },
    ];
  },
  setup({ bdevs, rpc }: BdevPluginContext) {
    bdevs.registerModule({
      name: MODULE,
      destroy: closeFileBdev,
      config,
      info(description) {
        const context = description.context as AioContext;
        const { filename, readonly, fallocate, nowait, direct, block_size_override } = context;
        return { aio: { filename, block_size_override, readonly, fallocate, nowait, direct } };
      },
    });
    rpc.register('bdev_aio_create', async (params) => (await create(bdevs, params)).name);
    rpc.register('bdev_aio_rescan', async ({ name }) => {
      await rescanFileBdev(bdevs, MODULE, name);
      return true;
    });
    rpc.register('bdev_aio_delete', async ({ name }) => {
      await bdevs.unregister(name, MODULE);
      return true;
    });
  },
};
export default plugin;
