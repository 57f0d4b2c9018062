import {
  adminOpcode,
  cns,
  csi,
  DPS_FIRST,
  elbafPif,
  IDENTIFY_SIZE,
  type IdentifyNamespace,
  identifyControllerNvm,
  identifyControllerZns,
  identifyDwords,
  identifyNamespaceKv,
  identifyNamespaceNvm,
  identifyNamespaceZns,
  KV_KEY_MAX,
  lbaFormatIndex,
  ozcs,
  ZONES_UNLIMITED,
} from '@spdk-ts/nvme-spec';
import type { CommandSender } from './commands.ts';

/** Zones of a namespace (Zoned Namespace Command Set 1.1, 4.1.5.1); blocks and zones. */
export interface ZonedNamespace {
  readonly zone_size: number;
  /** 0: no limit. */
  readonly max_open_zones: number;
  readonly max_active_zones: number;
  /** Reads may cross zones. */
  readonly cross_reads: boolean;
  /** Bytes of a Zone Append; 0: as of any command. */
  readonly append_bytes: number;
}

/** What a namespace of keys takes (Key Value Command Set 1.0, 4.1.5.1); bytes. */
export interface KeyValueNamespace {
  readonly max_key_len: number;
  readonly max_value_len: number;
  /** 0: not told. */
  readonly max_num_keys: number;
  readonly capacity: number;
}

/** Protection information of a namespace's blocks (NVM Command Set 1.0, 5.2). */
export interface NamespaceProtection {
  /** 1 to 3. */
  readonly type: number;
  /** It lies in the first bytes of the metadata, not the last. */
  readonly is_head: boolean;
  /** Guards of 16 (0), 32 (1) or 64 bits (2). */
  readonly format: number;
}

/** Limits of single commands; 0 where the controller tells none. */
export interface CommandLimits {
  /** Bytes of a Write Zeroes. */
  readonly zeroes_bytes: number;
  /** Of Dataset Management: ranges, and blocks of one. */
  readonly ranges: number;
  readonly range_blocks: number;
}

/** What sizes like MDTS count, where CAP.MPSMIN is 0: elsewhere they are larger, which is no harm. */
const PAGE_BYTES = 4096;

/** Identify that need not be had: zeroes, if the controller refuses it. */
async function tryIdentify(
  admin: CommandSender,
  structure: number,
  nsid: number,
  set: number,
): Promise<Uint8Array> {
  const fields = { opcode: adminOpcode.identify, nsid, ...identifyDwords(structure, set, 0) };
  const what = `Identify (CNS ${structure.toString(16).padStart(2, '0')}h, CSI ${set})`;
  const { status, data } = await admin.run(fields, { in: IDENTIFY_SIZE, what });
  return status === 0 ? data : new Uint8Array(IDENTIFY_SIZE);
}

const pages = (exponent: number): number => (exponent === 0 ? 0 : 2 ** Math.min(exponent, 31) * PAGE_BYTES);

/** 0's based, all ones for no limit. */
const zones = (value: number): number => (value === ZONES_UNLIMITED ? 0 : value + 1);

/** The zones of a namespace of which Identify has told the rest, or null. */
export async function describeZones(
  admin: CommandSender,
  nsid: number,
  { flbas, nlbaf }: IdentifyNamespace,
): Promise<ZonedNamespace> {
  const told = identifyNamespaceZns.decode(await tryIdentify(admin, cns.csiNamespace, nsid, csi.zoned));
  const { zasl } = identifyControllerZns.decode(await tryIdentify(admin, cns.csiController, 0, csi.zoned));
  return {
    zone_size: told.lbafe[lbaFormatIndex(flbas, nlbaf)]?.zsze ?? 0,
    max_open_zones: zones(told.mor),
    max_active_zones: zones(told.mar),
    cross_reads: (told.ozcs & ozcs.readAcrossZones) !== 0,
    append_bytes: pages(zasl),
  };
}

/** A namespace of keys, and what any namespace has. */
export async function describeKeys(admin: CommandSender, nsid: number) {
  const told = identifyNamespaceKv.decode(await tryIdentify(admin, cns.csiNamespace, nsid, csi.keyValue));
  const { kvkml = 0, kvvml = 0, mnks = 0 } = told.kvf[told.kvfc & 0xf] ?? {};
  const kv: KeyValueNamespace = {
    ...{ max_key_len: Math.min(kvkml, KV_KEY_MAX), max_value_len: kvvml },
    ...{ max_num_keys: mnks, capacity: told.nsze },
  };
  return { kv, anagrpid: told.anagrpid };
}

/** How blocks with metadata are protected, or null. */
export async function describeProtection(
  admin: CommandSender,
  nsid: number,
  { dps, flbas, nlbaf }: IdentifyNamespace,
): Promise<NamespaceProtection | null> {
  const type = dps & 0x7;
  if (type === 0) return null;
  const { elbaf } = identifyNamespaceNvm.decode(await tryIdentify(admin, cns.csiNamespace, nsid, csi.nvm));
  const format = ((elbaf[lbaFormatIndex(flbas, nlbaf)] ?? 0) & PIF_MASK) / elbafPif.guard32;
  return { type, is_head: (dps & DPS_FIRST) !== 0, format };
}
const PIF_MASK = 0x180;

export async function describeLimits(admin: CommandSender): Promise<CommandLimits> {
  const { wzsl, dmrl, dmrsl } = identifyControllerNvm.decode(
    await tryIdentify(admin, cns.csiController, 0, csi.nvm),
  );
  return { zeroes_bytes: pages(wzsl), ranges: dmrl, range_blocks: dmrsl };
}
