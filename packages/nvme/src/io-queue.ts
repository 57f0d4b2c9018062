import { Commands } from './commands.ts';
import { NvmeError } from './errors.ts';
import { type ConnectParams, connectQueue } from './fabrics.ts';
import { PciQpair, type PciQueueParams } from './pci/pci-qpair.ts';
import type { NvmePollGroup } from './poll-group.ts';
import type { NvmeQpair } from './qpair.ts';
import { type TcpAddress, TcpQpair } from './tcp/tcp-qpair.ts';

/** What an I/O queue over TCP is opened with. */
export interface TcpQueueParams {
  readonly trtype: 'TCP';
  readonly qid: number;
  readonly address: TcpAddress;
  readonly connect: ConnectParams;
  readonly entries: number;
  readonly capsule_bytes: number;
  readonly transfer_bytes: number;
  readonly timeout_ms: number;
}

/** What an I/O queue is opened with: cloneable, so that any reactor can. */
export type IoQueueParams = TcpQueueParams | PciQueueParams;

/** Opens an I/O queue on a group's reactor. Rejects with an {@link NvmeError}. */
export async function openIoQueue(group: NvmePollGroup, params: IoQueueParams): Promise<NvmeQpair> {
  const { entries, trtype } = params;
  const qpair = trtype === 'TCP' ? new TcpQpair(group, entries) : new PciQpair(group, entries);
  await reopenIoQueue(qpair, params);
  return qpair;
}

/** Who proves itself to whom, and with which keys: cloneable. */
export type AuthParams = Pick<
  ConnectParams,
  'hostnqn' | 'subnqn' | 'dhchap_key' | 'dhchap_ctrlr_key' | 'dhchap_digests' | 'dhchap_dhgroups'
>;

/**
 * Authenticates a queue that is open (DH-HMAC-CHAP, Base 2.0, 8.13.5), beside its I/O: with other keys than before, say. Does nothing
 * without a `dhchap_key`. Rejects with an {@link NvmeError}; the controller may then end the connection.
 */
export async function authenticateQueue(qpair: NvmeQpair, params: AuthParams): Promise<void> {
  if (params.dhchap_key === '') return;
  const { authenticate } = await import('./authenticate.ts');
  await authenticate(new Commands(qpair), params);
}

/** Opens a queue that has been closed once more. */
export async function reopenIoQueue(qpair: NvmeQpair, params: IoQueueParams): Promise<void> {
  if (params.trtype === 'TCP') await reopenTcp(qpair as TcpQpair, params);
  else await reopenPci(qpair as PciQpair, params);
}

async function reopenPci(qpair: PciQpair, params: PciQueueParams): Promise<void> {
  await qpair.open(params);
  qpair.timeout_ms = params.timeout_ms;
}

async function reopenTcp(qpair: TcpQpair, params: TcpQueueParams): Promise<void> {
  const { address, connect, capsule_bytes, transfer_bytes, timeout_ms } = params;
  const { onTimeout, onClosed } = qpair;
  qpair.onClosed = null;
  try {
    await qpair.open(address);
    qpair.timeout_ms = address.timeout_ms;
    qpair.onTimeout = () => qpair.fail(new NvmeError('ETIMEOUT', `${qpair.name}: Connect is not answered`));
    await connectQueue(new Commands(qpair), connect);
    qpair.capsule_bytes = capsule_bytes;
    qpair.transfer_bytes = transfer_bytes;
    qpair.timeout_ms = timeout_ms;
    qpair.onTimeout = onTimeout;
    qpair.onClosed = onClosed;
  } catch (error) {
    await qpair.closeAndWait(error as NvmeError);
    qpair.onTimeout = onTimeout;
    qpair.onClosed = onClosed;
    throw error;
  }
}
