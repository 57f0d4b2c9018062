import { oncs } from '@spdk-ts/nvme-spec';
import type { AdminSession } from './admin-session.ts';
import { ControllerState } from './controller-state.ts';
import type { NvmfQpair } from './qpair.ts';
import type { ControllerGrant } from './snapshot.ts';
import type { SubsystemView } from './subsystem-view.ts';
import type { TransportOptions } from './transport.ts';

/** The names that nvmf_create_transport has for optional commands. */
const maskNames: ReadonlyMap<string, number> = new Map([
  ['nvmcmps', oncs.compare],
  ['nvmdsmsv', oncs.datasetManagement],
  ['nvmwzsv', oncs.writeZeroes],
  ['reservs', oncs.reservations],
  ['nvmcpys', oncs.copy],
]);

function names({ extra }: TransportOptions, option: string): readonly string[] {
  return (extra[option] as readonly string[] | undefined) ?? [];
}

function maskedOncs(transport: TransportOptions): number {
  return names(transport, 'masked_oncs').reduce((mask, name) => mask | (maskNames.get(name) ?? 0), 0);
}

/**
 * A controller as one reactor sees it: the queue pairs it has here, and, on the reactor of its admin queue, the
 * {@link AdminSession}. What its halves share is in {@link ControllerState}. It knows no transport.
 */
export class NvmfController {
  /** Number of this controller, never used again by the process. */
  readonly id: number;
  readonly cntlid: number;
  readonly hostnqn: string;
  /** 32 hexadecimal digits. */
  readonly hostid: string;
  readonly subsystem: SubsystemView;
  readonly state: ControllerState;
  readonly transport: TransportOptions;
  /** The queue pairs that this reactor serves, by queue id. */
  readonly qpairs = new Map<number, NvmfQpair>();
  /** Optional commands (bits of ONCS) and fused operations that its transport takes away. */
  readonly masked_oncs: number;
  readonly masks_fused: boolean;
  /** Null on reactors that serve I/O queues only. */
  admin: AdminSession | null = null;

  constructor(grant: ControllerGrant, subsystem: SubsystemView) {
    this.id = grant.id;
    this.cntlid = grant.cntlid;
    this.hostnqn = grant.hostnqn;
    this.hostid = grant.hostid;
    this.subsystem = subsystem;
    this.state = new ControllerState(grant.state);
    this.transport = grant.transport;
    this.masked_oncs = maskedOncs(grant.transport);
    this.masks_fused = names(grant.transport, 'masked_fuses').includes('fcws');
  }

  /** Ends the queue pairs that are here: all, or those for I/O only. */
  disconnect(ioOnly: boolean, reason: string): void {
    for (const [qid, qpair] of [...this.qpairs])
      if ((qid !== 0 || !ioOnly) && !qpair.disconnecting) qpair.disconnect(reason);
  }
}
