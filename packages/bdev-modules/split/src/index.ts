import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevSpec,
  Errno,
  uuidOf,
} from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import { RpcError, rpcCode } from '@spdk-ts/rpc';
import { derivedSpec, type StackedContext, type StackedKind, StackedModule } from '@spdk-ts/vbdev';
import { methods } from './schema.ts';

const MODULE = 'split';
const MIB = 1024 * 1024;
const log = new Logger('vbdev_split');

interface CreateParams {
  readonly base_bdev: string;
  readonly split_count: number;
  readonly split_size_mb?: number;
}

/** Size of each part in blocks. Throws BdevError EINVAL. */
function partBlocks({ split_count, split_size_mb }: CreateParams, base: BdevDescription): number {
  const { name, block_size, num_blocks } = base;
  if (!split_size_mb) {
    if (split_count > num_blocks)
      throw new BdevError(
        Errno.EINVAL,
        `split_count is ${split_count}, but bdev ${name} has only ${num_blocks} blocks`,
      );
    return Math.floor(num_blocks / split_count);
  }
  const blocks = (split_size_mb * MIB) / block_size;
  if (blocks > num_blocks)
    throw new BdevError(
      Errno.EINVAL,
      `split_size_mb is ${split_size_mb}, but bdev ${name} has only ${Math.floor((num_blocks * block_size) / MIB)} MiB`,
    );
  return blocks;
}

function specs(params: CreateParams, base: BdevDescription, context: StackedContext): BdevSpec[] {
  const num_blocks = partBlocks(params, base);
  const room = Math.floor(base.num_blocks / num_blocks);
  if (params.split_count > room)
    log.warn(
      `bdev ${base.name} has room for ${room} parts of ${num_blocks} blocks, not for ${params.split_count}: ${room} are made`,
    );
  return Array.from({ length: Math.min(params.split_count, room) }, (_, index) => {
    const offset_blocks = index * num_blocks;
    return derivedSpec(base, {
      name: `${params.base_bdev}p${index}`,
      product_name: 'Split Disk',
      uuid: uuidOf(`${MODULE} ${base.uuid} ${offset_blocks} ${num_blocks}`),
      num_blocks,
      context: { ...context, offset_blocks },
    });
  });
}

const kind: StackedKind<CreateParams> = {
  module: MODULE,
  flag: 'vbdev_split',
  follows_size: false,
  base: ({ base_bdev }) => base_bdev,
  key: ({ base_bdev }) => base_bdev,
  specs,
  calls: ({ base_bdev, split_count, split_size_mb = 0 }) => [
    { method: 'bdev_split_create', params: { base_bdev, split_count, split_size_mb } },
  ],
  info: ({ context }) => {
    const { base_name, offset_blocks } = context as StackedContext;
    return { split: { base_bdev: base_name, offset_blocks } };
  },
};

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    const module = new StackedModule(bdevs, kind);
    bdevs.registerModule(module);
    rpc.register('bdev_split_create', async (params) => {
      const { base_bdev, split_count } = params;
      // SPDK answers every failure of this method with this code and these first words.
      const refused = (why: string): Error =>
        new RpcError(
          rpcCode.invalidParams,
          `Failed to create ${split_count} split bdevs from '${base_bdev}': ${why}`,
        );
      if (split_count === 0)
        throw refused('Invalid argument: split_count is 0; give the number of bdevs to make');
      try {
        return [...(await module.create(params))];
      } catch (error) {
        if (!(error instanceof BdevError)) throw error;
        throw refused(error.message);
      }
    });
    rpc.register('bdev_split_delete', async ({ base_bdev }) => {
      const { message } = new BdevError(Errno.ENOENT, `bdev "${base_bdev}" is not split`);
      await module.delete(base_bdev, new RpcError(rpcCode.invalidParams, message));
      return true;
    });
  },
};
export default plugin;
