import { native } from '@spdk-ts/native';
import type { InflightDescription } from '../protocol/codec.ts';
import { QUEUE_SIZE_MAX, QUEUES_MAX } from '../protocol/constants.ts';
import { VhostUserError } from '../protocol/errors.ts';
import { PACKED_ENTRY_BYTES, PACKED_HEADER_BYTES, PackedInflight } from './inflight-packed.ts';
import { SPLIT_ENTRY_BYTES, SPLIT_HEADER_BYTES, SplitInflight } from './inflight-split.ts';

const LINE_BYTES = 64;

/** Bytes of one ring's part of the area. */
function queueBytes(queue_size: number, packed: boolean): number {
  const bytes = packed
    ? PACKED_HEADER_BYTES + queue_size * PACKED_ENTRY_BYTES
    : SPLIT_HEADER_BYTES + queue_size * SPLIT_ENTRY_BYTES;
  return Math.ceil(bytes / LINE_BYTES) * LINE_BYTES;
}

/**
 * The area where a back-end notes which requests are under way, in memory that the front-end keeps: the next back-end takes
 * them up again after this one has died (vhost-user, "Inflight I/O tracking").
 */
export class InflightArea {
  readonly description: InflightDescription;
  readonly packed: boolean;
  private readonly buffer: ArrayBuffer;

  /** Maps the area behind a descriptor, which may be closed afterwards. Throws VhostUserError or what the system answers. */
  constructor(fd: number, description: InflightDescription, packed: boolean) {
    const { num_queues, queue_size, mmap_size, mmap_offset } = description;
    const bytes = num_queues * queueBytes(queue_size, packed);
    checkCounts(description);
    if (mmap_size < bytes)
      throw new VhostUserError(
        `the in-flight area has ${mmap_size} bytes: ${num_queues} rings of ${queue_size} entries need ${bytes}`,
      );
    this.description = description;
    this.packed = packed;
    this.buffer = native!.mapDescriptor(fd, mmap_offset, bytes, 1);
  }

  /** A new area for so many rings, and its descriptor, which is the caller's. */
  static create(wanted: InflightDescription, packed: boolean): { fd: number; area: InflightArea } {
    checkCounts(wanted);
    const { num_queues, queue_size } = wanted;
    const mmap_size = num_queues * queueBytes(queue_size, packed);
    const fd = native!.memoryFile('vhost-inflight', mmap_size);
    try {
      const area = new InflightArea(fd, { mmap_size, mmap_offset: 0, num_queues, queue_size }, packed);
      return { fd, area };
    } catch (error) {
      native!.closeFd(fd);
      throw error;
    }
  }

  private offsetOf(index: number, size: number): number {
    const { num_queues, queue_size } = this.description;
    if (index >= num_queues || size > queue_size)
      throw new VhostUserError(
        `ring ${index} has ${size} entries: the in-flight area is for ${num_queues} rings of ${queue_size}`,
      );
    return index * queueBytes(queue_size, this.packed);
  }

  split(index: number, size: number): SplitInflight {
    return new SplitInflight(this.buffer, this.offsetOf(index, size), size);
  }

  packedRing(index: number, size: number): PackedInflight {
    return new PackedInflight(this.buffer, this.offsetOf(index, size), size);
  }

  /** Unmaps it. No ring may use it any more. */
  close(): void {
    native!.unmapBuffer(this.buffer);
  }
}

function checkCounts({ num_queues, queue_size }: InflightDescription): void {
  if (num_queues < 1 || num_queues > QUEUES_MAX || queue_size < 1 || queue_size > QUEUE_SIZE_MAX)
    throw new VhostUserError(
      `an in-flight area for ${num_queues} rings of ${queue_size} entries: at most ${QUEUES_MAX} of ${QUEUE_SIZE_MAX}`,
    );
}
