import { totalmem } from 'node:os';
import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  type BdevSpec,
  checkMetadata,
  checkNumber,
  dataBlockSize,
  Errno,
  IoType,
  ioTypeMask,
  type MetadataParams,
  type WornZoneState,
  wearZone,
  type ZoneParams,
  zonedSpec,
  zoneParams,
  zonesFor,
} from '@spdk-ts/bdev';
import { allocateSharedMemory, releaseSharedMemory } from '@spdk-ts/env';
import { BlockLocks } from './block-locks.ts';
import { type MallocContext, SEGMENT_BYTES, type Segment } from './context.ts';
import { type KvCreateParams, kvConfig, kvInfo, kvSpec } from './kv-control.ts';
import { protectBlocks } from './protect-control.ts';
import { methods } from './schema.ts';

const MODULE = 'malloc';
const MIB = 1024 * 1024;
const TYPES = ioTypeMask(
  IoType.READ,
  IoType.WRITE,
  IoType.UNMAP,
  IoType.FLUSH,
  IoType.RESET,
  IoType.WRITE_ZEROES,
  IoType.COMPARE,
  IoType.ABORT,
  IoType.COPY,
  IoType.ZCOPY,
);

interface CreateParams extends MetadataParams, ZoneParams {
  readonly name?: string;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly uuid?: string;
  readonly optimal_io_boundary?: number;
  readonly physical_block_size?: number;
  readonly numa_id?: number;
}

/** Memory for `bytes`, in segments of whole pieces of `unit` bytes. The kernel commits it when it is first touched. */
function allocate(bytes: number, unit: number, nextRegion: () => number): Segment[] {
  if (bytes > totalmem())
    throw new BdevError(
      Errno.ENOMEM,
      `a malloc bdev of ${Math.ceil(bytes / MIB)} MiB does not fit into this machine's memory of ` +
        `${Math.floor(totalmem() / MIB)} MiB; give less num_blocks, or use a file bdev`,
    );
  const segments: Segment[] = [];
  const most = SEGMENT_BYTES - (SEGMENT_BYTES % unit);
  for (let left = bytes; left > 0; left -= most) {
    const size = Math.min(left, most);
    try {
      segments.push({ region: nextRegion(), memory: allocateSharedMemory(size), bytes: size });
    } catch (error) {
      throw new BdevError(
        Errno.ENOMEM,
        `${Math.ceil(bytes / MIB)} MiB of memory could not be had (${(error as Error).message}); give less num_blocks`,
      );
    }
  }
  return segments;
}

class MallocModule {
  readonly name = MODULE;
  private readonly bdevs: BdevRegistry;
  private names = 0;

  constructor(bdevs: BdevRegistry) {
    this.bdevs = bdevs;
  }

  private nextName(): string {
    while (this.bdevs.get(`Malloc${this.names}`) !== undefined) this.names++;
    return `Malloc${this.names++}`;
  }

  async create(params: CreateParams): Promise<BdevDescription> {
    const { block_size, num_blocks, uuid } = params;
    const metadata = checkMetadata(block_size, params);
    checkNumber('num_blocks', num_blocks, 1, Math.floor(Number.MAX_SAFE_INTEGER / metadata.block_size));
    const physical = params.physical_block_size ?? 0;
    if (physical % 512 !== 0)
      throw new BdevError(Errno.EINVAL, `physical_block_size is ${physical}; give a multiple of 512 (bytes)`);
    const zones = zonesFor({ ...params, md_size: metadata.md_size }, num_blocks);
    const locked = metadata.dif_type !== 0 || (metadata.md_size > 0 && !metadata.md_interleave);
    const context: MallocContext = {
      ...this.allocateBlocks(metadata, num_blocks),
      physical_block_size: physical || block_size,
      numa_id: params.numa_id ?? -1,
      locks: locked ? BlockLocks.allocate() : null,
      zones,
    };
    const spec: BdevSpec = {
      ...{ name: params.name ?? this.nextName(), uuid, num_blocks, context, ...metadata },
      product_name: 'Malloc disk',
      // What is changed in place would not be checked.
      ...zonedSpec(zones, metadata.md_size === 0 ? TYPES : TYPES & ~ioTypeMask(IoType.ZCOPY)),
      physical_block_size: context.physical_block_size,
      optimal_io_boundary: params.optimal_io_boundary ?? 0,
      // Separate metadata may be in another segment than their block: there is no place for both. What is read in place
      // may change before its user has checked it.
      reads_in_place: !locked,
      writes_at_once: true,
      unmap_zeroes: true,
    };
    try {
      await protectBlocks({ ...spec, ...metadata, ...context }, 0, num_blocks);
      return await this.bdevs.register(MODULE, spec);
    } catch (error) {
      release([...context.segments, ...context.md_segments]);
      throw error;
    }
  }

