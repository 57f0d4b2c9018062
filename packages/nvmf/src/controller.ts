import type { AdminSession } from './admin-session.ts';
import { ControllerState } from './controller-state.ts';
import type { NvmfQpair } from './qpair.ts';
import type { ControllerGrant } from './snapshot.ts';
import type { SubsystemView } from './subsystem-view.ts';
import type { TransportOptions } from './transport.ts';

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
  }

  /** Ends the queue pairs that are here: all, or those for I/O only. */
  disconnect(ioOnly: boolean, reason: string): void {
    for (const [qid, qpair] of [...this.qpairs])
      if ((qid !== 0 || !ioOnly) && !qpair.disconnecting) qpair.disconnect(reason);
  }
}
