import { adminOpcode, cns, statusCode } from '@spdk-ts/nvme-spec';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/** Where in a command an error is: the byte in bits 7:0, its bit in 10:8 (Base 2.0, 5.16.1.2). */
export const errorAt = {
  nowhere: 0xffff,
  opcode: 0,
  /** FUSE and PSDT. */
  fuse: 1,
  nsid: 4,
  /** Length of the first SGL descriptor. */
  sglLength: 32,
  cdw10: 40,
  /** Dword 10 bits 10:8 of Get Features, Select. */
  select: 41,
  /** Dword 10 bit 31 of Set Features, Save. */
  save: 43 | (7 << 8),
  cdw11: 44,
  /** Command Set Identifier of Identify. */
  csi: 47,
  logPageOffset: 48,
  /** Dword 14 bit 23 of Get Log Page, Offset Type. */
  logPageOffsetType: 58 | (7 << 8),
} as const;

const FUSE = 0x300;
const PSDT = 0xc000;
const SELECT_MOST = 3;
/** Structures that Identify has one of for each command set. */
const ofCommandSets: ReadonlySet<number> = new Set([
  cns.csiNamespace,
  cns.csiController,
  cns.csiActiveNamespaceList,
]);

/** What every status of this kind is about, whatever the command. */
const byStatus: ReadonlyMap<number, number> = new Map([
  [statusCode(Status.INVALID_OPCODE), errorAt.opcode],
  [statusCode(Status.INVALID_NAMESPACE), errorAt.nsid],
  [statusCode(Status.NOT_NAMESPACE_SPECIFIC), errorAt.nsid],
  [statusCode(Status.SGL_LENGTH_INVALID), errorAt.sglLength],
  [statusCode(Status.LBA_OUT_OF_RANGE), errorAt.cdw10],
  [statusCode(Status.INVALID_LOG_PAGE), errorAt.cdw10],
  [statusCode(Status.NOT_CHANGEABLE), errorAt.cdw10],
  [statusCode(Status.NOT_SAVEABLE), errorAt.save],
]);

/** Of a feature that there is not, its identifier; else its value. */
function featureField(request: NvmfRequest): number {
  const has = request.qpair.controller?.admin?.features.has(request.cdw(10) & 0xff) === true;
  return has ? errorAt.cdw11 : errorAt.cdw10;
}

/** The field of an Admin command that is invalid, as far as the command alone tells. */
function adminField(request: NvmfRequest): number {
  const cdw10 = request.cdw(10);
  switch (request.opcode) {
    case adminOpcode.identify:
      return ofCommandSets.has(cdw10 & 0xff) ? errorAt.csi : errorAt.cdw10;
    case adminOpcode.getLogPage:
      if ((request.cdw(14) & 0x80_0000) !== 0) return errorAt.logPageOffsetType;
      return request.cdw(12) !== 0 || request.cdw(13) !== 0 ? errorAt.logPageOffset : errorAt.nsid;
    case adminOpcode.getFeatures:
      return ((cdw10 >>> 8) & 0x7) > SELECT_MOST ? errorAt.select : featureField(request);
    case adminOpcode.setFeatures:
      return featureField(request);
    case adminOpcode.asyncEventRequest:
    case adminOpcode.keepAlive:
    case adminOpcode.abort:
      return errorAt.nsid;
    default:
      return errorAt.nowhere;
  }
}

/** Parameter Error Location of a command that has failed, or FFFFh: it cannot be told. */
export function errorLocation(request: NvmfRequest, admin: boolean): number {
  const code = statusCode(request.status);
  const known = byStatus.get(code);
  if (known !== undefined) return known;
  if (code !== statusCode(Status.INVALID_FIELD)) return errorAt.nowhere;
  const cdw0 = request.cdw(0);
  if ((cdw0 & FUSE) !== 0 || (cdw0 & PSDT) === PSDT) return errorAt.fuse;
  return admin ? adminField(request) : errorAt.nowhere;
}
