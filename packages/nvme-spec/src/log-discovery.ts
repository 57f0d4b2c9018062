/**
 * Discovery log page (70h; Base 2.0, 5.16.1.23): a header of 1024 bytes, then records of 1024 bytes each. Codes
 * are in `transport.ts`.
 */
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

/** The whole page in a new array, to be sent in the slices that hosts ask for. */
export function encodeDiscoveryLog(
  genctr: number,
  entries: readonly Partial<DiscoveryLogEntry>[],
): Uint8Array {
  const out = new Uint8Array(DISCOVERY_ENTRY_SIZE * (entries.length + 1));
  discoveryLogHeader.encode({ genctr, numrec: entries.length }, out);
  entries.forEach((entry, i) => {
    discoveryLogEntry.encode(entry, out, DISCOVERY_ENTRY_SIZE * (i + 1));
  });
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
