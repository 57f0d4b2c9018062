import { dataBlockSize } from '@spdk-ts/bdev';
import { DifFormat } from '@spdk-ts/dif';
import {
  csi,
  DPS_FIRST,
  dlfeat,
  dpc,
  elbafPif,
  FLBAS_EXTENDED,
  identifyControllerNvm,
  identifyControllerZns,
  identifyNamespaceKv,
  identifyNamespaceNvm,
  identifyNamespaceZns,
  metadataCapability,
  nsattr,
  ozcs,
  parseEui64,
  parseNguid,
  ZONES_UNLIMITED,
} from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import { isInaccessible, sharing } from './namespace-sharing.ts';
import type { NamespaceView } from './subsystem-view.ts';
import { zoneAppendSizeLimit } from './zone-limits.ts';

const dpcTypes = [0, dpc.type1, dpc.type2, dpc.type3] as const;
const pif = {
  [DifFormat.GUARD_16]: elbafPif.guard16,
  [DifFormat.GUARD_32]: elbafPif.guard32,
  [DifFormat.GUARD_64]: elbafPif.guard64,
} as const;
/** Bits of the storage tag that a guard of 32 bits cannot do without; they are not checked. */
const STORAGE_TAG_32 = 16;

/** What Identify Namespace says of a block's metadata, and of blocks that were deallocated. */
export function blockFormat(ns: NamespaceView) {
  const { bdev } = ns.snapshot;
  const { md_size, dif_type, dif_is_head_of_md } = bdev;
  const where = dif_is_head_of_md ? dpc.firstBytes : dpc.lastBytes;
  const guard = ns.protection === null ? 0 : dlfeat.guardIsCrc;
  const clears = ns.zeroes_deallocate ? dlfeat.writeZeroesDeallocates : 0;
  return {
    lbaf: [{ ms: md_size, lbads: Math.log2(dataBlockSize(bdev)), rp: 0 }],
    // Over fabrics metadata are part of the block.
    flbas: md_size > 0 ? FLBAS_EXTENDED : 0,
    mc: md_size > 0 ? metadataCapability.extendedLba : 0,
    dpc: dif_type > 0 ? dpcTypes[dif_type]! | where : 0,
    dps: dif_type > 0 ? dif_type | (dif_is_head_of_md ? DPS_FIRST : 0) : 0,
    dlfeat: ns.unmap_zeroes ? dlfeat.readsZeroes | clears | guard : 0,
  };
}

/** CNS 05h: what a command set says of a namespace. Null if it is not one of it. */
export function describeInSet(
  ns: NamespaceView,
  set: number,
  controller: NvmfController,
  out: Uint8Array,
): Uint8Array | null {
  if (set === csi.zoned && ns.csi === csi.zoned) describeZones(ns, out);
  else if (set === csi.keyValue && ns.csi === csi.keyValue) describeKeys(controller, ns, out);
  else if (set === csi.nvm && ns.csi !== csi.keyValue) describeProtection(ns, out);
  else return null;
  return out;
}

function describeProtection({ snapshot }: NamespaceView, out: Uint8Array): void {
  const { dif_type, dif_pi_format } = snapshot.bdev;
  const format = pif[dif_pi_format as keyof typeof pif];
  const tag = dif_pi_format === DifFormat.GUARD_32 ? STORAGE_TAG_32 : 0;
  identifyNamespaceNvm.encode({ elbaf: [dif_type > 0 ? format | tag : 0] }, out);
}

function describeZones({ snapshot }: NamespaceView, out: Uint8Array): void {
  const { max_active_zones, max_open_zones, zone_size } = snapshot.bdev;
  const less1 = (most: number): number => (most === 0 ? ZONES_UNLIMITED : most - 1);
  identifyNamespaceZns.encode(
    {
      ozcs: ozcs.readAcrossZones,
      mar: less1(max_active_zones),
      mor: less1(max_open_zones),
      lbafe: [{ zsze: zone_size, zdes: 0 }],
    },
    out,
  );
}

/** How much of it is in use is not told to reactors: as for blocks, all of it. */
function describeKeys(controller: NvmfController, ns: NamespaceView, out: Uint8Array): void {
  const { snapshot, writable } = ns;
  const { bdev, nguid, eui64 } = snapshot;
  const { max_io_size } = controller.transport;
  const { capacity, max_key_len, max_value_len, max_num_keys } = bdev.kv!;
  identifyNamespaceKv.encode(
    {
      nsze: capacity,
      nuse: isInaccessible(controller, ns) ? 0 : capacity,
      ...sharing(controller, ns),
      novg: bdev.block_size,
      nsattr: writable ? 0 : nsattr.writeProtected,
      nguid: parseNguid(nguid) ?? new Uint8Array(16),
      eui64: parseEui64(eui64) ?? new Uint8Array(8),
      // A value comes in one transfer.
      kvf: [{ kvkml: max_key_len, kvvml: Math.min(max_value_len, max_io_size), mnks: max_num_keys }],
    },
    out,
  );
}

/** CNS 06h: what a command set says of the controller. Null if there is no such set. */
export function describeSetOfController(
  { subsystem, transport }: NvmfController,
  set: number,
  out: Uint8Array,
): Uint8Array | null {
  const { wzsl, dmrsl } = subsystem.snapshot;
  const namespaces = subsystem.namespaces.filter((ns) => ns !== null);
  if (set === csi.nvm) identifyControllerNvm.encode({ wzsl, dmrsl }, out);
  else if (set === csi.zoned)
    identifyControllerZns.encode({ zasl: zoneAppendSizeLimit(namespaces, transport.max_io_size) }, out);
  // Of the Key Value Command Set all is reserved.
  else if (set !== csi.keyValue) return null;
  return out;
}
