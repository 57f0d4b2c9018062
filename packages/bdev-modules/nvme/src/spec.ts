import { type BdevSpec, IoType, ioTypeMask, KV_TYPES, MODIFYING_TYPES } from '@spdk-ts/bdev';
import { ZoneOrder } from '@spdk-ts/file-io';
import { type NamespaceInfo, unmapZeroes } from '@spdk-ts/nvme';
import { csi, DSM_MAX_RANGES, fuses, nsattr, nsfeat, oncs, vwc } from '@spdk-ts/nvme-spec';
import type { AttachedController, CommandContext, NvmeContext } from './context.ts';

/** Blocks that the 16 bits of a command's length name. */
const COMMAND_BLOCKS = 65_536;
const RANGE_BLOCKS = 0xffff_ffff;
/** What space is counted in where there are no blocks, and the most keys where the controller names no limit. */
const KV_BLOCK_BYTES = 512;
const KEYS_MAX = 0xffff_ffff;
const KV_MODIFYING = ioTypeMask(IoType.KV_STORE, IoType.KV_DELETE);

/** Why a namespace is no bdev, or an empty text. */
export function unfit(info: NamespaceInfo): string {
  const { unusable, csi: set, num_blocks, zones, kv } = info;
  if (set === csi.keyValue)
    return kv === null || kv.max_key_len === 0 || kv.capacity < KV_BLOCK_BYTES
      ? 'its controller does not tell what keys and values it takes'
      : '';
  if (unusable !== '') return unusable;
  if (num_blocks === 0) return 'it has no blocks';
  if (set !== csi.zoned) return '';
  const { zone_size = 0 } = zones ?? {};
  return zone_size < 1 || num_blocks % zone_size !== 0
    ? `its ${num_blocks} blocks are no whole number of zones of ${zone_size} blocks`
    : '';
}

/** Blocks of a namespace's bdev. */
export const blocksOf = ({ kv, num_blocks }: NamespaceInfo): number =>
  kv === null ? num_blocks : Math.floor(kv.capacity / KV_BLOCK_BYTES);

const when = (so: boolean, ...types: number[]): number => (so ? ioTypeMask(...types) : 0);

function typesOf({ oncs: can, fuses: fused, vwc: cache }: AttachedController, info: NamespaceInfo): number {
  const { kv, zones, protection, md_size, identify } = info;
  const always =
    ioTypeMask(IoType.RESET, IoType.ABORT, IoType.NVME_ADMIN, IoType.NVME_IO) |
    when((cache & vwc.present) !== 0, IoType.FLUSH);
  const fixed = (identify.nsattr & nsattr.writeProtected) !== 0 ? MODIFYING_TYPES | KV_MODIFYING : 0;
  if (kv !== null) return (always | KV_TYPES) & ~fixed;
  const data =
    always | ioTypeMask(IoType.READ, IoType.WRITE) | when((can & oncs.compare) !== 0, IoType.COMPARE);
  if (zones !== null)
    return (data | ioTypeMask(IoType.GET_ZONE_INFO, IoType.ZONE_MANAGEMENT, IoType.ZONE_APPEND)) & ~fixed;
  return (
    (data |
      when((can & oncs.datasetManagement) !== 0, IoType.UNMAP) |
      when((can & oncs.writeZeroes) !== 0, IoType.WRITE_ZEROES) |
      when((can & oncs.writeUncorrectable) !== 0, IoType.WRITE_UNCORRECTABLE) |
      when((can & oncs.copy) !== 0 && protection === null, IoType.COPY) |
      when((fused & fuses.compareAndWrite) !== 0 && md_size === 0, IoType.COMPARE_AND_WRITE)) &
    ~fixed
  );
}

/** What one range of a Copy may have: its own limit, and that of the whole command. */
function copyBlocks({ identify: { mssrl, mcl } }: NamespaceInfo): number {
  return Math.min(COMMAND_BLOCKS, mssrl || COMMAND_BLOCKS, mcl || COMMAND_BLOCKS);
}

/** Blocks of a Compare and Write: ACWU, or NACWU where the namespace has its own; 0's based. */
function fusedBlocks(controller: AttachedController, { identify }: NamespaceInfo, most: number): number {
  if ((controller.fuses & fuses.compareAndWrite) === 0) return 1;
  const own = (identify.nsfeat & nsfeat.atomicUnits) !== 0 ? identify.nacwu : 0;
  return Math.min(most, Math.max(controller.acwu, own) + 1);
}

