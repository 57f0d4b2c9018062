import type { BdevChannel } from '@spdk-ts/bdev';
import { QUEUES_MAX } from '../protocol/constants.ts';
import { SEG_MAX } from './blk-request.ts';
import { SECTOR_BYTES } from './constants.ts';

/** Bytes of a segment of data (size_max). */
const SIZE_MAX = 131_072;
/** Sectors of a discard or write-zeroes request: 16 MiB, as SPDK has it. */
export const RANGE_SECTORS_MAX = 32_768;

/** What a disk is, as its driver is to see it. */
export interface BlkGeometry {
  /** Sectors of 512 bytes. */
  readonly capacity: number;
  /** Bytes of a block; 0: there is no disk. */
  readonly block_size: number;
  readonly physical_block_size: number;
  readonly discard: boolean;
  readonly write_zeroes: boolean;
  /** A write-zeroes request may deallocate: the blocks read as zeroes afterwards. */
  readonly zeroes_unmap: boolean;
}

/** Of a bdev that is gone: a driver sees an empty disk, and no error that would end its virtual machine. */
export const noDisk: BlkGeometry = {
  capacity: 0,
  block_size: 0,
  physical_block_size: 0,
  discard: false,
  write_zeroes: false,
  zeroes_unmap: false,
};

/** The disk that a channel leads to. */
export function geometryOf(
  channel: BdevChannel,
  can: { discard: boolean; write_zeroes: boolean },
): BlkGeometry {
  const { description } = channel.device;
  const { block_size, num_blocks } = channel;
  return {
    capacity: num_blocks * (block_size / SECTOR_BYTES),
    block_size,
    physical_block_size: Math.max(block_size, description.physical_block_size),
    ...can,
    zeroes_unmap: can.discard && can.write_zeroes && description.unmap_zeroes,
  };
}

/** The configuration space (struct virtio_blk_config, virtio 1.2, 5.2.4), of so many bytes. */
export function configSpace(disk: BlkGeometry, bytes: number): Uint8Array {
  const space = new Uint8Array(Math.max(bytes, 64));
  const view = new DataView(space.buffer);
  const blocks = disk.physical_block_size / (disk.block_size || 1);
  view.setBigUint64(0, BigInt(disk.capacity), true);
  view.setUint32(8, SIZE_MAX, true);
  view.setUint32(12, SEG_MAX, true);
  view.setUint32(20, disk.block_size, true);
  // Topology: physical_block_exp, alignment_offset, min_io_size, opt_io_size.
  if (blocks > 1) view.setUint8(24, Math.log2(blocks));
  view.setUint16(26, Math.max(1, blocks), true);
  view.setUint16(34, QUEUES_MAX, true);
  if (disk.discard) {
    view.setUint32(36, RANGE_SECTORS_MAX, true);
    view.setUint32(40, 1, true);
    view.setUint32(44, disk.block_size / SECTOR_BYTES, true);
  }
  if (disk.write_zeroes) {
    view.setUint32(48, RANGE_SECTORS_MAX, true);
    view.setUint32(52, 1, true);
    view.setUint8(56, disk.zeroes_unmap ? 1 : 0);
  }
  return space.subarray(0, bytes);
}
