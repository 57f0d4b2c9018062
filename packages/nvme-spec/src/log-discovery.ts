/**
 * Discovery log page (70h; Base 2.0, 5.16.1.23): a header of 1024 bytes, then records of 1024 bytes each. Codes
 * are in `transport.ts`.
 */
import { viewOf } from './bytes.ts';
import { ascii, type StructValue, struct, u8, u16, u32, u64, utf8 } from './struct.ts';

/** Bytes of the header, and of each record. */
export const DISCOVERY_ENTRY_SIZE = 1024;

export const discoveryLogHeader = struct(DISCOVERY_ENTRY_SIZE, {
  genctr: u64(0), // generation counter, steps with every change
  numrec: u64(8), // number of records
  recfmt: u16(16), // record format, 0
  dlpf: u8(18), // discovery log page flags
  tdlpl: u32(20), // total discovery log page length, with extended records
});
export type DiscoveryLogHeader = StructValue<typeof discoveryLogHeader>;

export const discoveryLogEntry = struct(DISCOVERY_ENTRY_SIZE, {
  trtype: u8(0), // `trtype`
  adrfam: u8(1), // `adrfam`
  subtype: u8(2), // `discoverySubtype`
  treq: u8(3), // `treq`
  portid: u16(4), // port of the NVM subsystem
  cntlid: u16(6), // FFFFh: dynamic controllers
  asqsz: u16(8), // admin submission queue size, at least 32
  eflags: u16(10), // `discoveryEntryFlag`
  trsvcid: ascii(32, 32), // transport service identifier: the port
  subnqn: utf8(256, 256),
  traddr: ascii(512, 256), // transport address
  sectype: u8(768), // first byte of TSAS; of NVMe/TCP: `tcpSecurity`
});
export type DiscoveryLogEntry = StructValue<typeof discoveryLogEntry>;

/** Log Specific Parameter of Get Log Page. */
export const discoveryLsp = { extended: 0x1, portLocal: 0x2, allSubsystems: 0x4 } as const;

/** Discovery Log Page Flags (DLPF). */
export const discoveryLogFlag = { extended: 0x1 } as const;

/** Extended Attribute Type (EXATTYPE) of extended records. */
export const extendedAttribute = { hostIdentifier: 0x1, adminLabel: 0x2, adminLabelUtf8: 0x3 } as const;

/** Bytes of TEL, NUMEXAT and what is reserved behind them, and of each attribute's type and length. */
const EXTENSION_HEADER = 8;
const ATTRIBUTE_HEADER = 4;

/** A record to be encoded; `adminLabel`, in ASCII, is in extended records only. */
export type DiscoveryRecord = Partial<DiscoveryLogEntry> & { readonly adminLabel?: string };

/** Bytes that an attribute's value takes (EXATLEN): a multiple of 4. */
const paddedLength = (label: string): number => Math.ceil(label.length / 4) * 4;

function recordSize({ adminLabel }: DiscoveryRecord, extended: boolean): number {
  if (!extended) return DISCOVERY_ENTRY_SIZE;
  const attribute = adminLabel === undefined ? 0 : ATTRIBUTE_HEADER + paddedLength(adminLabel);
  return DISCOVERY_ENTRY_SIZE + EXTENSION_HEADER + attribute;
}

function encodeExtension(record: DiscoveryRecord, out: Uint8Array, offset: number): void {
  const { adminLabel } = record;
  const view = viewOf(out);
  view.setUint32(offset, recordSize(record, true), true);
  if (adminLabel === undefined) return;
  view.setUint16(offset + 4, 1, true);
  const attribute = offset + EXTENSION_HEADER;
  view.setUint16(attribute, extendedAttribute.adminLabel, true);
  view.setUint16(attribute + 2, paddedLength(adminLabel), true);
  out.set(new TextEncoder().encode(adminLabel), attribute + ATTRIBUTE_HEADER);
}

/**
 * The whole page in a new array, to be sent in the slices that hosts ask for. `extended`: each record is followed by
 * its total length and attributes.
 */
export function encodeDiscoveryLog(
  genctr: number,
  records: readonly DiscoveryRecord[],
  extended = false,
): Uint8Array {
  const total = records.reduce((size, record) => size + recordSize(record, extended), DISCOVERY_ENTRY_SIZE);
  const out = new Uint8Array(total);
  const flags = extended ? { dlpf: discoveryLogFlag.extended, tdlpl: total } : {};
  discoveryLogHeader.encode({ genctr, numrec: records.length, ...flags }, out);
  let offset = DISCOVERY_ENTRY_SIZE;
  for (const record of records) {
    discoveryLogEntry.encode(record, out, offset);
    if (extended) encodeExtension(record, out, offset + DISCOVERY_ENTRY_SIZE);
    offset += recordSize(record, extended);
  }
  return out;
}

/** Reads a whole page. Throws RangeError if it claims more records than `bytes` holds. */
export function decodeDiscoveryLog(bytes: Uint8Array): { genctr: number; entries: DiscoveryLogEntry[] } {
  const { genctr, numrec } = discoveryLogHeader.decode(bytes);
  if (numrec >= bytes.length / DISCOVERY_ENTRY_SIZE) throw new RangeError('Discovery log page is cut off');
  const entries = Array.from({ length: numrec }, (_, i) =>
    discoveryLogEntry.decode(bytes, DISCOVERY_ENTRY_SIZE * (i + 1)),
  );
  return { genctr, entries };
}
