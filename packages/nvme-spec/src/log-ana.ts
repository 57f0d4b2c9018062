/**
 * Asymmetric Namespace Access log page (0Ch; Base 2.0, 5.16.1.13): a header, then one descriptor per ANA group
 * with the NSIDs it holds.
 *
 *      header       0  change count     8  number of descriptors
 *      descriptor   0  group id     4  number of NSIDs     8  change count     16  state (3:0)     32  NSIDs
 */
import { getUint64, setUint64, viewOf } from './bytes.ts';

const HEADER_SIZE = 16;
const DESCRIPTOR_SIZE = 32;

/** ANA states. */
export const anaState = {
  optimized: 0x1,
  nonOptimized: 0x2,
  inaccessible: 0x3,
  persistentLoss: 0x4,
  change: 0xf,
} as const;

/** Log Specific Parameter: Return Groups Only, leave the NSIDs out. */
export const ANA_LSP_RGO = 0x1;

export interface AnaGroup {
  /** ANA Group Identifier, not 0. */
  anagrpid: number;
  chgcnt: number;
  /** One of `anaState`. */
  state: number;
  /** In increasing order. */
  nsids: readonly number[];
}

export interface AnaLog {
  /** Change count of the page; 0 where not reported. */
  chgcnt: number;
  /** In increasing order of their identifiers. */
  groups: readonly AnaGroup[];
}

/** Bytes of the page. */
export function anaLogSize(groups: readonly AnaGroup[], groupsOnly = false): number {
  return groups.reduce(
    (size, group) => size + DESCRIPTOR_SIZE + (groupsOnly ? 0 : group.nsids.length * 4),
    HEADER_SIZE,
  );
}

/** Writes the page into `out`, which holds at least `anaLogSize` bytes. */
export function encodeAnaLog(log: AnaLog, out: Uint8Array, groupsOnly = false): void {
  out.fill(0, 0, anaLogSize(log.groups, groupsOnly));
  const view = viewOf(out);
  setUint64(view, 0, log.chgcnt);
  view.setUint16(8, log.groups.length, true);
  let at = HEADER_SIZE;
  for (const group of log.groups) {
    const nsids = groupsOnly ? [] : group.nsids;
    view.setUint32(at, group.anagrpid, true);
    view.setUint32(at + 4, nsids.length, true);
    setUint64(view, at + 8, group.chgcnt);
    view.setUint8(at + 16, group.state);
    at += DESCRIPTOR_SIZE;
    for (const nsid of nsids) {
      view.setUint32(at, nsid, true);
      at += 4;
    }
  }
}

/** Reads the page. Throws RangeError if it claims more than `bytes` holds. */
export function decodeAnaLog(bytes: Uint8Array): AnaLog {
  const view = viewOf(bytes);
  const groups: AnaGroup[] = [];
  let at = HEADER_SIZE;
  for (let left = view.getUint16(8, true); left > 0; left--) {
    const count = view.getUint32(at + 4, true);
    const start = at + DESCRIPTOR_SIZE;
    if (start + count * 4 > bytes.length) throw new RangeError('ANA log page is cut off');
    groups.push({
      anagrpid: view.getUint32(at, true),
      chgcnt: getUint64(view, at + 8),
      state: view.getUint8(at + 16) & 0xf,
      nsids: Array.from({ length: count }, (_, i) => view.getUint32(start + i * 4, true)),
    });
    at = start + count * 4;
  }
  return { chgcnt: getUint64(view, 0), groups };
}