  private allocateBlocks(
    { block_size, md_size, md_interleave }: Pick<BdevDescription, 'block_size' | 'md_size' | 'md_interleave'>,
    blocks: number,
  ): Pick<MallocContext, 'segments' | 'md_segments'> {
    const region = (): number => this.bdevs.host.allocateRegionId();
    const segments = allocate(blocks * block_size, block_size, region);
    if (md_interleave || md_size === 0) return { segments, md_segments: [] };
    try {
      return { segments, md_segments: allocate(blocks * md_size, md_size, region) };
    } catch (error) {
      release(segments);
      throw error;
    }
  }

  async createKv(params: KvCreateParams): Promise<BdevDescription> {
    const spec = kvSpec(params.name ?? this.nextName(), params, (bytes) =>
      allocate(bytes, params.block_size, () => this.bdevs.host.allocateRegionId()),
    );
    try {
      return await this.bdevs.register(MODULE, spec);
    } catch (error) {
      release(spec.context.segments);
      throw error;
    }
  }

  async resize(name: string, new_size_mib: number): Promise<void> {
    const description = this.bdevs.get(name);
    if (description?.module !== MODULE)
      throw new BdevError(Errno.ENODEV, `no malloc bdev has the name "${name}"`);
    if (description.kv !== null)
      throw new BdevError(Errno.ENOTSUP, `bdev ${name} is a key-value bdev, which has the size it has`);
    checkNumber('new_size', new_size_mib, 1, Math.floor(Number.MAX_SAFE_INTEGER / MIB));
    const context = description.context as MallocContext;
    if (context.zones !== null)
      throw new BdevError(
        Errno.ENOTSUP,
        `bdev ${name} is zoned, and zones stay as they are; make another with bdev_malloc_create`,
      );
    const before = description.num_blocks;
    const after = Math.floor((new_size_mib * MIB) / dataBlockSize(description));
    const next = after > before ? this.grown(description, after - before) : shrunk(description, after);
    await protectBlocks({ ...description, ...next }, before, after);
    await this.bdevs.resize(name, after, { ...context, ...next });
    const kept = new Set([...next.segments, ...next.md_segments].map(({ region }) => region));
    release([...context.segments, ...context.md_segments].filter(({ region }) => !kept.has(region)));
  }

  private grown(
    description: BdevDescription,
    blocks: number,
  ): Pick<MallocContext, 'segments' | 'md_segments'> {
    const { segments, md_segments } = description.context as MallocContext;
    const more = this.allocateBlocks(description, blocks);
    return {
      segments: [...segments, ...more.segments],
      md_segments: [...md_segments, ...more.md_segments],
    };
  }

  config(description: BdevDescription): { method: string; params: Record<string, unknown> }[] {
    if (description.kv !== null) return [kvConfig(description)];
    const context = description.context as MallocContext;
    const params = {
      name: description.name,
      num_blocks: description.num_blocks,
      block_size: dataBlockSize(description),
      physical_block_size: context.physical_block_size,
      uuid: description.uuid,
      optimal_io_boundary: description.optimal_io_boundary,
      md_size: description.md_size,
      ...(description.md_interleave && { md_interleave: true }),
      dif_type: description.dif_type,
      dif_is_head_of_md: description.dif_is_head_of_md,
      dif_pi_format: description.dif_pi_format,
      numa_id: context.numa_id,
      ...zoneParams(context.zones),
    };
    return [{ method: 'bdev_malloc_create', params }];
  }

  async wearZone({ context }: BdevDescription, zone_id: number, state: WornZoneState): Promise<void> {
    await wearZone((context as MallocContext).zones!, zone_id, state);
  }

  info(description: BdevDescription): Record<string, unknown> {
    return description.kv === null ? {} : kvInfo(description);
  }

  destroy(description: BdevDescription): void {
    const { segments, md_segments } = description.context as MallocContext;
    release([...segments, ...md_segments]);
  }
}

function release(segments: readonly Segment[]): void {
  for (const { memory } of segments) releaseSharedMemory(memory);
}

/** What holds the first blocks. */
function shrunk(
  description: BdevDescription,
  blocks: number,
): Pick<MallocContext, 'segments' | 'md_segments'> {
  const { segments, md_segments } = description.context as MallocContext;
  return {
    segments: cut(segments, blocks * description.block_size),
    md_segments: cut(md_segments, blocks * description.md_size),
  };
}

/** The segments that hold the first `bytes`. */
function cut(segments: readonly Segment[], bytes: number): Segment[] {
  const kept: Segment[] = [];
  let left = bytes;
  for (const segment of segments) {
    if (left <= 0) break;
    const used = Math.min(left, segment.bytes);
    kept.push({ ...segment, bytes: used });
    left -= used;
  }
  return kept;
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    const module = new MallocModule(bdevs);
    bdevs.registerModule(module);
    rpc.register('bdev_malloc_create', async (params) => (await module.create(params)).name);
    rpc.register('bdev_malloc_kv_create', async (params) => (await module.createKv(params)).name);
    rpc.register('bdev_malloc_delete', async ({ name }) => {
      await bdevs.unregister(name, MODULE);
      return true;
    });
    rpc.register('bdev_malloc_resize', async ({ name, new_size }) => {
      await module.resize(name, new_size);
      return true;
    });
  },
};
export default plugin;
