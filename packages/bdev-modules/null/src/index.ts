import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  checkBlockSize,
  checkNumber,
  Errno,
  IoType,
  ioTypeMask,
} from '@spdk-ts/bdev';
import type { NullContext } from './context.ts';
import { methods } from './schema.ts';

const MODULE = 'null';
const MIB = 1024 * 1024;
const TYPES = ioTypeMask(IoType.READ, IoType.WRITE, IoType.WRITE_ZEROES, IoType.RESET, IoType.ABORT);

interface CreateParams extends Partial<NullContext> {
  readonly name: string;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly uuid?: string;
  readonly md_size?: number;
  readonly dif_type?: number;
}

/** bdev_null_create. Rejects with BdevError. */
export async function createNull(bdevs: BdevRegistry, params: CreateParams): Promise<BdevDescription> {
  checkBlockSize(params.block_size);
  for (const key of ['md_size', 'dif_type'] as const)
    if (params[key])
      throw new BdevError(
        Errno.EINVAL,
        `${key} is ${params[key]}; metadata is not supported yet, leave it out`,
      );
  const physical = params.physical_block_size ?? 0;
  if (physical % 512 !== 0)
    throw new BdevError(Errno.EINVAL, `physical_block_size is ${physical}; give a multiple of 512 (bytes)`);
  const context: NullContext = {
    physical_block_size: physical || params.block_size,
    preferred_write_granularity: params.preferred_write_granularity ?? 0,
    preferred_write_alignment: params.preferred_write_alignment ?? 0,
    optimal_write_size: params.optimal_write_size ?? 0,
    preferred_unmap_granularity: params.preferred_unmap_granularity ?? 0,
    preferred_unmap_alignment: params.preferred_unmap_alignment ?? 0,
  };
  const { name, uuid, block_size, num_blocks } = params;
  return await bdevs.register(MODULE, {
    ...context,
    ...{ name, uuid, block_size, num_blocks, context },
    product_name: 'Null disk',
    io_types: TYPES,
    reads_in_place: true,
    writes_at_once: true,
  });
}

function config(description: BdevDescription): { method: string; params: Record<string, unknown> }[] {
  const context = description.context as NullContext;
  const params = {
    name: description.name,
    num_blocks: description.num_blocks,
    block_size: description.block_size,
    physical_block_size: context.physical_block_size,
    md_size: 0,
    dif_type: 0,
    dif_is_head_of_md: false,
    dif_pi_format: 0,
    uuid: description.uuid,
    preferred_write_granularity: context.preferred_write_granularity,
    preferred_write_alignment: context.preferred_write_alignment,
    optimal_write_size: context.optimal_write_size,
    preferred_unmap_granularity: context.preferred_unmap_granularity,
    preferred_unmap_alignment: context.preferred_unmap_alignment,
  };
  return [{ method: 'bdev_null_create', params }];
}

/** As SPDK: a null bdev only grows. */
async function resize(bdevs: BdevRegistry, name: string, new_size: number): Promise<void> {
  const description = bdevs.get(name);
  if (description === undefined) throw new BdevError(Errno.ENODEV, `no bdev has the name "${name}"`);
  if (description.module !== MODULE)
    throw new BdevError(Errno.EINVAL, `bdev ${name} is a ${description.product_name}, not a null bdev`);
  const size_mib = Math.floor((description.num_blocks * description.block_size) / MIB);
  if (new_size < size_mib)
    throw new BdevError(
      Errno.EINVAL,
      `new_size is ${new_size} MiB, less than the ${size_mib} MiB that bdev ${name} has; a null bdev only grows`,
    );
  checkNumber('new_size', new_size, 1, Math.floor(Number.MAX_SAFE_INTEGER / MIB));
  await bdevs.resize(name, Math.floor((new_size * MIB) / description.block_size));
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    bdevs.registerModule({ name: MODULE, destroy: () => {}, config });
    rpc.register('bdev_null_create', async (params) => (await createNull(bdevs, params)).name);
    rpc.register('bdev_null_delete', async ({ name }) => {
      await bdevs.unregister(name, MODULE);
      return true;
    });
    rpc.register('bdev_null_resize', async ({ name, new_size }) => {
      await resize(bdevs, name, new_size);
      return true;
    });
  },
};
export default plugin;
