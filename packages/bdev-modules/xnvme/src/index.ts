import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  Errno,
} from '@spdk-ts/bdev';
import { aioUnavailable, closeFileBdev, createFileBdev, notPolled, ringUnavailable } from '@spdk-ts/file-io';
import type { ReactorHost } from '@spdk-ts/reactor';
import { type CommandContext, type IoMechanism, mechanisms, type XnvmeOptions } from './context.ts';
import { createNamespaceBdev } from './namespace-control.ts';
import { methods } from './schema.ts';

const MODULE = 'xnvme';
const REGULAR_BLOCK_BYTES = 512;

interface CreateParams {
  readonly filename: string;
  readonly name: string;
  readonly io_mechanism: string;
  readonly conserve_cpu?: boolean;
  readonly block_size?: number;
  readonly uuid?: string;
}

function mechanismOf(name: string): IoMechanism {
  const found = mechanisms.find((known) => known === name);
  if (found !== undefined) return found;
  throw new BdevError(Errno.EINVAL, `io_mechanism is "${name}"; give one of ${mechanisms.join(', ')}`);
}

/** Why a mechanism is not to be had on this machine; empty if it is. */
async function unavailable(host: ReactorHost, io_mechanism: IoMechanism): Promise<string> {
  if (io_mechanism === 'libaio') return aioUnavailable();
  const why = await ringUnavailable(host);
  return why === '' ? '' : `the reactors have no io_uring: ${why}`;
}

/** Why completions are not looked for in the device; empty if they are. */
function whyNotPolled({ filename, conserve_cpu }: CreateParams, io_mechanism: IoMechanism): string {
  if (conserve_cpu) return 'conserve_cpu is true';
  if (io_mechanism === 'libaio') return 'libaio has no polled completions';
  return notPolled(filename);
}

async function create(
  host: ReactorHost,
  bdevs: BdevRegistry,
  params: CreateParams,
): Promise<BdevDescription> {
  const { name, filename, conserve_cpu = false, block_size, uuid } = params;
  const io_mechanism = mechanismOf(params.io_mechanism);
  const why = await unavailable(host, io_mechanism);
  if (why !== '')
    throw new BdevError(
      Errno.ENOTSUP,
      `bdev ${name} cannot use ${io_mechanism} (${why}); use bdev_file_create, which does without`,
    );
  if (io_mechanism === 'io_uring_cmd') return await createNamespaceBdev(bdevs, { ...params, conserve_cpu });
  const not_polled = whyNotPolled(params, io_mechanism);
  const options: XnvmeOptions = {
    ...{ io_mechanism, conserve_cpu, polled: not_polled === '', not_polled },
    block_size_override: block_size !== undefined,
  };
  return await createFileBdev(bdevs, {
    ...{ module: MODULE, product_name: 'xNVMe bdev', name, filename, block_size, uuid },
    ...{ regular_block_size: REGULAR_BLOCK_BYTES, readonly: false, direct: true, ranges: true },
    zoned: io_mechanism === 'io_uring',
    more: { ...options, ...(io_mechanism === 'libaio' && { fallocate: true, nowait: false }) },
  });
}

function config(description: BdevDescription): { method: string; params: Record<string, unknown> }[] {
  const context = description.context as CommandContext;
  const { filename, io_mechanism, conserve_cpu, block_size_override } = context;
  const { name, block_size, uuid } = description;
  const given = block_size_override && { block_size };
  return [
    {
      method: 'bdev_xnvme_create',
      params: { name, filename, io_mechanism, conserve_cpu, ...given, uuid },
    },
  ];
}

function info({ context }: BdevDescription): Record<string, unknown> {
  const { filename, io_mechanism, conserve_cpu, polled, not_polled, ...more } = context as CommandContext;
  const namespace = io_mechanism === 'io_uring_cmd' && { nsid: more.nsid, csi: more.csi };
  return {
    xnvme: { filename, io_mechanism, conserve_cpu, polled, ...(!polled && { not_polled }), ...namespace },
  };
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  async capabilities(host) {
    return [
      { name: 'bdev_xnvme_libaio', unavailable: await unavailable(host, 'libaio') },
      { name: 'bdev_xnvme_io_uring', unavailable: await unavailable(host, 'io_uring') },
    ];
  },
  setup({ host, bdevs, rpc }: BdevPluginContext) {
    bdevs.registerModule({ name: MODULE, destroy: closeFileBdev, config, info });
    rpc.register('bdev_xnvme_create', async (params) => (await create(host, bdevs, params)).name);
    rpc.register('bdev_xnvme_delete', async ({ name }) => {
      await bdevs.unregister(name, MODULE);
      return true;
    });
  },
};
export default plugin;
