import { anaState, oncs } from '@spdk-ts/nvme-spec';
import type { AdminSession } from './admin-session.ts';
import { anaCode } from './ana.ts';
import { ControllerState } from './controller-state.ts';
import { Gate } from './gates.ts';
import type { NvmfQpair } from './qpair.ts';
import { Refuses } from './reservations.ts';
import type { ControllerGrant } from './snapshot.ts';
import type { NamespaceView, SubsystemView } from './subsystem-view.ts';
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
  /** Number of the listener that it came through, or -1. */
  readonly listener: number;
  readonly state: ControllerState;
  readonly transport: TransportOptions;
  /** The queue pairs that this reactor serves, by queue id. */
  readonly qpairs = new Map<number, NvmfQpair>();
  /** Optional commands (bits of ONCS) and fused operations that its transport takes away. */
  readonly masked_oncs: number;
  /** Commands that the target does not know go to bdevs that take them. */
  readonly hands_on: boolean;
  readonly masks_fused: boolean;
  /** Null on reactors that serve I/O queues only. */
  admin: AdminSession | null = null;
  /** For each NSID of the subsystem, bits of {@link Gate}. 0: I/O commands execute. */
  readonly gates: Uint8Array;
  /** Namespaces that have changed for its host, and that it was not told of. */
  readonly unannounced = new Set<number>();
  /** The ANA log page has changed, and its host was not told. */
  anaUnannounced = false;
  /** For each NSID, what the ANA log page says of it: group and state. */
  private readonly ana: Uint32Array;

  constructor(grant: ControllerGrant, subsystem: SubsystemView) {
    this.id = grant.id;
    this.cntlid = grant.cntlid;
    this.hostnqn = grant.hostnqn;
    this.hostid = grant.hostid;
    this.subsystem = subsystem;
    this.listener = grant.listener;
    this.state = new ControllerState(grant.state);
    this.transport = grant.transport;
    this.masked_oncs = maskedOncs(grant.transport);
    this.hands_on = grant.transport.extra.disable_command_passthru !== true;
    this.masks_fused = names(grant.transport, 'masked_fuses').includes('fcws');
    this.gates = new Uint8Array(subsystem.namespaces.length).fill(Gate.HIDDEN);
    this.ana = new Uint32Array(subsystem.namespaces.length);
    this.updateGates([]);
    this.unannounced.clear();
    this.anaUnannounced = false;
  }

  /** The namespace of an NSID that its host may see, or null. */
  find(nsid: number): NamespaceView | null {
    const ns = this.subsystem.find(nsid);
    return ns === null || (this.gates[nsid]! & Gate.HIDDEN) !== 0 ? null : ns;
  }

  /** NSIDs that its host may see, ascending. */
  get nsids(): number[] {
    return this.subsystem.nsids.filter((nsid) => (this.gates[nsid]! & Gate.HIDDEN) === 0);
  }

  /** Its subsystem has changed, these namespaces too: what its host may do, and is to be told. */
  updateGates(changed: readonly number[]): void {
    const { gates, unannounced, subsystem } = this;
    for (let nsid = 1; nsid < gates.length; nsid++) {
      const ns = subsystem.find(nsid);
      const was = (gates[nsid]! & Gate.HIDDEN) === 0;
      gates[nsid] = ns === null ? Gate.HIDDEN : this.gateOf(ns);
      const now = (gates[nsid]! & Gate.HIDDEN) === 0;
      if (was !== now) unannounced.add(nsid);
      this.noteAna(nsid, now ? ns : null, was && now);
    }
    for (const nsid of changed) if ((gates[nsid]! & Gate.HIDDEN) === 0) unannounced.add(nsid);
  }

  private gateOf(ns: NamespaceView): number {
    const { visible_to, anagrpid } = ns.snapshot;
    const { ana } = this.subsystem.snapshot;
    let gate = ns.paused ? Gate.PAUSED : 0;
    if (visible_to !== null && !visible_to.includes(this.hostnqn)) gate |= Gate.HIDDEN;
    if (ana !== null && anaCode(ana, this.listener, anagrpid) === anaState.inaccessible)
      gate |= Gate.INACCESSIBLE;
    const { refuses, exempt } = ns.access;
    if (refuses !== Refuses.NOTHING && !exempt.includes(this.hostid))
      gate |= refuses === Refuses.ALL ? Gate.NO_READ | Gate.NO_WRITE : Gate.NO_WRITE;
    return gate;
  }

  /** What the ANA log page says of a namespace; of one that stays visible, the host is told of changes. */
  private noteAna(nsid: number, ns: NamespaceView | null, stays: boolean): void {
    const { ana } = this.subsystem.snapshot;
    if (ana === null) return;
    const before = this.ana[nsid]!;
    const { anagrpid } = ns?.snapshot ?? { anagrpid: 0 };
    const now = ns === null ? 0 : anagrpid * 16 + anaCode(ana, this.listener, anagrpid);
    this.ana[nsid] = now;
    if (stays && before !== now) this.anaUnannounced = true;
  }

  /** Tells its host of what has changed for it, if its admin queue is here. */
  announce(): void {
    const { admin, unannounced } = this;
    if (admin !== null) {
      admin.namespacesChanged([...unannounced].sort((a, b) => a - b));
      if (this.anaUnannounced) admin.events.anaChanged();
    }
    unannounced.clear();
    this.anaUnannounced = false;
  }

  /** Ends the queue pairs that are here: all, or those for I/O only. */
  disconnect(ioOnly: boolean, reason: string): void {
    for (const [qid, qpair] of [...this.qpairs])
      if ((qid !== 0 || !ioOnly) && !qpair.disconnecting) qpair.disconnect(reason);
  }
}
