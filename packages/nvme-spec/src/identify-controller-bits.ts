/**
 * Bits of Identify Controller's fields (Base 2.0, 5.17.2.1), named as their fields.
 */

/** Controller Multi-path I/O and Namespace Sharing Capabilities. */
export const cmic = {
  multiplePorts: 0x01,
  multipleControllers: 0x02,
  sriov: 0x04,
  anaReporting: 0x08,
} as const;

/** Optional Asynchronous Events Supported; the same bits enable them in `aec`. */
export const oaes = {
  namespaceAttribute: 0x100,
  firmwareActivation: 0x200,
  anaChange: 0x800,
  predictableLatency: 0x1000,
  lbaStatus: 0x2000,
  enduranceGroup: 0x4000,
  normalShutdown: 0x8000,
  zoneDescriptorChanged: 0x800_0000,
  discoveryLogChange: 0x8000_0000,
} as const;

/** Controller Attributes. */
export const ctratt = {
  /** 128-bit Host Identifier. */
  hostId128: 0x1,
  nonOperationalPermissive: 0x2,
  nvmSets: 0x4,
  readRecoveryLevels: 0x8,
  enduranceGroups: 0x10,
  predictableLatency: 0x20,
  /** Traffic Based Keep Alive Support. */
  trafficBasedKeepAlive: 0x40,
  namespaceGranularity: 0x80,
  sqAssociations: 0x100,
  uuidList: 0x200,
  multiDomain: 0x400,
  fixedCapacity: 0x800,
  variableCapacity: 0x1000,
  deleteEnduranceGroup: 0x2000,
  deleteNvmSet: 0x4000,
  /** Extended LBA Formats Supported. */
  extendedLbaFormats: 0x8000,
  /** MDTS and size limits exclude metadata. */
  mdtsExcludesMetadata: 0x1_0000,
  flexibleDataPlacement: 0x8_0000,
} as const;

/** Controller Type (CNTRLTYPE). */
export const controllerType = { notReported: 0, io: 1, discovery: 2, administrative: 3 } as const;

/** Discovery Controller Type (DCTYPE). */
export const discoveryControllerType = { notReported: 0, direct: 1, central: 2 } as const;

/** Optional Admin Command Support. */
export const oacs = {
  security: 0x1,
  format: 0x2,
  firmware: 0x4,
  namespaceManagement: 0x8,
  deviceSelfTest: 0x10,
  directives: 0x20,
  nvmeMi: 0x40,
  virtualization: 0x80,
  doorbellBufferConfig: 0x100,
  getLbaStatus: 0x200,
  lockdown: 0x400,
} as const;

/** Firmware Updates; bits 3:1 hold the number of slots. */
export const frmw = { slot1ReadOnly: 0x01, activationWithoutReset: 0x10, overlapDetection: 0x20 } as const;
export const FRMW_SLOTS_SHIFT = 1;

/** Log Page Attributes. */
export const lpa = {
  smartPerNamespace: 0x01,
  commandEffects: 0x02,
  /** Log page offset and 32-bit NUMD. */
  extendedData: 0x04,
  telemetry: 0x08,
  persistentEvent: 0x10,
  /** Log pages 00h, 12h, 13h and the scope fields of 05h. */
  supportedAndEffects: 0x20,
  telemetryDataArea4: 0x40,
} as const;

/** ANA Capabilities. */
export const anacap = {
  optimized: 0x01,
  nonOptimized: 0x02,
  inaccessible: 0x04,
  persistentLoss: 0x08,
  change: 0x10,
  /** ANAGRPID of a namespace does not change while it is attached. */
  anagrpidStable: 0x40,
  /** ANAGRPID may be given to Namespace Management. */
  anagrpidSettable: 0x80,
} as const;

/** Optional NVM Command Support. */
export const oncs = {
  compare: 0x1,
  writeUncorrectable: 0x2,
  datasetManagement: 0x4,
  writeZeroes: 0x8,
  /** Save and select fields of Set and Get Features. */
  saveAndSelect: 0x10,
  reservations: 0x20,
  timestamp: 0x40,
  verify: 0x80,
  copy: 0x100,
} as const;

/** Fused Operation Support. */
export const fuses = { compareAndWrite: 0x1 } as const;

/** Format NVM Attributes. */
export const fna = { formatAll: 0x1, eraseAll: 0x2, cryptographicErase: 0x4, noBroadcast: 0x8 } as const;

/** Volatile Write Cache; bits 2:1 say what Flush with NSID FFFFFFFFh does. */
export const vwc = { present: 0x1, flushAllUnsupported: 0x4, flushAllSupported: 0x6 } as const;

/** SGL Support; bits 1:0 say whether at all. */
export const sgls = {
  supported: 0x1,
  supportedDwordAligned: 0x2,
  keyed: 0x4,
  bitBucket: 0x1_0000,
  metadataPointerByteAligned: 0x2_0000,
  oversized: 0x4_0000,
  metadataSgl: 0x8_0000,
  /** Address field as offset: in-capsule data. */
  offset: 0x10_0000,
  transportDataBlock: 0x20_0000,
} as const;

/** Fabrics Controller Attributes. */
export const fcatt = { staticModel: 0x1 } as const;

/** Optional Fabric Commands Support. */
export const ofcs = { disconnect: 0x1 } as const;
