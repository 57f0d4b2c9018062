import { DifCheck } from '@spdk-ts/dif';
import type { BdevDescription } from './description.ts';
import { IoType, type IoTypeName, ioTypeNames } from './io-type.ts';
import type { KvLimits } from './kv.ts';
import type { RateLimits } from './rate-limits.ts';

/** A bdev as bdev_get_bdevs shows it. */
export interface BdevInfo {
  [key: string]: unknown;
  name: string;
  aliases: string[];
  product_name: string;
  block_size: number;
  num_blocks: number;
  uuid: string;
  claimed: boolean;
  claim_type?: string;
  zoned: boolean;
  /** Of key-value bdevs only. */
  kv?: KvLimits;
  assigned_rate_limits: RateLimits;
  supported_io_types: Record<IoTypeName, boolean>;
  driver_specific: Record<string, unknown>;
}

/** Every I/O type by name. As SPDK reports it: of what the layer emulates, only write zeroes count as supported. */
export function supportedIoTypes(io_types: number): Record<IoTypeName, boolean> {
  const has = (type: number): boolean => (io_types & (1 << type)) !== 0;
  const types = ioTypeNames.map((name, type) => [
    name,
    has(type) || (type === IoType.WRITE_ZEROES && has(IoType.WRITE)),
  ]);
  return Object.fromEntries(types) as Record<IoTypeName, boolean>;
}

/** SPDK shows 0 where nothing is preferred. */
const preferred = (blocks: number): number => (blocks === 1 ? 0 : blocks);

function metadataInfo(d: BdevDescription): Record<string, unknown> {
  const checks = (check: number): boolean => (d.dif_check_types & check) !== 0;
  return {
    md_size: d.md_size,
    md_interleave: d.md_interleave,
    dif_type: d.dif_type,
    ...(d.dif_type > 0 && {
      dif_is_head_of_md: d.dif_is_head_of_md,
      enabled_dif_check_types: {
        reftag: checks(DifCheck.REFTAG),
        apptag: checks(DifCheck.APPTAG),
        guard: checks(DifCheck.GUARD),
      },
      dif_pi_format: d.dif_pi_format,
    }),
  };
}

export function bdevInfo(
  d: BdevDescription,
  claim_type: string,
  driver_specific: Record<string, unknown>,
  rate_limits: RateLimits,
): BdevInfo {
  return {
    name: d.name,
    aliases: [...d.aliases],
    product_name: d.product_name,
    block_size: d.block_size,
    num_blocks: d.num_blocks,
    preferred_write_alignment: preferred(d.preferred_write_alignment),
    preferred_write_granularity: preferred(d.preferred_write_granularity),
    optimal_write_size: d.optimal_write_size,
    preferred_unmap_alignment: preferred(d.preferred_unmap_alignment),
    preferred_unmap_granularity: preferred(d.preferred_unmap_granularity),
    uuid: d.uuid,
    ...(d.md_size > 0 && metadataInfo(d)),
    assigned_rate_limits: { ...rate_limits },
    claimed: claim_type !== 'not_claimed',
    ...(claim_type !== 'not_claimed' && { claim_type }),
    zoned: d.zoned,
    ...(d.zoned && {
      zone_size: d.zone_size,
      max_open_zones: d.max_open_zones,
      optimal_open_zones: d.optimal_open_zones,
    }),
    ...(d.kv !== null && { kv: { ...d.kv } }),
    supported_io_types: supportedIoTypes(d.io_types),
    driver_specific,
  };
}
