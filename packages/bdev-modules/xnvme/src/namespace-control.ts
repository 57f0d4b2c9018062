import { closeSync, constants, fstatSync, openSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type BdevDescription,
  BdevError,
  type BdevRegistry,
  type BdevSpec,
  checkBlockSize,
  Errno,
  IoType,
  ioTypeMask,
  KV_TYPES,
  uuidOf,
} from '@spdk-ts/bdev';
import { fileError, ZoneOrder } from '@spdk-ts/file-io';
import { native } from '@spdk-ts/native';
import { csi } from '@spdk-ts/nvme-spec';
import type { CommandContext } from './context.ts';
import { type NvmeNamespace, readNamespace } from './namespace.ts';
import { type QueueLimits, queueLimits } from './queue-limits.ts';

/** Pieces of a gather list that the kernel takes (UIO_MAXIOV). */
const PIECES_MAX = 1024;
/** Memory need only be aligned to a double word (log2 of bytes): what a PRP entry asks for. */
const ALIGNMENT = 2;
/** Blocks that the 16 bits of a command's length name. */
const COMMAND_BLOCKS = 65_536;

interface CreateParams {
  readonly filename: string;
  readonly name: string;
  readonly conserve_cpu: boolean;
  readonly block_size?: number;
  readonly uuid?: string;
}

/** Opens the generic character device of a namespace, for itself. Throws BdevError with what to change. */
function openGeneric(filename: string): { fd: number; nsid: number } {
  let fd: number;
  try {
    fd = openSync(filename, constants.O_RDWR);
  } catch (error) {
    throw fileError(error, filename, 'opened', '; give the generic character device of a namespace');
  }
  try {
    const advice = 'give the generic character device of a namespace, such as /dev/ng0n1';
    if (!fstatSync(fd).isCharacterDevice())
      throw new BdevError(
        Errno.EINVAL,
        `filename "${filename}" is no character device, which io_uring_cmd needs; ${advice}`,
      );
    const nsid = native!.nvmeNamespace(fd);
    if (nsid <= 0)
      throw new BdevError(Errno.EINVAL, `filename "${filename}" is no namespace's device; ${advice}`);
    if (!native!.lockFile(fd))
      throw new BdevError(
        Errno.EBUSY,
        `filename "${filename}" is in use by another process or another bdev; two writers would destroy its data`,
      );
    return { fd, nsid };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** What the namespace can do, as I/O types. */
function typesOf({ csi: set, can, kv }: NvmeNamespace): number {
  const always = ioTypeMask(IoType.FLUSH, IoType.RESET, IoType.ABORT);
  if (kv !== null) return always | KV_TYPES;
  const data = always | ioTypeMask(IoType.READ, IoType.WRITE);
  const compare = can.compare ? ioTypeMask(IoType.COMPARE) : 0;
  if (set === csi.zoned)
    return data | compare | ioTypeMask(IoType.GET_ZONE_INFO, IoType.ZONE_MANAGEMENT, IoType.ZONE_APPEND);
  const zeroes = can.write_zeroes ? ioTypeMask(IoType.WRITE_ZEROES) : 0;
  const unmap = can.deallocate ? ioTypeMask(IoType.UNMAP) : 0;
  return data | compare | zeroes | unmap;
}

/** What one command takes; the zones, or the limits of keys and values, if it is of that kind. */
function limitsOf(namespace: NvmeNamespace, queue: QueueLimits): Partial<BdevSpec> {
  const { block_size, zoned, kv } = namespace;
  const bytes = Math.min(namespace.transfer_bytes, queue.transfer_bytes);
  if (kv !== null) return { kv: { ...kv, max_value_len: Math.min(kv.max_value_len, bytes) } };
  const max_rw_size = Math.min(COMMAND_BLOCKS, Math.max(1, Math.floor(bytes / block_size)));
  const append_bytes = Math.min(bytes, namespace.append_bytes);
  return {
    max_rw_size,
    max_num_segments: Math.min(PIECES_MAX, queue.segments),
    max_write_zeroes: Math.min(COMMAND_BLOCKS, namespace.zeroes_blocks),
    max_unmap: namespace.range_blocks,
    max_unmap_segments: namespace.ranges,
    ...(zoned !== null && {
      ...{ zoned: true, zone_size: zoned.zone_size },
      ...{ max_open_zones: zoned.max_open_zones, max_active_zones: zoned.max_active_zones },
      max_zone_append_size: Math.min(max_rw_size, Math.max(1, Math.floor(append_bytes / block_size))),
    }),
  };
}

function contextOf(
  { name, block_size, ...params }: CreateParams,
  filename: string,
  fd: number,
  namespace: NvmeNamespace,
  queue: QueueLimits,
): CommandContext {
  if (block_size !== undefined && block_size !== namespace.block_size)
    throw new BdevError(
      Errno.EINVAL,
      `block_size is ${block_size}, but the blocks of ${filename} have ${namespace.block_size} bytes; leave it out`,
    );
  const { conserve_cpu } = params;
  const not_polled = conserve_cpu
    ? 'conserve_cpu is true'
    : queue.polled
      ? ''
      : 'its controller has no polled queues (it needs the kernel parameter nvme.poll_queues)';
  const { zoned } = namespace;
  return {
    ...{ io_mechanism: 'io_uring_cmd', conserve_cpu, polled: not_polled === '', not_polled },
    ...{ block_size_override: block_size !== undefined, filename, fd, readonly: false },
    ...{ nsid: namespace.nsid, csi: namespace.csi, range_blocks_max: namespace.range_blocks },
    cross_reads: zoned?.cross_reads ?? true,
    zone_gates: zoned === null ? null : ZoneOrder.allocate(namespace.num_blocks / zoned.zone_size),
  };
}

/**
 * Opens a namespace for passthrough and registers a bdev on it. Throws BdevError with what to change, and then leaves
 * nothing open. The same namespace has the same UUID wherever it is attached, if it has an identifier of its own.
 */
export async function createNamespaceBdev(
  bdevs: BdevRegistry,
  params: CreateParams,
): Promise<BdevDescription> {
  const { name } = params;
  if (bdevs.get(name) !== undefined)
    throw new BdevError(Errno.EEXIST, `there is a bdev called "${name}" already; choose another name`);
  const filename = resolve(params.filename);
  const { fd, nsid } = openGeneric(filename);
  try {
    const namespace = readNamespace(native!, fd, nsid, filename);
    const queue = queueLimits(fd);
    const { block_size, num_blocks } = namespace;
    checkBlockSize(block_size);
    return await bdevs.register('xnvme', {
      ...{ name, product_name: 'xNVMe bdev', block_size, num_blocks, io_types: typesOf(namespace) },
      uuid: params.uuid ?? uuidOf(`nvme:${namespace.identity || realpathSync(filename)}`),
      required_alignment: ALIGNMENT,
      ...limitsOf(namespace, queue),
      context: contextOf(params, filename, fd, namespace, queue),
    });
  } catch (error) {
    native!.unlockFile(fd);
    closeSync(fd);
    throw error;
  }
}
