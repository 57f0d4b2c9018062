import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  checkMetadata,
  checkNumber,
  dataBlockSize,
  Errno,
  IoType,
  ioTypeMask,
  type MetadataParams,
  wearZone,
  type ZoneParams,
  zonedSpec,
  zoneParams,
  zonesFor,
} from '@spdk-ts/bdev';
import type { NullContext } from './context.ts';
import { methods } from './schema.ts';

const MODULE = 'null';
const MIB = 1024 * 1024;
const TYPES = ioTypeMask(IoType.READ, IoType.WRITE, IoType.WRITE_ZEROES, IoType.RESET, IoType.ABORT);

interface CreateParams
  extends Partial<Omit<NullContext, 'zones'>>,
    Omit<MetadataParams, 'md_interleave'>,
    ZoneParams {
  readonly name: string;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly uuid?: string;
}

/** bdev_null_create. Rejects with BdevError. */
export async function createNull(bdevs: BdevRegistry, params: CreateParams): Promise<BdevDescription> {
  const metadata = checkMetadata(params.block_size, { ...params, md_interleave: true });
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
    zones: zonesFor({ ...params, md_size: metadata.md_size }, params.num_blocks),
  };
  const { name, uuid, num_blocks } = params;
  return await bdevs.register(MODULE, {
    ...context,
    ...{ name, uuid, num_blocks, context, ...metadata },
    product_name: 'Null disk',
    ...zonedSpec(context.zones, TYPES),
    // Protection information differs from block to block.
    reads_in_place: metadata.dif_type === 0,
    writes_at_once: true,
  });
}

function config(description: BdevDescription): { method: string; params: Record<string, unknown> }[] {
  const context = description.context as NullContext;
  const params = {
    name: description.name,
    num_blocks: description.num_blocks,
    block_size: dataBlockSize(description),
    physical_block_size: context.physical_block_size,
    md_size: description.md_size,
    dif_type: description.dif_type,
    dif_is_head_of_md: description.dif_is_head_of_md,
    dif_pi_format: description.dif_pi_format,
    uuid: description.uuid,
    preferred_write_granularity: context.preferred_write_granularity,
    preferred_write_alignment: context.preferred_write_alignment,
    optimal_write_size: context.optimal_write_size,
    preferred_unmap_granularity: context.preferred_unmap_granularity,
    preferred_unmap_alignment: context.preferred_unmap_alignment,
    ...zoneParams(context.zones),
  };
  return [{ method: 'bdev_null_create', params }];
}

/** As SPDK: a null bdev only grows. */
async function resize(bdevs: BdevRegistry, name: string, new_size: number): Promise<void> {
  const description = bdevs.get(name);
  if (description === undefined) throw new BdevError(Errno.ENODEV, `no bdev has the name "${name}"`);
  if (description.module !== MODULE)
    throw new BdevError(Errno.EINVAL, `bdev ${name} is a ${description.product_name}, not a null bdev`);
  if (description.zoned)
    throw new BdevError(
      Errno.ENOTSUP,
      `bdev ${name} is zoned, and zones stay as they are; make another with bdev_null_create`,
    );
  const block_size = dataBlockSize(description);
  const size_mib = Math.floor((description.num_blocks * block_size) / MIB);
  if (new_size < size_mib)
    throw new BdevError(
      Errno.EINVAL,
      `new_size is ${new_size} MiB, less than the ${size_mib} MiB that bdev ${name} has; a null bdev only grows`,
    );
  checkNumber('new_size', new_size, 1, Math.floor(Number.MAX_SAFE_INTEGER / MIB));
  await bdevs.resize(name, Math.floor((new_size * MIB) / block_size));
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    bdevs.registerModule({
      name: MODULE,
      destroy: () => {},
      config,
      wearZone: ({ context }, zone_id, state) => wearZone((context as NullContext).zones!, zone_id, state),
    });
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
