import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  type BdevSpec,
  Errno,
  IoType,
  ioTypeMask,
  uuidOf,
  wearZone,
} from '@spdk-ts/bdev';
import { releaseSharedMemory, type SharedMemory } from '@spdk-ts/env';
import { Logger } from '@spdk-ts/log';
import { derivedSpec, type StackedContext, type StackedKind, StackedModule } from '@spdk-ts/vbdev';
import type { ZoneBlockContext } from './context.ts';
import { methods } from './schema.ts';
import { commitState, openState, saveState, type ZoneBlockParams } from './state-control.ts';

const MODULE = 'zone_block';
const FLAG = 'vbdev_zone_block';
const TYPES = ioTypeMask(
  IoType.READ,
  IoType.WRITE,
  IoType.FLUSH,
  IoType.RESET,
  IoType.ABORT,
  IoType.GET_ZONE_INFO,
  IoType.ZONE_MANAGEMENT,
  IoType.ZONE_APPEND,
);
const log = new Logger(FLAG);

function checkBase({ name, zoned, md_size, io_types }: BdevDescription): void {
  const why = zoned
    ? 'is zoned already'
    : md_size > 0
      ? `has ${md_size} bytes of metadata in each block`
      : (io_types & (1 << IoType.WRITE)) === 0
        ? 'cannot be written'
        : null;
  if (why !== null) throw new BdevError(Errno.EINVAL, `bdev ${name} ${why}; give another base_bdev`);
}

/** `formats`: names of bdevs whose base is to be formatted. */
function kindOf(bdevs: BdevRegistry, formats: Set<string>): StackedKind<ZoneBlockParams> {
  /** Memory of what was made by name, until it is gone. */
  const images = new Map<string, SharedMemory>();
  const release = (name: string): void => {
    const image = images.get(name);
    if (image !== undefined) releaseSharedMemory(image);
    images.delete(name);
  };

  async function specs(
    params: ZoneBlockParams,
    base: BdevDescription,
    common: StackedContext,
  ): Promise<BdevSpec[]> {
    checkBase(base);
    // Before anything is formatted for it.
    if (bdevs.get(params.name) !== undefined)
      throw new BdevError(
        Errno.EEXIST,
        `there is a bdev called "${params.name}" already; choose another name`,
      );
    // Of one that could not be registered.
    release(params.name);
    const stored = await openState(bdevs, params, base, formats.delete(params.name));
    images.set(params.name, stored.image);
    const { layout } = stored;
    const context: ZoneBlockContext = { ...common, ...stored, offset_blocks: layout.first_block };
    return [
      derivedSpec(base, {
        name: params.name,
        product_name: MODULE,
        uuid: uuidOf(`${MODULE} ${base.uuid}`),
        num_blocks: layout.num_zones * layout.zone_size,
        // Not the base's write zeroes: the layer would make unmaps of them, and move write pointers.
        io_types: TYPES,
        reads_in_place: false,
        writes_at_once: false,
        zoned: true,
        zone_size: layout.zone_size,
        max_zone_append_size: layout.zone_capacity,
        optimal_open_zones: params.optimal_open_zones,
        context,
      }),
    ];
  }
  return {
    module: MODULE,
    flag: FLAG,
    follows_size: false,
    base: ({ base_bdev }) => base_bdev,
    key: ({ name }) => name,
    specs,
    async gone({ name, context }) {
      try {
        await saveState(bdevs, context as ZoneBlockContext);
      } catch (error) {
        log.error(
          `bdev ${name} could not save what was written since its last flush: ${(error as Error).message}`,
        );
      }
      release(name);
    },
    calls: ({ name, base_bdev, zone_capacity, optimal_open_zones }) => [
      {
        method: 'bdev_zone_block_create',
        params: { name, base_bdev, zone_capacity, optimal_open_zones },
      },
    ],
    async wearZone({ id, context }, zone_id, state) {
      await wearZone((context as ZoneBlockContext).zones, zone_id, state);
      await commitState(bdevs, id);
    },
    info: ({ name, context, optimal_open_zones }) => {
      const { base_name, layout } = context as ZoneBlockContext;
      const { zone_capacity } = layout;
      return { zoned_block: { name, base_bdev: base_name, zone_capacity, optimal_open_zones } };
    },
  };
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    const formats = new Set<string>();
    const module = new StackedModule(bdevs, kindOf(bdevs, formats));
    bdevs.registerModule(module);
    rpc.register('bdev_zone_block_create', async ({ format, ...params }) => {
      for (const key of ['zone_capacity', 'optimal_open_zones'] as const)
        if (params[key] === 0) throw new BdevError(Errno.EINVAL, `${key} is 0; give at least 1`);
      // One of a bdev that waits for its base is not to be forgotten for another that cannot be made.
      const first = format === true && !formats.has(params.name);
      if (first) formats.add(params.name);
      try {
        await module.create(params);
      } catch (error) {
        if (first) formats.delete(params.name);
        throw error;
      }
      return params.name;
    });
    rpc.register('bdev_zone_block_delete', async ({ name }) => {
      formats.delete(name);
      await module.delete(name, new BdevError(Errno.ENODEV, `no zone_block bdev has the name "${name}"`));
      return true;
    });
  },
};
export default plugin;
