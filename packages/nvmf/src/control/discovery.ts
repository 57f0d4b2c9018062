import {
  adrfam,
  CNTLID_DYNAMIC,
  type DiscoveryLogEntry,
  discoveryEntryFlag,
  discoverySubtype,
  encodeDiscoveryLog,
  parseAdrfam,
  treq,
  trtype,
} from '@spdk-ts/nvme-spec';
import type { TransportAddress } from '../qpair.ts';
import { sameAddress } from './address-control.ts';
import type { Subsystem } from './subsystem.ts';

/** Another discovery service that ours points to. */
export interface Referral {
  readonly address: TransportAddress;
  readonly secure_channel: boolean;
  readonly subnqn: string;
}

/** What of a discovery connection's address must match a record's for the record to be shown. */
export type DiscoveryFilter = 'transport' | 'address' | 'svcid';

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
): Partial<DiscoveryLogEntry> {
  return {
    trtype: trtypes[address.trtype] ?? 0,
    adrfam: parseAdrfam(address.adrfam) ?? adrfam.none,
    subtype,
    // "Not specified": nvme-cli 2.3 gives up on "not required".
    treq: treq.notSpecified,
    ...{ portid, cntlid: CNTLID_DYNAMIC, asqsz, eflags },
    ...{ trsvcid: address.trsvcid, subnqn, traddr: address.traddr },
  };
}

/** The discovery log page (70h) as a host may see it that is connected through `connection`. */
export function discoveryLog(
  genctr: number,
  subsystems: Iterable<Subsystem>,
  referrals: readonly Referral[],
  admin_depth: (trtype: string) => number,
  hostnqn: string,
  connection: TransportAddress,
  filters: readonly DiscoveryFilter[],
): Uint8Array {
  const entries: Partial<DiscoveryLogEntry>[] = [];
  for (const subsystem of subsystems) {
    if (subsystem.ending || !subsystem.allows(hostnqn)) continue;
    const discovery = subsystem.subtype === 'Discovery';
    for (const { id, address } of subsystem.listeners) {
      if (!matches(address, connection, filters)) continue;
      const same = discovery && sameAddress(address, connection);
      const subtype = discovery ? discoverySubtype.currentDiscovery : discoverySubtype.nvm;
      const eflags = same ? discoveryEntryFlag.duplicateReturnedInformation : 0;
      entries.push(entry(subtype, subsystem.nqn, address, id, admin_depth(address.trtype), eflags));
    }
  }
  for (const { address, subnqn } of referrals)
    entries.push(entry(discoverySubtype.referral, subnqn, address, 0, REFERRAL_ASQSZ, 0));
  return encodeDiscoveryLog(genctr, entries);
}
