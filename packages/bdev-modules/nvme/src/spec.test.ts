/** What Identify says becomes the limits of a bdev (NVM Command Set 1.0, 4.1.5; Zoned Namespace Command Set 1.1, 4.1.5). */
import { IoType } from '@spdk-ts/bdev';
import type { NamespaceInfo } from '@spdk-ts/nvme';
import { identifyNamespace, nsattr, nsfeat } from '@spdk-ts/nvme-spec';
import { expect, it } from 'vitest';
import type { AttachedController } from './context.ts';
import { bdevSpec, unfit } from './spec.ts';

const controller = {
  ...{ transfer_bytes: 128 * 1024, oncs: 0x1ff, fuses: 1, acwu: 3, vwc: 1 },
} as AttachedController;
const context = { bdev: 1, nsid: 3, bdev_retry_count: 3, io_path_stat: false };

/** A namespace of a million blocks of 4096 bytes. */
function namespace(identify: Record<string, number>, more: Partial<NamespaceInfo> = {}): NamespaceInfo {
  const told = { ...identifyNamespace.decode(new Uint8Array(4096)), ...identify };
  return {
    ...{ nsid: 3, csi: 0, num_blocks: 1_000_000, block_size: 4096, md_size: 0, md_interleave: false },
    ...{ uuid: '', nguid: '', eui64: '', anagrpid: 0, identify: told, unusable: '' },
    ...{ limits: { zeroes_bytes: 0, ranges: 0, range_blocks: 0 }, zones: null, kv: null, protection: null },
    ...more,
  };
}
const specOf = (info: NamespaceInfo) => bdevSpec('N', controller, info, context, 5);
const has = (types: number, type: number): boolean => (types & (1 << type)) !== 0;

it('limits of commands', () => {
  const told = { noiob: 24, mssrl: 100, mcl: 80, nacwu: 7, npwg: 7, npwa: 3, npdg: 15, npda: 0, nows: 31 };
  const limits = { zeroes_bytes: 64 * 1024, ranges: 4, range_blocks: 500 };
  const features = nsfeat.atomicUnits | nsfeat.optimalPerformance;
  expect(specOf(namespace({ ...told, nsfeat: features }, { limits }))).toMatchObject({
    ...{ name: 'Nn3', block_size: 4096, num_blocks: 1_000_000, max_rw_size: 32, max_write_zeroes: 16 },
    ...{ max_unmap: 500, max_unmap_segments: 4, max_copy: 80, acwu: 8 },
    ...{ optimal_io_boundary: 24, split_on_optimal_io_boundary: true },
    ...{ preferred_write_granularity: 8, preferred_write_alignment: 4, optimal_write_size: 32 },
    ...{ preferred_unmap_granularity: 16, preferred_unmap_alignment: 1 },
  });
  // What the features do not define is not looked at.
  const plain = specOf(namespace(told));
  expect(plain).toMatchObject({ acwu: 4, max_write_zeroes: 65_536, max_unmap_segments: 256 });
  expect(plain.preferred_write_granularity).toBeUndefined();
});

it('what cannot be written to', () => {
  const { io_types } = specOf(namespace({ nsattr: nsattr.writeProtected }));
  const changing = [IoType.WRITE, IoType.UNMAP, IoType.COPY, IoType.WRITE_ZEROES, IoType.COMPARE_AND_WRITE];
  expect(changing.some((type) => has(io_types, type))).toBe(false);
  expect([IoType.READ, IoType.COMPARE, IoType.FLUSH].every((type) => has(io_types, type))).toBe(true);
});

it('protection information, which keeps copies and fused commands away', () => {
  const spec = specOf(
    namespace(
      {},
      {
        ...{ block_size: 4112, md_size: 16, md_interleave: true },
        protection: { type: 2, is_head: true, format: 2 },
      },
    ),
  );
  expect(spec).toMatchObject({
    ...{ block_size: 4112, md_size: 16, md_interleave: true, dif_type: 2, dif_pi_format: 2 },
    ...{ dif_is_head_of_md: true, dif_check_types: 5, max_rw_size: 31 },
  });
  expect([IoType.COPY, IoType.COMPARE_AND_WRITE].some((type) => has(spec.io_types, type))).toBe(false);
});

it('zones: appends no longer than ZASL, reads split where they may not cross', () => {
  const zones = {
    zone_size: 1000,
    max_open_zones: 3,
    max_active_zones: 0,
    cross_reads: false,
    append_bytes: 16_384,
  };
  const info = namespace({}, { csi: 2, zones });
  expect(unfit(info)).toBe('');
  const spec = specOf(info);
  expect(spec).toMatchObject({
    ...{ zoned: true, zone_size: 1000, max_zone_append_size: 4, max_open_zones: 3, max_active_zones: 0 },
    ...{ optimal_io_boundary: 1000, split_on_optimal_io_boundary: true },
  });
  expect([IoType.UNMAP, IoType.WRITE_ZEROES, IoType.COPY].some((type) => has(spec.io_types, type))).toBe(
    false,
  );
  expect(unfit({ ...info, num_blocks: 1_000_001 })).toContain('no whole number of zones');
});

it('keys: a value is transferred at once', () => {
  const kv = { max_key_len: 16, max_value_len: 2 ** 20, max_num_keys: 0, capacity: 2 ** 30 };
  const info = namespace({}, { csi: 1, num_blocks: 0, kv, unusable: 'it holds keys and values, not blocks' });
  expect(unfit(info)).toBe('');
  const spec = specOf(info);
  expect(spec).toMatchObject({ block_size: 512, num_blocks: 2 ** 21 });
  expect(spec.kv).toEqual({ ...kv, max_value_len: 128 * 1024, max_num_keys: 0xffff_ffff });
  expect([has(spec.io_types, IoType.KV_STORE), has(spec.io_types, IoType.READ)]).toEqual([true, false]);
});
