import { createHash, randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { formatUuid, parseUuid, UUID_NQN_PREFIX, uuidNqn } from '@spdk-ts/nvme-spec';
import { NvmeError } from './errors.ts';
import { type NvmeOptions, nvmeOptions } from './options.ts';
import { makeTransportId, type TransportId } from './transport-id.ts';

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
};

/** A UUID that is always the same on this machine, and tells nobody its machine id; a random one where it has none. */
function machineUuid(): string {
  const id = read('/etc/machine-id');
  const bytes =
    id === ''
      ? new Uint8Array(randomBytes(16))
      : new Uint8Array(createHash('sha256').update(`spdk-ts nvme host ${id}`).digest().subarray(0, 16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return formatUuid(bytes);
}

let ours = '';

/** This host's NQN unless told otherwise: that of /etc/nvme/hostnqn, or one made of the machine's id. */
export function defaultHostnqn(): string {
  if (ours === '') ours = read('/etc/nvme/hostnqn') || uuidNqn(machineUuid());
  return ours;
}

/** The host identifier that goes with an NQN: the UUID in it, or one made of it. */
function hostidOf(hostnqn: string): string {
  const uuid = hostnqn.startsWith(UUID_NQN_PREFIX) ? parseUuid(hostnqn.slice(UUID_NQN_PREFIX.length)) : null;
  const bytes = uuid ?? createHash('sha256').update(hostnqn).digest().subarray(0, 16);
  return Buffer.from(bytes).toString('hex');
}

/** What a controller is connected with, complete: cloneable. */
export interface NvmeTarget {
  readonly trid: TransportId;
  readonly options: NvmeOptions;
}

/**
 * Fills in what was not said: host NQN and identifier, and the numeric address of a name. Rejects with an {@link NvmeError} if there
 * is no such name, or with an Error that names the option which is wrong.
 */
export async function resolveTarget(
  trid: TransportId,
  given: Partial<NvmeOptions> = {},
): Promise<NvmeTarget> {
  const options = nvmeOptions(given);
  if (trid.hostsvcid !== '')
    throw new NvmeError(
      'EUNSUPPORTED',
      'hostsvcid is not supported: each queue has a connection of its own, and a port is for one; hostaddr alone is',
    );
  if (trid.hostaddr !== '' && isIP(trid.hostaddr) !== (trid.adrfam === 'IPv6' ? 6 : 4))
    throw new NvmeError('EINVAL', `hostaddr:${trid.hostaddr} is not a numeric ${trid.adrfam} address`);
  const hostnqn = options.hostnqn || trid.hostnqn || defaultHostnqn();
  const hostid = options.hostid || hostidOf(hostnqn);
  return { trid: await numeric(trid), options: { ...options, hostnqn, hostid } };
}

async function numeric(trid: TransportId): Promise<TransportId> {
  if (trid.trtype === 'VFIOUSER' || isIP(trid.traddr) !== 0) return makeTransportId(trid);
  try {
    const family = trid.adrfam === 'IPv6' ? 6 : 4;
    const { address } = await lookup(trid.traddr, { family });
    return { ...trid, traddr: address };
  } catch (error) {
    throw new NvmeError(
      'ECONNECT',
      `traddr:${trid.traddr} has no ${trid.adrfam} address: ${(error as Error).message}`,
    );
  }
}
