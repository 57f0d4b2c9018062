/** Numbers of the vfio-user protocol 0.1 (QEMU, docs/interop/vfio-user.rst) and of the parts of linux/vfio.h that it uses. */

/** Bytes of the header that every message begins with. */
export const HEADER_BYTES = 16;

export const PROTOCOL_MAJOR = 0;
export const PROTOCOL_MINOR = 1;

export const Command = {
  version: 1,
  dmaMap: 2,
  dmaUnmap: 3,
  deviceGetInfo: 4,
  deviceGetRegionInfo: 5,
  deviceGetRegionIoFds: 6,
  deviceGetIrqInfo: 7,
  deviceSetIrqs: 8,
  regionRead: 9,
  regionWrite: 10,
  dmaRead: 11,
  dmaWrite: 12,
  deviceReset: 13,
  regionWriteMulti: 15,
  deviceFeature: 16,
  migDataRead: 17,
  migDataWrite: 18,
} as const;

const commandNames = new Map<number, string>(Object.entries(Command).map(([name, number]) => [number, name]));

/** What a command is called in messages for people. */
export function commandName(command: number): string {
  return commandNames.get(command) ?? `command ${command}`;
}

/** Flags of the header: the type in bits 3:0, then single bits. */
export const HeaderFlag = { typeMask: 0xf, command: 0, reply: 1, noReply: 0x10, error: 0x20 } as const;

export const DmaMapFlag = { readable: 1, writeable: 2 } as const;
export const DmaUnmapFlag = { all: 2 } as const;

export const DeviceFlag = { reset: 1, pci: 2 } as const;
export const RegionFlag = { read: 1, write: 2, mmap: 4, caps: 8 } as const;
/** Id of the capability that says which parts of a region can be mapped. */
export const CAP_SPARSE_MMAP = 1;

export const IrqInfoFlag = { eventfd: 1, maskable: 2, automasked: 4, noresize: 8 } as const;
/** What SET_IRQS brings (data) and wants (action): one of each. */
export const IrqData = { none: 1, bool: 2, eventfd: 4 } as const;
export const IrqAction = { mask: 8, unmask: 16, trigger: 32 } as const;

/** Regions and interrupts of a PCI device (linux/vfio.h). */
export const PciRegion = { bar0: 0, bar5: 5, rom: 6, config: 7, vga: 8, count: 9 } as const;
export const PciIrq = { intx: 0, msi: 1, msix: 2, err: 3, req: 4, count: 5 } as const;

export const DeviceFeatureFlag = {
  indexMask: 0xffff,
  get: 0x1_0000,
  set: 0x2_0000,
  probe: 0x4_0000,
} as const;

/** Addresses, offsets and sizes must lie below this (2^52): they are exact as numbers. */
export const ADDRESS_LIMIT = 2 ** 52;
