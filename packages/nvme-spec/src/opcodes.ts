/**
 * Opcodes and their names for logs: Admin (Base 2.0, 5), I/O commands of the NVM Command Set and Base (7; NVM
 * Command Set 1.0, 3.2), Zoned Namespace, Key Value, and the types of Fabrics commands (Base 2.0, 6).
 */
import { namesOf } from './names.ts';

export const adminOpcode = {
  deleteIoSq: 0x00,
  createIoSq: 0x01,
  getLogPage: 0x02,
  deleteIoCq: 0x04,
  createIoCq: 0x05,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asyncEventRequest: 0x0c,
  namespaceManagement: 0x0d,
  firmwareCommit: 0x10,
  firmwareImageDownload: 0x11,
  deviceSelfTest: 0x14,
  namespaceAttachment: 0x15,
  keepAlive: 0x18,
  directiveSend: 0x19,
  directiveReceive: 0x1a,
  virtualizationManagement: 0x1c,
  nvmeMiSend: 0x1d,
  nvmeMiReceive: 0x1e,
  capacityManagement: 0x20,
  lockdown: 0x24,
  doorbellBufferConfig: 0x7c,
  fabrics: 0x7f,
  formatNvm: 0x80,
  securitySend: 0x81,
  securityReceive: 0x82,
  sanitize: 0x84,
  getLbaStatus: 0x86,
} as const;

/** I/O commands of the NVM Command Set. */
export const nvmOpcode = {
  flush: 0x00,
  write: 0x01,
  read: 0x02,
  writeUncorrectable: 0x04,
  compare: 0x05,
  writeZeroes: 0x08,
  datasetManagement: 0x09,
  verify: 0x0c,
  reservationRegister: 0x0d,
  reservationReport: 0x0e,
  reservationAcquire: 0x11,
  ioManagementReceive: 0x12,
  reservationRelease: 0x15,
  cancel: 0x18,
  copy: 0x19,
  ioManagementSend: 0x1d,
  fabrics: 0x7f,
} as const;

/** What the Zoned Namespace Command Set adds to the NVM Command Set. */
export const znsOpcode = {
  zoneManagementSend: 0x79,
  zoneManagementReceive: 0x7a,
  zoneAppend: 0x7d,
} as const;

/** I/O commands of the Key Value Command Set; flush and reservations are those of `nvmOpcode`. */
export const kvOpcode = {
  store: 0x01,
  retrieve: 0x02,
  list: 0x06,
  delete: 0x10,
  exist: 0x14,
} as const;

/** Fabrics Command Type (FCTYPE), byte 4 of a command whose opcode is 7Fh. */
export const fabricsType = {
  propertySet: 0x00,
  connect: 0x01,
  propertyGet: 0x04,
  authenticationSend: 0x05,
  authenticationReceive: 0x06,
  disconnect: 0x08,
} as const;

/** The opcode of every Fabrics command, on admin and I/O queues alike. */
export const FABRICS_OPCODE = 0x7f;

/** Data Transfer, opcode bits 1:0 (Base 2.0, 3.3.3.1). For Fabrics commands FCTYPE bits 1:0 say the same. */
export const dataTransfer = { none: 0, hostToController: 1, controllerToHost: 2, bidirectional: 3 } as const;

export const adminOpcodeName = namesOf(adminOpcode);
export const ioOpcodeName = namesOf({ ...nvmOpcode, ...znsOpcode });
export const kvOpcodeName = namesOf(kvOpcode);
export const fabricsTypeName = namesOf(fabricsType);

/** Direction of a command's data, one of `dataTransfer`. `fctype` counts when the opcode is 7Fh. */
export function opcodeDataTransfer(opcode: number, fctype = 0): number {
  return (opcode === FABRICS_OPCODE ? fctype : opcode) & 0x3;
}
