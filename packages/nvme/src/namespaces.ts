import {
  adminOpcode,
  cns,
  csi as csiCode,
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  dlfeat as dlfeatBits,
  FLBAS_EXTENDED,
  formatEui64,
  formatNguid,
  formatUuid,
  IDENTIFY_SIZE,
  type IdentifyNamespace,
  identifyDwords,
  identifyNamespace,
  isZeroId,
  lbaFormatIndex,
  NAMESPACE_LIST_MAX,
} from '@spdk-ts/nvme-spec';
import type { CommandSender } from './commands.ts';
import { NvmeError } from './errors.ts';
import {
  type CommandLimits,
  describeKeys,
  describeLimits,
  describeProtection,
  describeZones,
  type KeyValueNamespace,
  type NamespaceProtection,
  type ZonedNamespace,
} from './namespace-kinds.ts';

/** One namespace as Identify tells of it: cloneable. */
export interface NamespaceInfo {
  readonly nsid: number;
  /** Command set, one of `csi`. */
  readonly csi: number;
  /** Blocks. */
  readonly num_blocks: number;
  /** Bytes of a block: data, and metadata that follow it in the data. */
  readonly block_size: number;
  readonly md_size: number;
  readonly md_interleave: boolean;
  /** Identifiers as text; empty where there is none. */
  readonly uuid: string;
  readonly nguid: string;
  readonly eui64: string;
  readonly anagrpid: number;
  readonly identify: IdentifyNamespace;
  readonly limits: CommandLimits;
  /** Its zones; null: it has none. */
  readonly zones: ZonedNamespace | null;
  /** Of a namespace of keys: `num_blocks` is 0 then, and there is no Identify Namespace of it. */
  readonly kv: KeyValueNamespace | null;
  readonly protection: NamespaceProtection | null;
  /** Why it cannot be read and written, or empty. */
  readonly unusable: string;
}

const LBADS_MIN = 9;
const LBADS_MAX = 16;

/** Sends Identify (Base 2.0, 5.17): 4096 bytes. */
export async function identify(
  admin: CommandSender,
  structure: number,
  nsid = 0,
  csi = 0,
  cntid = 0,
): Promise<Uint8Array> {
  const { data } = await admin.succeed(
    { opcode: adminOpcode.identify, nsid, ...identifyDwords(structure, csi, cntid) },
    { in: IDENTIFY_SIZE, what: `Identify (CNS ${structure.toString(16).padStart(2, '0')}h)` },
  );
  return data;
}

/** Numbers of all active namespaces, ascending. */
export async function activeNamespaces(admin: CommandSender): Promise<number[]> {
  const found: number[] = [];
  for (let after = 0; ; after = found.at(-1)!) {
    const page = decodeNamespaceList(await identify(admin, cns.activeNamespaceList, after));
    for (const nsid of page) {
      if (nsid <= (found.at(-1) ?? 0))
        throw new NvmeError('EPROTOCOL', `${admin.name}: the list of namespaces does not ascend at ${nsid}`);
      found.push(nsid);
    }
    if (page.length < NAMESPACE_LIST_MAX) return found;
  }
}

/** Asks for one namespace; null if it is not active (any more). */
export async function describeNamespace(admin: CommandSender, nsid: number): Promise<NamespaceInfo | null> {
  const ids = await identify(admin, cns.namespaceDescriptors, nsid).then(
    decodeNamespaceDescriptors,
    () => null,
  );
  const csi = ids?.csi ?? csiCode.nvm;
  const keys = csi === csiCode.keyValue;
  const data = keys ? new Uint8Array(IDENTIFY_SIZE) : await identify(admin, cns.namespace, nsid);
  const told = identifyNamespace.decode(data);
  if (told.nsze === 0 && !keys) return null;
  const format = told.lbaf[lbaFormatIndex(told.flbas, told.nlbaf)];
  const md_size = format?.ms ?? 0;
  const md_interleave = (told.flbas & FLBAS_EXTENDED) !== 0;
  const data_bytes = 2 ** (format?.lbads ?? 0);
  const nguid = ids?.nguid ?? told.nguid;
  const eui64 = ids?.eui64 ?? told.eui64;
  const known_keys = keys ? await describeKeys(admin, nsid) : null;
  return {
    ...{ nsid, csi, md_size, md_interleave },
    num_blocks: told.nsze,
    block_size: data_bytes + (md_interleave ? md_size : 0),
    uuid: ids?.uuid === undefined || isZeroId(ids.uuid) ? '' : formatUuid(ids.uuid),
    nguid: isZeroId(nguid) ? '' : formatNguid(nguid),
    eui64: isZeroId(eui64) ? '' : formatEui64(eui64),
    anagrpid: known_keys?.anagrpid ?? told.anagrpid,
    identify: told,
    limits: await describeLimits(admin),
    zones: csi === csiCode.zoned ? await describeZones(admin, nsid, told) : null,
    kv: known_keys?.kv ?? null,
    protection: md_size > 0 ? await describeProtection(admin, nsid, told) : null,
    unusable: unusable(told, csi, format?.lbads ?? 0, md_size > 0 && !md_interleave),
  };
}

function unusable(told: IdentifyNamespace, csi: number, lbads: number, separate: boolean): string {
  if (csi === csiCode.keyValue) return 'it holds keys and values, not blocks';
  if (csi !== csiCode.nvm && csi !== csiCode.zoned) return `its command set (${csi}) is not known`;
  if (lbads < LBADS_MIN || lbads > LBADS_MAX) return `its blocks of 2^${lbads} bytes are not supported`;
  if (told.nsze > Number.MAX_SAFE_INTEGER)
    return `its ${told.nsze} blocks are more than can be counted exactly`;
  if (separate) return 'its metadata have a buffer of their own, which NVMe over Fabrics does not carry';
  return '';
}

/** Whether blocks that were deallocated read as zeroes (DLFEAT). */
export function unmapZeroes({ identify: told }: NamespaceInfo): boolean {
  return (told.dlfeat & 0x7) === dlfeatBits.readsZeroes;
}
