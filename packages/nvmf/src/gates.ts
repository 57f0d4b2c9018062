import { kvOpcode, nvmOpcode, znsOpcode } from '@spdk-ts/nvme-spec';
import { Status } from './status.ts';

/**
 * Why a controller's I/O commands at a namespace do not simply execute: bits of {@link NvmfController.gates}. 0: they do.
 */
export const Gate = {
  /** There is no such namespace, for this host. */
  HIDDEN: 0x1,
  /** It is being changed: commands wait. */
  PAUSED: 0x2,
  /** ANA state inaccessible, through the listener of this controller. */
  INACCESSIBLE: 0x4,
  /** A reservation refuses this host's commands that read, or those that write. */
  NO_READ: 0x8,
  NO_WRITE: 0x10,
} as const;

/** What a command does to the medium, as a gate's bit that refuses it. */
const groups = new Uint8Array(256);
for (const opcode of [
  nvmOpcode.read,
  nvmOpcode.compare,
  nvmOpcode.verify,
  nvmOpcode.ioManagementReceive,
  znsOpcode.zoneManagementReceive,
  kvOpcode.retrieve,
  kvOpcode.list,
  kvOpcode.exist,
])
  groups[opcode] = Gate.NO_READ;
// Copy reads and writes: whoever may write may read.
for (const opcode of [
  nvmOpcode.flush,
  nvmOpcode.write,
  nvmOpcode.writeUncorrectable,
  nvmOpcode.writeZeroes,
  nvmOpcode.datasetManagement,
  nvmOpcode.copy,
  nvmOpcode.ioManagementSend,
  znsOpcode.zoneManagementSend,
  znsOpcode.zoneAppend,
  kvOpcode.store,
  kvOpcode.delete,
])
  groups[opcode] = Gate.NO_WRITE;

/** True of commands at the medium; reservation commands are none. */
export function touchesMedium(opcode: number): boolean {
  return groups[opcode] !== 0;
}

/** The status that a gate refuses a command with, or 0 if it lets it pass. Whether it is paused is not looked at. */
export function refusalOf(gate: number, opcode: number): number {
  if ((gate & Gate.HIDDEN) !== 0) return Status.INVALID_NAMESPACE;
  if ((gate & Gate.INACCESSIBLE) !== 0) return Status.ANA_INACCESSIBLE;
  return (gate & groups[opcode]!) !== 0 ? Status.RESERVATION_CONFLICT : Status.SUCCESS;
}
