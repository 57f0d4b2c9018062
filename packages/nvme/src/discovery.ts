import {
  adrfamName,
  DISCOVERY_ENTRY_SIZE,
  type DiscoveryLogEntry,
  decodeDiscoveryLog,
  discoveryLogHeader,
  discoverySubtype,
  lid,
  trtypeName,
} from '@spdk-ts/nvme-spec';
import { getLogPage } from './async-events.ts';
import type { Commands } from './commands.ts';
import { NvmeController } from './controller.ts';
import { NvmeError } from './errors.ts';
import type { NvmeTarget } from './node-identity.ts';
import type { NvmePollGroup } from './poll-group.ts';
import { makeTransportId, type TransportId } from './transport-id.ts';

/** Bytes that are asked for at once. */
const CHUNK_BYTES = 4 * DISCOVERY_ENTRY_SIZE;
const RECORDS_MAX = 65_536;
const ATTEMPTS = 8;

export interface DiscoveryLog {
  readonly genctr: number;
  readonly entries: readonly DiscoveryLogEntry[];
}

/**
 * Reads the discovery log (Base 2.0, 5.16.1.23): anew if it changes meanwhile. Rejects with an {@link NvmeError}; EPROTOCOL if the log
 * keeps changing, or claims more than 65536 records.
 */
export async function readDiscoveryLog(admin: Commands): Promise<DiscoveryLog> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const head = await getLogPage(admin, lid.discovery, DISCOVERY_ENTRY_SIZE);
    const { genctr, numrec } = discoveryLogHeader.decode(head);
    if (numrec > RECORDS_MAX)
      throw new NvmeError('EPROTOCOL', `${admin.qpair.name}: the discovery log claims ${numrec} records`);
    const log = new Uint8Array((numrec + 1) * DISCOVERY_ENTRY_SIZE);
    log.set(head);
    for (let offset = DISCOVERY_ENTRY_SIZE; offset < log.length; offset += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, log.length - offset);
      log.set(await getLogPage(admin, lid.discovery, length, { offset }), offset);
    }
    const again = discoveryLogHeader.decode(await getLogPage(admin, lid.discovery, DISCOVERY_ENTRY_SIZE));
    if (again.genctr === genctr) return { genctr, entries: decodeDiscoveryLog(log).entries };
  }
  throw new NvmeError(
    'EPROTOCOL',
    `${admin.qpair.name}: the discovery log changes faster than it can be read`,
  );
}

/** Where a record leads, or null where this host has no transport for it, or the record is no address. */
export function recordTransportId(entry: DiscoveryLogEntry): TransportId | null {
  try {
    return makeTransportId({
      trtype: trtypeName(entry.trtype),
      adrfam: adrfamName(entry.adrfam),
      traddr: entry.traddr.trim(),
      trsvcid: entry.trsvcid.trim(),
      subnqn: entry.subnqn,
    });
  } catch {
    return null;
  }
}

/** The records of subsystems, and those of further discovery controllers. */
export function splitDiscoveryLog({ entries }: DiscoveryLog): {
  readonly subsystems: readonly DiscoveryLogEntry[];
  readonly referrals: readonly DiscoveryLogEntry[];
} {
  return {
    subsystems: entries.filter(({ subtype }) => subtype === discoverySubtype.nvm),
    referrals: entries.filter(({ subtype }) => subtype === discoverySubtype.referral),
  };
}

/** Discovery controllers that are looked into, the first included: referrals beyond that are not followed. */
export const DISCOVERY_CONTROLLERS_MAX = 64;

/** What two transport ids of one subsystem at one address have in common. */
export const addressKey = ({ traddr, trsvcid, subnqn }: TransportId): string =>
  `${traddr} ${trsvcid} ${subnqn}`;

/** Where a log's records of one kind lead: once each, and without those that this host has no transport for. */
export function leadsTo(entries: readonly DiscoveryLogEntry[]): TransportId[] {
  const found = new Map<string, TransportId>();
  for (const entry of entries) {
    const trid = recordTransportId(entry);
    if (trid !== null) found.set(addressKey(trid), trid);
  }
  return [...found.values()];
}

/** One discovery controller's log, or why it could not be read. */
export interface ReadLog {
  readonly trid: TransportId;
  readonly log: DiscoveryLog | null;
  readonly error: Error | null;
}

/**
 * Reads the logs that a log refers to, and those that these refer to, each controller's once: whoever refers to whom, it ends. They are
 * connected to with the options of `target`, where the first log is from.
 */
export async function readReferrals(
  group: NvmePollGroup,
  target: NvmeTarget,
  first: DiscoveryLog,
): Promise<ReadLog[]> {
  const seen = new Set([addressKey(target.trid)]);
  const logs: ReadLog[] = [];
  const waiting = leadsTo(splitDiscoveryLog(first).referrals);
  for (let trid = waiting.shift(); trid !== undefined; trid = waiting.shift()) {
    if (seen.has(addressKey(trid)) || seen.size >= DISCOVERY_CONTROLLERS_MAX) continue;
    seen.add(addressKey(trid));
    const read = await readLogAt(group, { ...target, trid: { ...trid, hostaddr: target.trid.hostaddr } });
    logs.push(read);
    if (read.log !== null) waiting.push(...leadsTo(splitDiscoveryLog(read.log).referrals));
  }
  return logs;
}

async function readLogAt(group: NvmePollGroup, target: NvmeTarget): Promise<ReadLog> {
  const { trid } = target;
  try {
    const controller = await NvmeController.connect(group, target);
    try {
      return { trid, log: await readDiscoveryLog(controller.admin), error: null };
    } finally {
      await controller.close();
    }
  } catch (error) {
    return { trid, log: null, error: error as Error };
  }
}
