/**
 * Log pages about the controller's health: Error Information (01h), SMART / Health Information (02h) and Firmware
 * Slot Information (03h). Base 2.0, 5.16.1.2 to 5.16.1.4.
 */
import { ascii, repeat, type StructValue, struct, u8, u16, u32, u64, u128 } from './struct.ts';

/** One entry of the Error Information log page, newest first; an `errorCount` of 0 marks an unused one. */
export const errorLogEntry = struct(64, {
  errorCount: u64(0),
  sqid: u16(8), // FFFFh: not specific to a command
  cid: u16(10),
  statusField: u16(12), // status in 15:1, phase tag in 0
  parameterErrorLocation: u16(14), // byte in 7:0, bit in 10:8; FFFFh: not specific to a parameter
  lba: u64(16),
  nsid: u32(24),
  vendorSpecific: u8(28),
  trtype: u8(29),
  csi: u8(30),
  opc: u8(31),
  commandSpecific: u64(32),
  trtypeSpecific: u16(40),
  version: u8(63),
});
export type ErrorLogEntry = StructValue<typeof errorLogEntry>;

/** SMART / Health Information log page. Counters of 128 bits are rounded above 2^53. */
export const smartLog = struct(512, {
  criticalWarning: u8(0), // `criticalWarning`
  compositeTemperature: u16(1), // K
  availableSpare: u8(3), // percent
  availableSpareThreshold: u8(4), // percent
  percentageUsed: u8(5), // may exceed 100
  enduranceGroupCriticalWarning: u8(6),
  dataUnitsRead: u128(32), // thousands of 512 bytes
  dataUnitsWritten: u128(48), // thousands of 512 bytes
  hostReadCommands: u128(64),
  hostWriteCommands: u128(80),
  controllerBusyTime: u128(96), // minutes
  powerCycles: u128(112),
  powerOnHours: u128(128),
  unsafeShutdowns: u128(144),
  mediaErrors: u128(160),
  errorLogEntries: u128(176),
  warningTemperatureTime: u32(192), // minutes
  criticalTemperatureTime: u32(196), // minutes
  temperatureSensors: repeat(200, 8, 2, u16), // K; 0: not implemented
  thermalTransitions1: u32(216),
  thermalTransitions2: u32(220),
  thermalTime1: u32(224), // seconds
  thermalTime2: u32(228), // seconds
});
export type SmartLog = StructValue<typeof smartLog>;

/** Critical Warning of the SMART log page; the same bits enable the events in `aec`. */
export const criticalWarning = {
  spare: 0x01,
  temperature: 0x02,
  reliability: 0x04,
  readOnly: 0x08,
  volatileBackupFailed: 0x10,
  persistentMemoryReadOnly: 0x20,
} as const;

/** Firmware Slot Information log page. */
export const firmwareSlotLog = struct(512, {
  afi: u8(0), // active slot in 2:0, slot after the next reset in 6:4
  frs: repeat(8, 7, 8, (offset) => ascii(offset, 8)), // revisions of slots 1 … 7
});
export type FirmwareSlotLog = StructValue<typeof firmwareSlotLog>;
