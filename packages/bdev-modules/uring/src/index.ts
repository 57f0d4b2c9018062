import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  Errno,
} from '@spdk-ts/bdev';
import { closeFileBdev, createFileBdev, rescanFileBdev, ringUnavailable } from '@spdk-ts/file-io';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { UringContext } from './context.ts';
import { methods } from './schema.ts';

const MODULE = 'uring';

interface CreateParams {
  readonly filename: string;
  readonly name: string;
  readonly block_size?: number;
  readonly readonly?: boolean;
  readonly io_poll?: boolean;
  readonly sq_poll?: boolean;
  readonly uuid?: string;
}

async function create(
  host: ReactorHost,
  bdevs: BdevRegistry,
  params: CreateParams,
): Promise<BdevDescription> {
  const { name, filename, block_size, readonly = false, io_poll = false, sq_poll = false, uuid } = params;
  if (io_poll && sq_poll)
    throw new BdevError(
      Errno.EINVAL,
      'io_poll and sq_poll are rings of two kinds, and a bdev has its data in one of them: leave one out',
    );
  const why = await ringUnavailable(host);
  if (why !== '')
    throw new BdevError(
      Errno.ENOTSUP,
      `bdev ${name} needs io_uring, which the reactors do not have (${why}); use bdev_file_create, which does without`,
    );
  return await createFileBdev(bdevs, {
    ...{ module: MODULE, product_name: 'URING bdev', name, filename, block_size, readonly, uuid },
    ...{ direct: true, needsDirect: io_poll, ranges: true, zoned: true, more: { io_poll, sq_poll } },
  });
}

function config(description: BdevDescription): { method: string; params: Record<string, unknown> }[] {
  const { filename, readonly, io_poll, sq_poll } = description.context as UringContext;
  const { name, block_size, uuid } = description;
  const options = { ...(readonly && { readonly }), ...(io_poll && { io_poll }), ...(sq_poll && { sq_poll }) };
  const params = { name, block_size, filename, ...options, uuid };
  return [{ method: 'bdev_uring_create', params }];
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  async capabilities(host) {
    return [{ name: 'bdev_uring', unavailable: await ringUnavailable(host) }];
  },
  setup({ host, bdevs, rpc }: BdevPluginContext) {
    bdevs.registerModule({
      name: MODULE,
      destroy: closeFileBdev,
      config,
      info(description) {
        const { filename, readonly, direct, io_poll, sq_poll } = description.context as UringContext;
        return { uring: { filename, readonly, direct, io_poll, sq_poll } };
      },
    });
    rpc.register('bdev_uring_create', async (params) => (await create(host, bdevs, params)).name);
    rpc.register('bdev_uring_rescan', async ({ name }) => {
      await rescanFileBdev(bdevs, MODULE, name);
      return true;
    });
    rpc.register('bdev_uring_delete', async ({ name }) => {
      await bdevs.unregister(name, MODULE);
      return true;
    });
  },
};
export default plugin;
