import type { Reactor } from '@spdk-ts/reactor';
import type { BdevIo } from './bdev-io.ts';
import { placeValid } from './bounce.ts';
import { Errno } from './io-status.ts';
import { IoType, ioTypeMask } from './io-type.ts';

/** NVMe commands as they are, for bdevs that are NVMe namespaces. */
export const PASSTHRU_TYPES = ioTypeMask(
  IoType.NVME_ADMIN,
  IoType.NVME_IO,
  IoType.NVME_IO_MD,
  IoType.NVME_IOV_MD,
);

const COMMAND_DWORDS = 16;
/** Of dword 0: the direction of the data is the opcode's bits 1:0 (Base 2.0, 3.3.3.1); half of a fused operation. */
const DIRECTION = 0x3;
const FUSE = 0x300;
const TO_CONTROLLER = 1;
const TO_HOST = 2;

/** True if the command's data, if it has any, go to the device. */
export const sendsData = (command: Uint32Array): boolean => (command[0]! & TO_HOST) === 0;

/**
 * Refuses a command that cannot be handed on: no whole entry, half a fused operation, data both ways, or none where its opcode
 * says so, more of them than a buffer has, or a place that is none. 0, or EINVAL.
 */
export function checkPassthru({ regions, buffers }: Reactor, io: BdevIo): number {
  const { command, bytes } = io;
  if (command === null || command.length !== COMMAND_DWORDS || (command[0]! & FUSE) !== 0)
    return Errno.EINVAL;
  if (bytes === 0) return 0;
  const direction = command[0]! & DIRECTION;
  if (direction !== TO_CONTROLLER && direction !== TO_HOST) return Errno.EINVAL;
  if (!Number.isInteger(bytes) || bytes < 0 || bytes > buffers.max_bytes) return Errno.EINVAL;
  return placeValid(regions, io.region, io.offset, io.iovs, bytes) ? 0 : Errno.EINVAL;
}
