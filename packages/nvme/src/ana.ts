import {
  ANA_LSP_RGO,
  type AnaLog,
  anaState,
  cmic,
  decodeAnaLog,
  type IdentifyController,
  lid,
} from '@spdk-ts/nvme-spec';
import { getLogPage } from './async-events.ts';
import type { Commands } from './commands.ts';
import type { NamespaceInfo } from './namespaces.ts';

const HEADER_BYTES = 16;
const GROUP_BYTES = 32;
const NSID_BYTES = 4;
/** Namespaces that may have come since the controller was asked for its list. */
const SPARE_NSIDS = 32;

/** True if a controller reports Asymmetric Namespace Access. */
export const reportsAna = (told: IdentifyController): boolean => (told.cmic & cmic.anaReporting) !== 0;

/**
 * Reads a controller's ANA log page (Base 2.0, 5.16.1.13): the state of each of `namespaces`, by NSID, one of `anaState`. What the log
 * does not tell of is accessible.
 */
export async function readAnaStates(
  admin: Commands,
  told: IdentifyController,
  namespaces: ReadonlyMap<number, NamespaceInfo>,
): Promise<Map<number, number>> {
  const log = await readAnaLog(admin, told, namespaces.size);
  const byNsid = new Map<number, number>();
  const byGroup = new Map<number, number>();
  for (const { anagrpid, state, nsids } of log.groups) {
    byGroup.set(anagrpid, state);
    for (const nsid of nsids) byNsid.set(nsid, state);
  }
  const states = new Map<number, number>();
  for (const [nsid, { anagrpid }] of namespaces)
    states.set(nsid, byNsid.get(nsid) ?? byGroup.get(anagrpid) ?? anaState.optimized);
  return states;
}

async function readAnaLog(admin: Commands, told: IdentifyController, count: number): Promise<AnaLog> {
  const { max_bytes } = admin.qpair.group.reactor.buffers;
  const groups = HEADER_BYTES + told.nanagrpid * GROUP_BYTES;
  const whole = groups + (count + SPARE_NSIDS) * NSID_BYTES;
  if (whole <= max_bytes) {
    try {
      return decodeAnaLog(await getLogPage(admin, lid.ana, whole));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  // More namespaces than fit: their groups alone, which Identify Namespace tells of each.
  const length = Math.min(groups, Math.floor(max_bytes / NSID_BYTES) * NSID_BYTES);
  return decodeAnaLog(await getLogPage(admin, lid.ana, length, { lsp: ANA_LSP_RGO }));
}
