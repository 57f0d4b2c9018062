import { randomUUID } from 'node:crypto';
import { type BdevDescription, BdevError, type BdevRegistry, Errno } from '@spdk-ts/bdev';
import { allocateSharedMemory, releaseSharedMemory } from '@spdk-ts/env';
import { ZoneTable } from '@spdk-ts/zones';
import { COMMIT_WORD_BYTES, type StoredZones } from './context.ts';
import { decodeRecord, decodeSuperblock, pageGeneration } from './format.ts';
import { COPIES, type Layout, newLayout, pagesOf, SUPERBLOCKS } from './layout.ts';

export interface ZoneBlockParams {
  readonly name: string;
  readonly base_bdev: string;
  readonly zone_capacity: number;
  readonly optimal_open_zones: number;
}

function memoryFor(base_id: number, layout: Layout, region: number): StoredZones {
  const { num_zones, zone_size, zone_capacity, zones_per_page, block_size } = layout;
  const geometry = {
    ...{ num_zones, zone_size, zone_capacity, max_open_zones: 0, max_active_zones: 0 },
    zones_per_group: zones_per_page,
  };
  return {
    base_id,
    layout,
    zones: { geometry, memory: ZoneTable.allocate(geometry) },
    commits: new SharedArrayBuffer(COMMIT_WORD_BYTES + 8 * pagesOf(layout)),
    image: allocateSharedMemory((pagesOf(layout) + 1) * block_size),
    region,
  };
}

/**
 * The state of the zones on a base, which is formatted if it has none, or with `format`. Rejects with BdevError:
 * EINVAL for parameters that do not go with the base or its state, EIO if that cannot be read or written.
 */
export async function openState(
  bdevs: BdevRegistry,
  params: ZoneBlockParams,
  base: BdevDescription,
  format: boolean,
): Promise<StoredZones> {
  const found = format ? null : await findLayout(bdevs, params, base);
  if (found === null) {
    const id = randomUUID().replaceAll('-', '');
    const layout = newLayout(base, params.zone_capacity, params.optimal_open_zones, id);
    const stored = memoryFor(base.id, layout, bdevs.host.allocateRegionId());
    const table = new ZoneTable(stored.zones.geometry, stored.zones.memory);
    for (let page = 0; page < pagesOf(layout); page++) table.setChanged(page);
    try {
      await bdevs.host.call(0, 'bdev_zone_block', 'format', stored);
    } catch (error) {
      releaseSharedMemory(stored.image);
      throw BdevError.from(error);
    }
    return stored;
  }
  const stored = memoryFor(base.id, found, bdevs.host.allocateRegionId());
  try {
    await load(bdevs, base, stored);
  } catch (error) {
    releaseSharedMemory(stored.image);
    throw error;
  }
  return stored;
}

/** Brings what has changed, if anything has, to the base. Rejects with BdevError: ENODEV if that is gone, EIO. */
export async function saveState(bdevs: BdevRegistry, stored: StoredZones): Promise<void> {
  if (!new ZoneTable(stored.zones.geometry, stored.zones.memory).anyChanged) return;
  try {
    await bdevs.host.call(0, 'bdev_zone_block', 'save', stored);
  } catch (error) {
    throw BdevError.from(error);
  }
}

/** Makes the zones' state stable while the bdev is in use. Rejects with BdevError EIO. */
export async function commitState(bdevs: BdevRegistry, id: number): Promise<void> {
  try {
    await bdevs.host.call(0, 'bdev_zone_block', 'commit', { id });
  } catch (error) {
    throw BdevError.from(error);
  }
}

async function findLayout(
  bdevs: BdevRegistry,
  { zone_capacity }: ZoneBlockParams,
  base: BdevDescription,
): Promise<Layout | null> {
  const blocks = await bdevs.readBlocks(base.name, 0, Math.min(SUPERBLOCKS, base.num_blocks));
  const { block_size } = base;
  const invalid = (why: string): never => {
    throw new BdevError(
      Errno.EINVAL,
      `bdev ${base.name} holds zones, but ${why}; bdev_zone_block_create with format true starts it anew, without its data`,
    );
  };
  for (let at = 0; at < blocks.length; at += block_size) {
    let layout: Layout | null = null;
    try {
      layout = decodeSuperblock(blocks.subarray(at, at + block_size));
    } catch (error) {
      invalid((error as Error).message);
    }
    if (layout === null) continue;
    const end = layout.first_block + layout.num_zones * layout.zone_size;
    if (layout.block_size !== block_size)
      invalid(`with blocks of ${layout.block_size} bytes, and its own have ${block_size}`);
    if (end > base.num_blocks) invalid(`they take ${end} blocks, and it has ${base.num_blocks}`);
    if (layout.zone_capacity !== zone_capacity)
      invalid(`zone_capacity is ${zone_capacity}, and theirs is ${layout.zone_capacity}: give that`);
    return layout;
  }
  return null;
}

async function load(bdevs: BdevRegistry, base: BdevDescription, stored: StoredZones): Promise<void> {
  const { layout } = stored;
  const pages = pagesOf(layout);
  const blocks = await bdevs.readBlocks(base.name, SUPERBLOCKS, pages * COPIES);
  const generations = new Float64Array(stored.commits, COMMIT_WORD_BYTES);
  const table = new ZoneTable(stored.zones.geometry, stored.zones.memory);
  for (let page = 0; page < pages; page++) {
    let newest: Uint8Array | null = null;
    for (let copy = 0; copy < COPIES; copy++) {
      const at = (page * COPIES + copy) * layout.block_size;
      const block = blocks.subarray(at, at + layout.block_size);
      const generation = pageGeneration(block, layout, page);
      if (generation <= generations[page]!) continue;
      generations[page] = generation;
      newest = block;
    }
    const first = page * layout.zones_per_page;
    if (newest === null)
      throw new BdevError(
        Errno.EIO,
        `both copies of the state of zones ${first} and following on bdev ${base.name} are damaged: the medium has lost ` +
          'what was on it; bdev_zone_block_create with format true starts it anew, without its data',
      );
    const end = Math.min(layout.num_zones, first + layout.zones_per_page);
    for (let zone = first; zone < end; zone++) {
      const { state, written } = decodeRecord(newest, layout, zone - first);
      table.restore(zone, state, written);
    }
  }
}
