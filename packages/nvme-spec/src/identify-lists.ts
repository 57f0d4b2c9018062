/**
 * Lists of Identify (Base 2.0, 5.17.2): namespaces (CNS 02h, 07h, 10h, 1Ah, and log page 04h),
 * controllers (CNS 12h, 13h), and a namespace's identification descriptors (CNS 03h).
 */
import { viewOf } from './bytes.ts';

export const IDENTIFY_SIZE = 4096;
/** Entries of a Namespace List. */
export const NAMESPACE_LIST_MAX = 1024;
/** Entries of a Controller List. */
export const CONTROLLER_LIST_MAX = 2047;

/** Writes a Namespace List of 4096 bytes: up to 1024 NSIDs in increasing order, the rest zero. */
export function encodeNamespaceList(nsids: readonly number[], out: Uint8Array): void {
  if (nsids.length > NAMESPACE_LIST_MAX) throw new RangeError(`${nsids.length} namespaces, 1024 fit`);
  out.fill(0, 0, IDENTIFY_SIZE);
  const view = viewOf(out);
  nsids.forEach((nsid, i) => {
    view.setUint32(i * 4, nsid, true);
  });
}

/** NSIDs up to the first 0. */
export function decodeNamespaceList(bytes: Uint8Array): number[] {
  const view = viewOf(bytes);
  const nsids: number[] = [];
  for (let at = 0; at < IDENTIFY_SIZE; at += 4) {
    const nsid = view.getUint32(at, true);
    if (nsid === 0) break;
    nsids.push(nsid);
  }
  return nsids;
}

/** Writes a Controller List of 4096 bytes: a count, then up to 2047 CNTLIDs in increasing order. */
export function encodeControllerList(cntlids: readonly number[], out: Uint8Array): void {
  if (cntlids.length > CONTROLLER_LIST_MAX) throw new RangeError(`${cntlids.length} controllers, 2047 fit`);
  out.fill(0, 0, IDENTIFY_SIZE);
  const view = viewOf(out);
  view.setUint16(0, cntlids.length, true);
  cntlids.forEach((cntlid, i) => {
    view.setUint16(2 + i * 2, cntlid, true);
  });
}

export function decodeControllerList(bytes: Uint8Array): number[] {
  const view = viewOf(bytes);
  const count = Math.min(view.getUint16(0, true), CONTROLLER_LIST_MAX);
  return Array.from({ length: count }, (_, i) => view.getUint16(2 + i * 2, true));
}

/** Namespace Identifier Type (NIDT) of a descriptor. */
export const nidt = { eui64: 1, nguid: 2, uuid: 3, csi: 4 } as const;

/** A namespace's identifiers. The byte arrays hold them in network order, as they are printed. */
export interface NamespaceDescriptors {
  /** 8 bytes. */
  eui64?: Uint8Array;
  /** 16 bytes. */
  nguid?: Uint8Array;
  /** 16 bytes. */
  uuid?: Uint8Array;
  /** Command Set Identifier. */
  csi?: number;
}

const DESCRIPTOR_HEADER = 4;
const nidLength = new Map<number, number>([
  [nidt.eui64, 8],
  [nidt.nguid, 16],
  [nidt.uuid, 16],
  [nidt.csi, 1],
]);

/** Writes the Namespace Identification Descriptor list (CNS 03h), 4096 bytes. */
export function encodeNamespaceDescriptors(ids: NamespaceDescriptors, out: Uint8Array): void {
  out.fill(0, 0, IDENTIFY_SIZE);
  let at = 0;
  const add = (type: number, nid: Uint8Array) => {
    if (nid.length !== nidLength.get(type))
      throw new RangeError(`identifier type ${type} of ${nid.length} bytes`);
    out[at] = type;
    out[at + 1] = nid.length;
    out.set(nid, at + DESCRIPTOR_HEADER);
    at += DESCRIPTOR_HEADER + nid.length;
  };
  if (ids.eui64) add(nidt.eui64, ids.eui64);
  if (ids.nguid) add(nidt.nguid, ids.nguid);
  if (ids.uuid) add(nidt.uuid, ids.uuid);
  if (ids.csi !== undefined) add(nidt.csi, Uint8Array.of(ids.csi));
}

/** Reads CNS 03h. Descriptors of unknown type or odd length are skipped; a length past the end stops it. */
export function decodeNamespaceDescriptors(bytes: Uint8Array): NamespaceDescriptors {
  const ids: NamespaceDescriptors = {};
  const end = Math.min(bytes.length, IDENTIFY_SIZE);
  let at = 0;
  while (at + DESCRIPTOR_HEADER <= end) {
    const type = bytes[at];
    const length = bytes[at + 1];
    at += DESCRIPTOR_HEADER;
    if (length === 0 || at + length > end) break;
    const nid = bytes.slice(at, at + length);
    at += length;
    if (nidLength.get(type) !== length) continue;
    if (type === nidt.eui64) ids.eui64 = nid;
    else if (type === nidt.nguid) ids.nguid = nid;
    else if (type === nidt.uuid) ids.uuid = nid;
    else ids.csi = nid[0];
  }
  return ids;
}
