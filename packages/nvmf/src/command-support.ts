import { commandEffect, csi, kvOpcode, nvmOpcode, oncs, vwc, znsOpcode } from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import { hasReservations } from './reservation-commands.ts';
import type { NamespaceView } from './subsystem-view.ts';

const { supported, lbcc, controllerScope } = commandEffect;
/** No scope is told, as may be (CSP is 0): Linux warns of I/O commands that have one. */
const reads = supported;
const writes = supported | lbcc;
const reservationOpcodes = [
  nvmOpcode.reservationRegister,
  nvmOpcode.reservationReport,
  nvmOpcode.reservationAcquire,
  nvmOpcode.reservationRelease,
] as const;
/** Most blocks that ACWU can name. */
const ACWU_MAX = 0x1_0000;

/** True if a host sees a namespace of this command set: those beside the NVM Command Set must have been enabled (CC.CSS). */
export function isEnabled({ state }: NvmfController, set: number): boolean {
  return set === csi.nvm || state.allCommandSets;
}

/**
 * Optional commands, bits of ONCS, of which hosts make use wherever they are, and which therefore all of these namespaces
 * must have; and such as a host asks a namespace for (a Copy has limits of its own there), so that one must. Without any
 * namespace: what most bdevs can.
 */
function optional(namespaces: readonly NamespaceView[]): number {
  const all = (bit: number, can: (ns: NamespaceView) => boolean): number => (namespaces.every(can) ? bit : 0);
  const any = (bit: number, can: (ns: NamespaceView) => boolean): number => (namespaces.some(can) ? bit : 0);
  return (
    oncs.reservations |
    all(oncs.compare, (ns) => ns.compares) |
    all(oncs.datasetManagement, (ns) => ns.unmaps) |
    all(oncs.writeZeroes, (ns) => ns.zeroes) |
    all(oncs.verify, (ns) => ns.verifies) |
    (namespaces.length === 0 ? oncs.copy : any(oncs.copy, (ns) => ns.copies)) |
    any(oncs.writeUncorrectable, (ns) => ns.makes_uncorrectable)
  );
}

/** What Identify Controller says of I/O commands, by the namespaces that are there. A host asks once, and these come and go. */
export function supportedCommands(controller: NvmfController) {
  const present = controller.subsystem.namespaces.filter((ns) => ns !== null);
  const blocks = present.filter((ns) => ns.csi !== csi.keyValue);
  const flags = optional(blocks) & ~controller.masked_oncs;
  const fusing = blocks.filter((ns) => ns.fuses);
  const fuses = (blocks.length === 0 || fusing.length > 0) && !controller.masks_fused;
  const acwu = fusing.length === 0 ? 1 : Math.min(ACWU_MAX, ...fusing.map((ns) => ns.acwu));
  const cached = present.length === 0 || present.some((ns) => ns.flushes);
  return {
    oncs: flags,
    fuses: fuses ? 1 : 0,
    acwu: acwu - 1,
    vwc: cached ? vwc.present | vwc.flushAllSupported : 0,
  };
}

/** What the log page Commands Supported and Effects says of the I/O commands of a command set, or null if there is none. */
export function ioEffects(controller: NvmfController, set: number): Map<number, number> | null {
  const common: [number, number][] = [
    [nvmOpcode.flush, reads],
    [nvmOpcode.fabrics, supported | controllerScope],
  ];
  if (hasReservations(controller)) for (const opcode of reservationOpcodes) common.push([opcode, reads]);
  if (set === csi.keyValue)
    return new Map([
      ...common,
      [kvOpcode.store, writes],
      [kvOpcode.retrieve, reads],
      [kvOpcode.list, reads],
      [kvOpcode.exist, reads],
      [kvOpcode.delete, writes],
    ]);
  if (set !== csi.nvm && set !== csi.zoned) return null;
  const members = controller.subsystem.namespaces.filter((ns) => ns?.csi === set).map((ns) => ns!);
  const flags = optional(members) & ~controller.masked_oncs;
  const effects = new Map<number, number>([...common, [nvmOpcode.write, writes], [nvmOpcode.read, reads]]);
  const add = (bit: number, opcode: number, effect: number): void => {
    if ((flags & bit) !== 0) effects.set(opcode, effect);
  };
  add(oncs.compare, nvmOpcode.compare, reads);
  add(oncs.writeZeroes, nvmOpcode.writeZeroes, writes);
  add(oncs.datasetManagement, nvmOpcode.datasetManagement, writes);
  add(oncs.verify, nvmOpcode.verify, reads);
  if (set === csi.nvm) add(oncs.copy, nvmOpcode.copy, writes);
  add(oncs.writeUncorrectable, nvmOpcode.writeUncorrectable, writes);
  if (set === csi.zoned) {
    effects.set(znsOpcode.zoneManagementSend, writes);
    effects.set(znsOpcode.zoneManagementReceive, reads);
    effects.set(znsOpcode.zoneAppend, writes);
  }
  return effects;
}
