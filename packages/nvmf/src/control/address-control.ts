import { isIP } from 'node:net';
import { invalidParams } from '@spdk-ts/rpc';
import type { TransportAddress } from '../qpair.ts';

/** A transport address as RPC parameters have it. */
export interface ListenAddress {
  readonly trtype: string;
  readonly adrfam?: string;
  readonly traddr: string;
  readonly trsvcid?: string;
}

const families = { 4: 'IPv4', 6: 'IPv6' } as const;

/**
 * An address in the form in which it is kept and shown. Throws an RPC error -32602 that names the parameter, which
 * is a field of `parameter`.
 */
export function parseAddress(given: ListenAddress, parameter: string): TransportAddress {
  const { traddr, trsvcid } = given;
  const trtype = given.trtype.toUpperCase();
  const wrong = (field: string, text: string): never => {
    throw invalidParams(`${parameter}.${field} ${text}`, `${parameter}.${field}`);
  };
  if (trtype === 'VFIOUSER') return parseFolder(given, wrong);
  if (trtype !== 'TCP') wrong('trtype', `is "${given.trtype}": TCP and VFIOUSER exist here`);
  const version = isIP(traddr);
  if (version === 0)
    wrong('traddr', `is "${traddr}": give an IPv4 or IPv6 address, such as 127.0.0.1 or ::1`);
  const family = families[version as 4 | 6];
  if (given.adrfam !== undefined && given.adrfam.toLowerCase() !== family.toLowerCase())
    wrong('adrfam', `is "${given.adrfam}", but traddr ${traddr} is of family ${family}`);
  if (trsvcid === undefined) wrong('trsvcid', 'is missing: give a port number, such as "4420"');
  if (!/^\d{1,5}$/.test(trsvcid!) || Number(trsvcid) < 1 || Number(trsvcid) > 65535)
    wrong('trsvcid', `is "${trsvcid}": give a port number of 1 to 65535, as a string`);
  return { trtype, adrfam: family, traddr, trsvcid: String(Number(trsvcid)) };
}

/** The address of a vfio-user endpoint: a folder, and service 0. */
function parseFolder(
  { traddr, trsvcid = '0', adrfam }: ListenAddress,
  wrong: (field: string, text: string) => never,
): TransportAddress {
  if (!traddr.startsWith('/')) wrong('traddr', `is "${traddr}": give the absolute path of a folder`);
  if (Number(trsvcid) !== 0) wrong('trsvcid', `is "${trsvcid}": give "0", or leave it out`);
  if (adrfam !== undefined && adrfam !== '')
    wrong('adrfam', `is "${adrfam}": leave it out, a folder has none`);
  return { trtype: 'VFIOUSER', adrfam: '', traddr: traddr.replace(/(?<=.)\/+$/, ''), trsvcid: '0' };
}

/** An address of another machine's service, which may be a name and of any transport. */
export function parseReferral(given: ListenAddress, parameter: string): TransportAddress {
  const version = isIP(given.traddr);
  const fromAddress = version === 0 ? '' : families[version as 4 | 6];
  const known = ['IPv4', 'IPv6', 'IB', 'FC'].find(
    (name) => name.toLowerCase() === given.adrfam?.toLowerCase(),
  );
  if (given.adrfam !== undefined && known === undefined)
    throw invalidParams(
      `${parameter}.adrfam is "${given.adrfam}": give ipv4, ipv6, ib or fc`,
      `${parameter}.adrfam`,
    );
  const trtype = given.trtype.toUpperCase();
  if (!['TCP', 'RDMA', 'FC'].includes(trtype))
    throw invalidParams(
      `${parameter}.trtype is "${given.trtype}": give TCP, RDMA or FC`,
      `${parameter}.trtype`,
    );
  return { trtype, adrfam: known ?? fromAddress, traddr: given.traddr, trsvcid: given.trsvcid ?? '' };
}

export function sameAddress(a: TransportAddress, b: TransportAddress): boolean {
  return a.trtype === b.trtype && a.traddr === b.traddr && a.trsvcid === b.trsvcid;
}

export function addressText({ trtype, traddr, trsvcid }: TransportAddress): string {
  return `${trtype} ${traddr.includes(':') ? `[${traddr}]` : traddr}:${trsvcid}`;
}
