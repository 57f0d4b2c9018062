import { totalmem } from 'node:os';
import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  type BdevSpec,
  checkBlockSize,
  checkNumber,
  Errno,
  IoType,
  ioTypeMask,
} from '@spdk-ts/bdev';
import { allocateSharedMemory, releaseSharedMemory } from '@spdk-ts/env';
import { type MallocContext, SEGMENT_BYTES, type Segment } from './context.ts';
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

interface CreateParams {
  readonly name?: string;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly uuid?: string;
  readonly optimal_io_boundary?: number;
  readonly physical_block_size?: number;
  readonly md_size?: number;
  readonly dif_type?: number;
  readonly numa_id?: number;
}

/** Memory for `bytes`, in segments. The kernel commits it when it is first touched. */
function allocate(bytes: number, nextRegion: () => number): Segment[] {
  if (bytes > totalmem())
    throw new BdevError(
      Errno.ENOMEM,
      `a malloc bdev of ${Math.ceil(bytes / MIB)} MiB does not fit into this machine's memory of ` +
        `${Math.floor(totalmem() / MIB)} MiB; give less num_blocks, or use a file bdev`,
    );
  const segments: Segment[] = [];
  for (let left = bytes; left > 0; left -= SEGMENT_BYTES) {
    const size = Math.min(left, SEGMENT_BYTES);
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
    checkBlockSize(block_size);
    checkNumber('num_blocks', num_blocks, 1, Math.floor(Number.MAX_SAFE_INTEGER / block_size));
    for (const key of ['md_size', 'dif_type'] as const)
      if (params[key])
        throw new BdevError(
          Errno.EINVAL,
          `${key} is ${params[key]}; metadata is not supported yet, leave it out`,
        );
    const physical = params.physical_block_size ?? 0;
    if (physical % 512 !== 0)
      throw new BdevError(Errno.EINVAL, `physical_block_size is ${physical}; give a multiple of 512 (bytes)`);
    const context: MallocContext = {
      segments: allocate(block_size * num_blocks, () => this.bdevs.host.allocateRegionId()),
      physical_block_size: physical || block_size,
      numa_id: params.numa_id ?? -1,
    };
    const spec: BdevSpec = {
      ...{ name: params.name ?? this.nextName(), uuid, block_size, num_blocks, context },
      product_name: 'Malloc disk',
      io_types: TYPES,
      physical_block_size: context.physical_block_size,
      optimal_io_boundary: params.optimal_io_boundary ?? 0,
      reads_in_place: true,
      writes_at_once: true,
    };
    try {
      return await this.bdevs.register(MODULE, spec);
    } catch (error) {
      release(context.segments);
      throw error;
    }
  }

  async resize(name: string, new_size_mib: number): Promise<void> {
    const description = this.bdevs.get(name);
    if (description?.module !== MODULE)
      throw new BdevError(Errno.ENODEV, `no malloc bdev has the name "${name}"`);
    checkNumber('new_size', new_size_mib, 1, Math.floor(Number.MAX_SAFE_INTEGER / MIB));
    const context = description.context as MallocContext;
    const before = description.num_blocks * description.block_size;
    const after = new_size_mib * MIB;
    const segments =
      after > before
        ? [...context.segments, ...allocate(after - before, () => this.bdevs.host.allocateRegionId())]
        : cut(context.segments, after);
    await this.bdevs.resize(name, after / description.block_size, { ...context, segments });
    const kept = new Set(segments.map(({ region }) => region));
    release(context.segments.filter(({ region }) => !kept.has(region)));
  }

  config(description: BdevDescription): { method: string; params: Record<string, unknown> }[] {
    const context = description.context as MallocContext;
    const params = {
      name: description.name,
      num_blocks: description.num_blocks,
      block_size: description.block_size,
      physical_block_size: context.physical_block_size,
      uuid: description.uuid,
      optimal_io_boundary: description.optimal_io_boundary,
      md_size: 0,
      dif_type: 0,
      dif_is_head_of_md: false,
      dif_pi_format: 0,
      numa_id: context.numa_id,
    };
    return [{ method: 'bdev_malloc_create', params }];
  }

  destroy(description: BdevDescription): void {
    release((description.context as MallocContext).segments);
  }
}

function release(segments: readonly Segment[]): void {
  for (const { memory } of segments) releaseSharedMemory(memory);
}

/** The segments that hold the first `bytes`. */
function cut(segments: readonly Segment[], bytes: number): Segment[] {
  const kept: Segment[] = [];
  let left = bytes;
  for (const segment of segments) {
    if (left === 0) break;
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
