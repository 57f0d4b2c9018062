import { DISCOVERY_NQN, DISCOVERY_PORT, NVME_PORT, nqnProblem, parseAdrfam } from '@spdk-ts/nvme-spec';

/** Where a subsystem is, and which of them: cloneable. */
export interface TransportId {
  readonly trtype: 'TCP' | 'VFIOUSER';
  /** Empty, as `trsvcid`, where the address is a path. */
  readonly adrfam: 'IPv4' | 'IPv6' | '';
  /** VFIOUSER: the directory that has the socket `cntrl`. */
  readonly traddr: string;
  readonly trsvcid: string;
  /** VFIOUSER: empty, unless the controller is to be one of this subsystem. */
  readonly subnqn: string;
  /** What else was said: name of the host, and address and port to connect from. Empty: the defaults. */
  readonly hostnqn: string;
  readonly hostaddr: string;
  readonly hostsvcid: string;
  /** The only namespace that is meant; 0: all. */
  readonly ns: number;
}

const keys = ['trtype', 'adrfam', 'traddr', 'trsvcid', 'subnqn', 'hostnqn', 'hostaddr', 'hostsvcid', 'ns'];

const UNSUPPORTED: Readonly<Record<string, string>> = {
  pcie: 'local devices are reached as /dev/ngXnY, by the io_uring_cmd of bdev_xnvme_create',
  rdma: 'there is no RDMA transport',
  fc: 'there is no Fibre Channel transport',
};

function split(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const word of text.trim().split(/\s+/).filter(Boolean)) {
    const at = word.search(/[:=]/);
    const key = word.slice(0, at).toLowerCase();
    if (at < 1 || !keys.includes(key))
      throw new Error(`transport id: '${word}' is not one of ${keys.map((name) => `${name}:…`).join(' ')}`);
    if (found.has(key)) throw new Error(`transport id: ${key} is given twice`);
    found.set(key, word.slice(at + 1));
  }
  return found;
}

function port(text: string): string {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 65_535)
    throw new Error(`transport id: trsvcid:${text} is not a port from 1 to 65535`);
  return String(value);
}

function nqn(key: string, text: string): string {
  const problem = nqnProblem(text);
  if (problem !== null) throw new Error(`transport id: ${key}:${text} is no NQN: ${problem}`);
  return text;
}

/** A transport id in named parts. */
export interface TransportIdParts {
  readonly trtype: string;
  readonly traddr: string;
  readonly adrfam?: string | undefined;
  readonly trsvcid?: string | undefined;
  readonly subnqn?: string | undefined;
  readonly hostnqn?: string | undefined;
  readonly hostaddr?: string | undefined;
  readonly hostsvcid?: string | undefined;
  readonly ns?: number | undefined;
}

/** A controller behind a socket of this machine: nothing else says where it is. */
function vfioUser(parts: TransportIdParts): TransportId {
  const { traddr, subnqn } = parts;
  if (!traddr.startsWith('/'))
    throw new Error(`transport id: traddr:${traddr} is no absolute path: give the directory with the socket`);
  return {
    ...{ trtype: 'VFIOUSER', adrfam: '', traddr, trsvcid: '', hostaddr: '', hostsvcid: '' },
    subnqn: subnqn ? nqn('subnqn', subnqn) : '',
    hostnqn: parts.hostnqn ? nqn('hostnqn', parts.hostnqn) : '',
    ns: parts.ns ?? 0,
  };
}

/** Makes a transport id of named parts, those of an RPC say. Throws an Error that names the part which is wrong. */
export function makeTransportId(parts: TransportIdParts): TransportId {
  const trtype = parts.trtype.toUpperCase();
  if (trtype === 'VFIOUSER') return vfioUser(parts);
  if (trtype !== 'TCP') {
    const why = UNSUPPORTED[trtype.toLowerCase()] ?? 'it is not a transport type';
    throw new Error(
      `transport id: trtype:${parts.trtype} is not supported: ${why}; give trtype:TCP or trtype:VFIOUSER`,
    );
  }
  if (parts.traddr === '') throw new Error('transport id: traddr is missing');
  const family = parts.adrfam ?? (parts.traddr.includes(':') ? 'IPv6' : 'IPv4');
  const code = parseAdrfam(family);
  if (code !== 1 && code !== 2) throw new Error(`transport id: adrfam:${family} is not IPv4 or IPv6`);
  const subnqn = parts.subnqn ?? DISCOVERY_NQN;
  const usual = subnqn === DISCOVERY_NQN ? DISCOVERY_PORT : NVME_PORT;
  return {
    trtype: 'TCP',
    adrfam: code === 1 ? 'IPv4' : 'IPv6',
    traddr: parts.traddr,
    trsvcid: port(parts.trsvcid || String(usual)),
    subnqn: nqn('subnqn', subnqn),
    hostnqn: parts.hostnqn ? nqn('hostnqn', parts.hostnqn) : '',
    hostaddr: parts.hostaddr ?? '',
    hostsvcid: parts.hostsvcid ?? '',
    ns: parts.ns ?? 0,
  };
}

/**
 * Reads `trtype:TCP adrfam:IPv4 traddr:192.0.2.1 trsvcid:4420 subnqn:nqn.…` (also hostnqn, hostaddr, hostsvcid, ns), with
 * SPDK's spelling: words in any order, `=` for `:` allowed; or `trtype:VFIOUSER traddr:/DIRECTORY`. Over TCP, without subnqn it is the
 * discovery subsystem. Throws an Error that names the part which is wrong.
 */
export function parseTransportId(text: string): TransportId {
  const found = split(text);
  const trtype = found.get('trtype');
  const traddr = found.get('traddr');
  if (trtype === undefined) throw new Error(`transport id: trtype is missing in '${text}'`);
  if (traddr === undefined) throw new Error(`transport id: traddr is missing in '${text}'`);
  const ns = Number(found.get('ns') ?? 0);
  if (!Number.isInteger(ns) || ns < 0 || ns > 0xffff_fffe)
    throw new Error(`transport id: ns:${found.get('ns')} is not a namespace id`);
  return makeTransportId({
    ...{ trtype, traddr, ns },
    ...{ adrfam: found.get('adrfam'), trsvcid: found.get('trsvcid'), subnqn: found.get('subnqn') },
    ...{ hostnqn: found.get('hostnqn'), hostaddr: found.get('hostaddr'), hostsvcid: found.get('hostsvcid') },
  });
}

/** The text that {@link parseTransportId} reads. */
export function formatTransportId({ trtype, adrfam, traddr, trsvcid, subnqn }: TransportId): string {
  if (trtype === 'VFIOUSER')
    return `trtype:VFIOUSER traddr:${traddr}${subnqn === '' ? '' : ` subnqn:${subnqn}`}`;
  return `trtype:${trtype} adrfam:${adrfam} traddr:${traddr} trsvcid:${trsvcid} subnqn:${subnqn}`;
}
