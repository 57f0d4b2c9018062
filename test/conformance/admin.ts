/** Admin commands as checks send them. */
import { adminOpcode, identifyDwords, logPageDwords, NSID_ALL } from '@spdk-ts/nvme-spec';
import { type CommandQueue, type Completion, StatusError } from '../host/index.ts';

export const IDENTIFY_BYTES = 4096;

export interface IdentifyWay {
  readonly nsid?: number;
  readonly csi?: number;
  readonly cntid?: number;
  readonly cdw14?: number;
  /** Bytes that the SGL has room for. */
  readonly bytes?: number;
}

/** Identify, whatever its status. */
export function identify(admin: CommandQueue, cns: number, way: IdentifyWay = {}): Promise<Completion> {
  const { nsid = 0, csi = 0, cntid = 0, cdw14 = 0, bytes = IDENTIFY_BYTES } = way;
  const fields = { opcode: adminOpcode.identify, nsid, psdt: 1, cdw14 };
  return admin.submitRead({ ...fields, ...identifyDwords(cns, csi, cntid) }, bytes);
}

export interface LogWay {
  readonly nsid?: number;
  readonly offset?: number;
  readonly lsp?: number;
  readonly rae?: boolean;
  /** Bytes that the SGL has room for, if not those of NUMD. */
  readonly bytes?: number;
  /** Or-ed into cdw14. */
  readonly cdw14?: number;
}

/** Get Log Page, whatever its status. */
export function getLog(
  admin: CommandQueue,
  lid: number,
  length: number,
  way: LogWay = {},
): Promise<Completion> {
  const { nsid = NSID_ALL, offset = 0, lsp = 0, rae = true, bytes = length, cdw14 = 0 } = way;
  const dwords = logPageDwords(lid, length, offset, { lsp, rae });
  const fields = { opcode: adminOpcode.getLogPage, nsid, psdt: 1, ...dwords };
  return admin.submitRead({ ...fields, cdw14: (dwords.cdw14 | cdw14) >>> 0 }, bytes);
}

/** The data of a command that has to succeed. */
export async function dataOf(what: string, sent: Promise<Completion>): Promise<Buffer> {
  const completion = await sent;
  if (completion.status !== 0) throw new StatusError(what, completion);
  return completion.data;
}

export interface FeatureWay {
  readonly nsid?: number;
  readonly cdw11?: number;
  /** Get: the value asked for, one of `featureSelect`. */
  readonly select?: number;
  /** Set: the save bit. */
  readonly save?: boolean;
  readonly bytes?: number;
}

/** Get Features, whatever its status. */
export function getFeature(admin: CommandQueue, fid: number, way: FeatureWay = {}): Promise<Completion> {
  const { nsid = 0, cdw11 = 0, select = 0, bytes = 0 } = way;
  const fields = { opcode: adminOpcode.getFeatures, nsid, psdt: 1, cdw10: fid | (select << 8), cdw11 };
  return admin.submitRead(fields, bytes);
}

/** Set Features, whatever its status. */
export function setFeature(
  admin: CommandQueue,
  fid: number,
  way: FeatureWay = {},
  data: Uint8Array = new Uint8Array(0),
): Promise<Completion> {
  const { nsid = 0, cdw11 = 0, save = false } = way;
  const cdw10 = (fid | (save ? 0x8000_0000 : 0)) >>> 0;
  return admin.submit({ opcode: adminOpcode.setFeatures, nsid, psdt: 1, cdw10, cdw11 }, data);
}
