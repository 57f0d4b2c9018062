import { type BdevSpec, IoType, ioTypeMask } from '@spdk-ts/bdev';
import { type NamespaceInfo, unmapZeroes } from '@spdk-ts/nvme';
import { csi, oncs } from '@spdk-ts/nvme-spec';
import type { AttachedController, NvmeContext } from './context.ts';

/** Blocks that the 16 bits of a command's length name. */
const COMMAND_BLOCKS = 65_536;
const RANGE_BLOCKS = 0xffff_ffff;

/** Why a namespace is no bdev, or an empty text. */
export function unfit({ unusable, csi: set, md_size, num_blocks }: NamespaceInfo): string {
  if (unusable !== '') return unusable;
  if (set === csi.zoned) return 'zoned namespaces are not had yet';
  if (md_size > 0) return 'namespaces with metadata are not had yet';
  return num_blocks === 0 ? 'it has no blocks' : '';
}

function typesOf({ oncs: can, vwc }: AttachedController): number {
  const always = ioTypeMask(IoType.READ, IoType.WRITE, IoType.RESET);
  const when = (bit: boolean, type: number): number => (bit ? ioTypeMask(type) : 0);
  return (
    always |
    when((vwc & 1) !== 0, IoType.FLUSH) |
    when((can & oncs.compare) !== 0, IoType.COMPARE) |
    when((can & oncs.datasetManagement) !== 0, IoType.UNMAP) |
    when((can & oncs.writeZeroes) !== 0, IoType.WRITE_ZEROES)
  );
}

/** The bdev of a namespace. */
export function bdevSpec(
  controller_name: string,
  controller: AttachedController,
  info: NamespaceInfo,
  context: NvmeContext,
): BdevSpec {
  const { block_size, num_blocks, nsid, uuid, nguid } = info;
  const { noiob } = info.identify;
  const max_rw_size = Math.min(
    COMMAND_BLOCKS,
    Math.max(1, Math.floor(controller.transfer_bytes / block_size)),
  );
  return {
    name: `${controller_name}n${nsid}`,
    product_name: 'NVMe disk',
    uuid: uuid || uuidOf(nguid) || undefined,
    ...{ block_size, num_blocks, context, max_rw_size },
    io_types: typesOf(controller),
    max_write_zeroes: COMMAND_BLOCKS,
    max_unmap: RANGE_BLOCKS,
    max_unmap_segments: 1,
    unmap_zeroes: unmapZeroes(info),
    ...(noiob > 0 && { optimal_io_boundary: noiob, split_on_optimal_io_boundary: true }),
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