function limitsOf(
  controller: AttachedController,
  info: NamespaceInfo,
  context: CommandContext,
): Partial<BdevSpec> {
  const { block_size, limits, zones, kv, identify } = info;
  const bytes = controller.transfer_bytes;
  if (kv !== null) {
    const max_value_len = Math.min(kv.max_value_len, bytes);
    return { kv: { ...kv, max_value_len, max_num_keys: kv.max_num_keys || KEYS_MAX } };
  }
  const fit = (of: number): number => Math.min(COMMAND_BLOCKS, Math.max(1, Math.floor(of / block_size)));
  const max_rw_size = fit(bytes);
  // Where reads may not cross zones, they are split there.
  const boundary = zones !== null && !zones.cross_reads ? zones.zone_size : identify.noiob;
  return {
    max_rw_size,
    acwu: fusedBlocks(controller, info, max_rw_size),
    max_write_zeroes: limits.zeroes_bytes > 0 ? fit(limits.zeroes_bytes) : COMMAND_BLOCKS,
    max_unmap: context.range_blocks,
    max_unmap_segments: limits.ranges || DSM_MAX_RANGES,
    max_copy: copyBlocks(info),
    unmap_zeroes: unmapZeroes(info),
    ...(boundary > 0 && { optimal_io_boundary: boundary, split_on_optimal_io_boundary: true }),
    ...preferences(info),
    ...(zones !== null && {
      ...{ zoned: true, zone_size: zones.zone_size, max_zone_append_size: appendBlocks(info, max_rw_size) },
      ...{ max_open_zones: zones.max_open_zones, max_active_zones: zones.max_active_zones },
    }),
  };
}

function appendBlocks({ zones, block_size }: NamespaceInfo, most: number): number {
  const { append_bytes, zone_size } = zones!;
  const blocks = append_bytes > 0 ? Math.max(1, Math.floor(append_bytes / block_size)) : most;
  return Math.min(blocks, most, zone_size);
}

/** NPWG and the like, all 0's based (NVM Command Set 1.0, 4.1.5.1). */
function preferences({ identify }: NamespaceInfo): Partial<BdevSpec> {
  if ((identify.nsfeat & nsfeat.optimalPerformance) === 0) return {};
  const { npwg, npwa, npdg, npda, nows } = identify;
  return {
    ...{ preferred_write_granularity: npwg + 1, preferred_write_alignment: npwa + 1 },
    ...{ preferred_unmap_granularity: npdg + 1, preferred_unmap_alignment: npda + 1 },
    optimal_write_size: nows === 0 ? 0 : nows + 1,
  };
}

function metadataOf(
  { md_size, md_interleave, protection }: NamespaceInfo,
  checks: number,
): Partial<BdevSpec> {
  if (md_size === 0) return {};
  if (protection === null) return { md_size, md_interleave };
  return {
    ...{ md_size, md_interleave, dif_type: protection.type, dif_is_head_of_md: protection.is_head },
    ...{ dif_pi_format: protection.format, dif_check_types: checks },
  };
}

/** What the channels of a namespace need to know of it. */
export function commandContext(info: NamespaceInfo): CommandContext {
  const { zones, protection, limits, num_blocks } = info;
  return {
    protects: protection !== null,
    range_blocks: limits.range_blocks || RANGE_BLOCKS,
    copy_blocks: copyBlocks(info),
    zone_gates: zones === null ? null : ZoneOrder.allocate(num_blocks / zones.zone_size),
  };
}

/**
 * The bdev of a namespace. `checks`: what the controller checks of protection information unless an I/O excludes it, a set of
 * DifCheck.
 */
export function bdevSpec(
  controller_name: string,
  controller: AttachedController,
  info: NamespaceInfo,
  context: Omit<NvmeContext, 'commands'>,
  checks = 0,
): BdevSpec {
  const { block_size, nsid, uuid, nguid, kv } = info;
  const commands = commandContext(info);
  return {
    name: `${controller_name}n${nsid}`,
    product_name: 'NVMe disk',
    uuid: uuid || uuidOf(nguid) || undefined,
    block_size: kv === null ? block_size : KV_BLOCK_BYTES,
    num_blocks: blocksOf(info),
    context: { ...context, commands },
    io_types: typesOf(controller, info),
    ...limitsOf(controller, info, commands),
    ...metadataOf(info, checks),
  };
}

/** An NGUID in the form of a UUID. */
function uuidOf(nguid: string): string {
  if (nguid === '') return '';
  return [
    nguid.slice(0, 8),
    nguid.slice(8, 12),
    nguid.slice(12, 16),
    nguid.slice(16, 20),
    nguid.slice(20),
  ].join('-');
}
