/**
 * Transports and addresses as the Discovery log page and the RPCs name them (Base 2.0, 5.16.1.23).
 */

/** Transport Type (TRTYPE) of discovery records. */
export const trtype = { rdma: 1, fc: 2, tcp: 3, intraHost: 254 } as const;

/** Address Family (ADRFAM). */
export const adrfam = { none: 0, ipv4: 1, ipv6: 2, ib: 3, fc: 4, intraHost: 254 } as const;

/** Subsystem Type (SUBTYPE) of a discovery record. */
export const discoverySubtype = { referral: 1, nvm: 2, currentDiscovery: 3 } as const;

/**
 * Transport Requirements (TREQ): bits 1:0 secure channel. Say `notSpecified` rather than `notRequired`: nvme-cli
 * 2.3 fails to connect to records that say the latter.
 */
export const treq = {
  notSpecified: 0,
  secureChannelRequired: 1,
  secureChannelNotRequired: 2,
  /** Disabling SQ flow control is possible. */
  sqFlowControlDisableSupported: 4,
} as const;

/** Entry Flags (EFLAGS) of a discovery record. */
export const discoveryEntryFlag = {
  /** All records of this subsystem lead to the same information. */
  duplicateReturnedInformation: 1,
  /** Explicit persistent connections are supported. */
  explicitPersistentConnection: 2,
} as const;

/** TSAS of NVMe/TCP: Security Type (SECTYPE). */
export const tcpSecurity = { none: 0, tls12: 1, tls13: 2 } as const;

/** IANA port of NVMe I/O controllers. */
export const NVME_PORT = 4420;
/** IANA port of NVMe/TCP discovery controllers. */
export const DISCOVERY_PORT = 8009;

const trtypeNames = new Map<number, string>([
  [trtype.rdma, 'RDMA'],
  [trtype.fc, 'FC'],
  [trtype.tcp, 'TCP'],
  [trtype.intraHost, 'LOOP'],
]);
const adrfamNames = new Map<number, string>([
  [adrfam.ipv4, 'IPv4'],
  [adrfam.ipv6, 'IPv6'],
  [adrfam.ib, 'IB'],
  [adrfam.fc, 'FC'],
  [adrfam.intraHost, 'INTRA_HOST'],
]);

/** `TCP`, `RDMA`, …, or the number. */
export function trtypeName(code: number): string {
  return trtypeNames.get(code) ?? String(code);
}

/** `IPv4`, `IPv6`, …, or the number. */
export function adrfamName(code: number): string {
  return adrfamNames.get(code) ?? String(code);
}

/** ADRFAM of a name in any case, or undefined. */
export function parseAdrfam(name: string): number | undefined {
  for (const [code, known] of adrfamNames) if (known.toLowerCase() === name.toLowerCase()) return code;
  return undefined;
}
