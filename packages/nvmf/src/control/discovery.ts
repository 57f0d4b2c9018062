import {
  adrfam,
  CNTLID_DYNAMIC,
  CNTLID_STATIC,
  type DiscoveryRecord,
  discoveryEntryFlag,
  discoveryLsp,
  discoverySubtype,
  encodeDiscoveryLog,
  parseAdrfam,
  tcpSecurity,
  treq,
  trtype,
} from '@spdk-ts/nvme-spec';
import type { TransportAddress } from '../qpair.ts';
import type { Subsystem } from './subsystem.ts';

/** Another discovery service that ours points to. */
export interface Referral {
  readonly address: TransportAddress;
  readonly secure_channel: boolean;
  readonly subnqn: string;
}

/** What of a discovery connection's address must match a record's for the record to be shown. */
export type DiscoveryFilter = 'transport' | 'address' | 'svcid';

const everything: readonly DiscoveryFilter[] = ['transport', 'address', 'svcid'];
const trtypes: Readonly<Record<string, number>> = { TCP: trtype.tcp, RDMA: trtype.rdma, FC: trtype.fc };
/** Queue entries told of services whose transport is not ours. */
const REFERRAL_ASQSZ = 128;

function matches(
  record: TransportAddress,
  connection: TransportAddress,
  filters: readonly DiscoveryFilter[],
): boolean {
  return filters.every((filter) => {
    if (filter === 'transport') return record.trtype === connection.trtype;
    if (filter === 'address')
      return record.adrfam === connection.adrfam && record.traddr === connection.traddr;
    return record.trsvcid === connection.trsvcid;
  });
}

function entry(
  subtype: number,
  subnqn: string,
  address: TransportAddress,
  portid: number,
  asqsz: number,
  eflags: number,
  secure: boolean,
  cntlid = CNTLID_DYNAMIC,
): DiscoveryRecord {
  return {
    trtype: trtypes[address.trtype] ?? 0,
    adrfam: parseAdrfam(address.adrfam) ?? adrfam.none,
    subtype,
    // "Not specified": nvme-cli 2.3 gives up on "not required".
    treq: secure ? treq.secureChannelRequired : treq.notSpecified,
    sectype: secure && address.trtype === 'TCP' ? tcpSecurity.tls13 : tcpSecurity.none,
    ...{ portid, cntlid, asqsz, eflags },
    ...{ trsvcid: address.trsvcid, subnqn, traddr: address.traddr },
  };
}

/** Where a host sees the discovery log page from, and what of it: bits of `discoveryLsp`. */
export interface DiscoveryView {
  readonly hostnqn: string;
  readonly address: TransportAddress;
  readonly lsp: number;
}

/** What the page tells of. */
export interface DiscoverySource {
  readonly genctr: number;
  readonly subsystems: Iterable<Subsystem>;
  readonly referrals: readonly Referral[];
  readonly filters: readonly DiscoveryFilter[];
  readonly admin_depth: (trtype: string) => number;
}

/** Records of the discovery service itself, at each of its listeners. */
function ownFlags(filters: readonly DiscoveryFilter[]): number {
  // Whatever of them a host asks, it is told the same, unless the answer depends on where it asks.
  const same = filters.length === 0 ? discoveryEntryFlag.duplicateReturnedInformation : 0;
  return same | discoveryEntryFlag.explicitPersistentConnection;
}

/** The discovery log page (70h) as a host may see it. */
export function discoveryLog(
  source: DiscoverySource,
  { hostnqn, address: at, lsp }: DiscoveryView,
): Uint8Array {
  const portLocal = (lsp & discoveryLsp.portLocal) !== 0;
  const filters = portLocal ? everything : source.filters;
  const records: DiscoveryRecord[] = [];
  for (const subsystem of source.subsystems) {
    if (subsystem.ending || !subsystem.allows(hostnqn)) continue;
    const discovery = subsystem.subtype === 'Discovery';
    const { admin_label, static_controllers } = subsystem.options;
    const cntlid = static_controllers ? CNTLID_STATIC : CNTLID_DYNAMIC;
    for (const { id, address, secure_channel } of subsystem.listeners) {
      // What no host on a network can connect to.
      if (trtypes[address.trtype] === undefined) continue;
      if (!matches(address, at, filters)) continue;
      const subtype = discovery ? discoverySubtype.currentDiscovery : discoverySubtype.nvm;
      const depth = source.admin_depth(address.trtype);
      const eflags = discovery ? ownFlags(source.filters) : 0;
      const record = entry(subtype, subsystem.shown_nqn, address, id, depth, eflags, secure_channel, cntlid);
      records.push(admin_label === undefined ? record : { ...record, adminLabel: admin_label });
    }
  }
  if (!portLocal)
    for (const { address, subnqn, secure_channel } of source.referrals)
      records.push(entry(discoverySubtype.referral, subnqn, address, 0, REFERRAL_ASQSZ, 0, secure_channel));
  return encodeDiscoveryLog(source.genctr, records, (lsp & discoveryLsp.extended) !== 0);
}
