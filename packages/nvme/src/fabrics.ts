import type { DhchapGroupName, DhchapHashName } from '@spdk-ts/nvme-auth/identifiers';
import {
  CNTLID_DYNAMIC,
  connectAttribute,
  connectData,
  FABRICS_OPCODE,
  fabricsType,
  propertySize,
} from '@spdk-ts/nvme-spec';
import type { Commands } from './commands.ts';
import { NvmeError } from './errors.ts';

/** Who connects a queue, and to what. Cloneable. */
export interface ConnectParams {
  readonly subnqn: string;
  readonly hostnqn: string;
  readonly hostid: Uint8Array;
  /** Of an I/O queue: its controller. */
  readonly cntlid: number;
  readonly qid: number;
  readonly keep_alive_timeout_ms: number;
  readonly disable_sq_flow_control: boolean;
  /** See {@link NvmeOptions}. */
  readonly dhchap_key: string;
  readonly dhchap_ctrlr_key: string;
  readonly dhchap_digests: readonly DhchapHashName[];
  readonly dhchap_dhgroups: readonly DhchapGroupName[];
}

/** Bytes of in-capsule data that admin and Fabrics commands may bring whatever Identify says (TCP Transport 1.0, 3.3). */
export const ADMIN_CAPSULE_BYTES = 8192;

/** Bits of AUTHREQ in dword 0 of a successful Connect. */
const AUTHREQ_SHIFT = 16;

/**
 * Sends Connect (Base 2.0, 6.3) as the first command of a queue pair, and authenticates it if there is a key. Resolves with the
 * controller's CNTLID. Rejects with an {@link NvmeError}.
 */
export async function connectQueue(commands: Commands, params: ConnectParams): Promise<number> {
  const { qpair } = commands;
  const { subnqn, hostnqn, hostid, qid } = params;
  const data = new Uint8Array(connectData.size);
  const cntlid = qid === 0 ? CNTLID_DYNAMIC : params.cntlid;
  connectData.encode({ hostid, cntlid, subnqn, hostnqn }, data);
  qpair.qid = qid;
  qpair.capsule_bytes = ADMIN_CAPSULE_BYTES;
  const cattr = params.disable_sq_flow_control ? connectAttribute.disableSqFlowControl : 0;
  const { dw0 } = await commands.succeed(
    {
      ...{ opcode: FABRICS_OPCODE, nsid: fabricsType.connect },
      ...{ cdw10: (qid << 16) >>> 0, cdw11: ((qpair.entries - 1) | (cattr << 16)) >>> 0 },
      cdw12: qid === 0 ? params.keep_alive_timeout_ms : 0,
    },
    { out: data, what: `Connect to ${subnqn}` },
  );
  const got = dw0 & 0xffff;
  if (qid > 0 && got !== params.cntlid)
    throw new NvmeError(
      'EPROTOCOL',
      `${qpair.name}: a queue of controller ${params.cntlid} was made one of ${got}`,
    );
  if (params.dhchap_key !== '') {
    // Much code, which few need.
    const { authenticate } = await import('./authenticate.ts');
    await authenticate(commands, params);
  } else if (dw0 >>> AUTHREQ_SHIFT !== 0)
    throw new NvmeError('EAUTH', `${qpair.name}: the controller requires DH-HMAC-CHAP: give a dhchap_key`);
  return got;
}

/** Property Get (Base 2.0, 6.5): low and high dword. */
export async function getProperty(
  commands: Commands,
  offset: number,
  eight = false,
): Promise<{ lo: number; hi: number }> {
  const size = eight ? propertySize.bytes8 : propertySize.bytes4;
  const { dw0, dw1 } = await commands.succeed(
    { opcode: FABRICS_OPCODE, nsid: fabricsType.propertyGet, cdw10: size, cdw11: offset },
    { what: `Property Get of ${offset.toString(16)}h` },
  );
  return { lo: dw0, hi: dw1 };
}

/** Property Set (Base 2.0, 6.6) of four bytes. */
export async function setProperty(commands: Commands, offset: number, value: number): Promise<void> {
  await commands.succeed(
    { opcode: FABRICS_OPCODE, nsid: fabricsType.propertySet, cdw11: offset, cdw12: value },
    { what: `Property Set of ${offset.toString(16)}h` },
  );
}
