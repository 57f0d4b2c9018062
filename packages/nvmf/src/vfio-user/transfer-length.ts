import {
  adminOpcode,
  copyRangeSize,
  csi,
  DSM_RANGE_SIZE,
  fid,
  kvOpcode,
  nvmOpcode,
  znsOpcode,
} from '@spdk-ts/nvme-spec';
import { blocksOf } from '../io-fields.ts';
import type { NvmfRequest } from '../request.ts';
import type { NamespaceView } from '../subsystem-view.ts';

const IDENTIFY_BYTES = 4096;
/** Data of features, bytes. */
const featureBytes: ReadonlyMap<number, number> = new Map([
  [fid.hostBehaviorSupport, 512],
  [fid.timestamp, 8],
]);
const HOST_ID_EXTENDED = 1;
/** Write, Read, Compare …: protection information is the controller's to make and take. */
const PRACT = 0x2000_0000;

/** Bytes that an Admin command transfers (Base 2.0, 5): PRPs do not tell. 0: none, or the command is unknown. */
export function adminTransferLength(request: NvmfRequest): number {
  const cdw10 = request.cdw(10);
  const cdw11 = request.cdw(11);
  switch (request.opcode) {
    case adminOpcode.identify:
      return IDENTIFY_BYTES;
    case adminOpcode.getLogPage:
      return ((cdw10 >>> 16) + (cdw11 & 0xffff) * 0x1_0000 + 1) * 4;
    case adminOpcode.setFeatures:
    case adminOpcode.getFeatures:
      if ((cdw10 & 0xff) === fid.hostIdentifier) return (cdw11 & HOST_ID_EXTENDED) !== 0 ? 16 : 8;
      return featureBytes.get(cdw10 & 0xff) ?? 0;
    default:
      return 0;
  }
}

/** Bytes of a block as the command transfers it. */
function blockBytes(request: NvmfRequest, ns: NamespaceView): number {
  const { protection } = ns;
  if (protection === null || (request.cdw(12) & PRACT) === 0 || !protection.is_all_metadata)
    return ns.block_size;
  return protection.dif.layout.data_block_size;
}

/** Bytes that an I/O command at a namespace transfers. 0: none, or the command is unknown there. */
export function ioTransferLength(request: NvmfRequest, ns: NamespaceView): number {
  const { opcode } = request;
  if (ns.csi === csi.keyValue && (opcode === kvOpcode.store || opcode === kvOpcode.retrieve))
    return request.cdw(10);
  switch (opcode) {
    case nvmOpcode.read:
    case nvmOpcode.write:
    case nvmOpcode.compare:
    case znsOpcode.zoneAppend:
      return blocksOf(request) * blockBytes(request, ns);
    case kvOpcode.list:
      return ns.csi === csi.keyValue ? request.cdw(10) : 0;
    case nvmOpcode.datasetManagement:
      return ((request.cdw(10) & 0xff) + 1) * DSM_RANGE_SIZE;
    case nvmOpcode.copy:
      return ((request.cdw(12) & 0xff) + 1) * copyRangeSize((request.cdw(12) >>> 8) & 0xf);
    case nvmOpcode.reservationRegister:
    case nvmOpcode.reservationAcquire:
      return 16;
    case nvmOpcode.reservationRelease:
      return 8;
    case nvmOpcode.reservationReport:
      return (request.cdw(10) + 1) * 4;
    case znsOpcode.zoneManagementReceive:
      return (request.cdw(12) + 1) * 4;
    default:
      return 0;
  }
}
