import type { BdevDescriptor } from '@spdk-ts/bdev';
import { type AnaStates, anaListener } from '../ana.ts';
import type { ControllerState } from '../controller-state.ts';
import { SubsystemCounters } from '../counters.ts';
import type { TransportAddress } from '../qpair.ts';
import { accessOf } from '../reservations.ts';
import type { NamespaceSnapshot, SubsystemSnapshot, SubsystemType } from '../snapshot.ts';
import type { TransportOptions } from '../transport.ts';
import { sameAddress } from './address-control.ts';
import type { HostKeys } from './host-keys-control.ts';
import type { NamespaceReservations } from './reservations-control.ts';

/** Names of the keys that a host authenticates with: what is kept and shown of them. */
export interface HostOptions {
  readonly psk?: string;
  readonly dhchap_key?: string;
  readonly dhchap_ctrlr_key?: string;
}

export interface ListenerRecord {
  /** Number within its subsystem; also its port id in discovery records. */
  readonly id: number;
  readonly address: TransportAddress;
  readonly secure_channel: boolean;
  /** The states that it gives the ANA groups. */
  readonly ana: AnaStates;
  readonly sock_impl: string | undefined;
}

export interface NamespaceRecord {
  readonly nsid: number;
  readonly descriptor: BdevDescriptor;
  /** Upper case hexadecimal, or empty. */
  readonly nguid: string;
  readonly eui64: string;
  readonly uuid: string;
  anagrpid: number;
  /** Only {@link hosts} see it. */
  readonly no_auto_visible: boolean;
  readonly hosts: Set<string>;
  readonly reservations: NamespaceReservations;
}

export interface QpairRecord {
  readonly qid: number;
  readonly reactor: number;
  readonly thread: string;
  readonly listen: TransportAddress;
  readonly peer: TransportAddress;
  /** How far its authentication is, if it does or must authenticate itself. */
  auth: { readonly state: string; readonly hash: number; readonly dhgroup: number } | null;
}

/** A controller as the control thread knows it: who, and which reactor serves which queue. */
export interface ControllerRecord {
  readonly id: number;
  readonly cntlid: number;
  readonly hostnqn: string;
  readonly hostid: string;
  readonly subsystem: Subsystem;
  /** Number of the listener that its admin queue came through, or -1. */
  readonly listener: number;
  readonly state: ControllerState;
  readonly transport: TransportOptions;
  readonly qpairs: Map<number, QpairRecord>;
}

export interface SubsystemOptions {
  readonly serial_number: string;
  readonly model_number: string;
  readonly admin_label: string | undefined;
  readonly max_namespaces: number;
  readonly ana_reporting: boolean;
  readonly min_cntlid: number;
  readonly max_cntlid: number;
  readonly dmrsl: number;
  readonly wzsl: number;
  readonly passthrough: boolean;
  readonly enable_nssr: boolean;
  readonly static_controllers: boolean;
}

/** A subsystem: the truth, on the control thread. */
export class Subsystem {
  readonly id: number;
  readonly nqn: string;
  /** The name that hosts are told: of the discovery subsystem, one of its own if it has any. */
  shown_nqn: string;
  readonly subtype: SubsystemType;
  readonly options: SubsystemOptions;
  allow_any_host: boolean;
  readonly hosts = new Map<string, HostOptions>();
  /** The keys that the hosts' options name. */
  readonly hostKeys = new Map<string, HostKeys>();
  listeners: ListenerRecord[] = [];
  readonly namespaces = new Map<number, NamespaceRecord>();
  /** By CNTLID. */
  readonly controllers = new Map<number, ControllerRecord>();
  /** Counts changes of the ANA log page. */
  ana_chgcnt = 1;
  /** Destruction has begun: nobody new connects, nothing changes any more. */
  ending = false;
  private readonly counters: SharedArrayBuffer;
  private listenerIds = 0;
  private nextCntlid: number;
  private changes: Promise<unknown> = Promise.resolve();
  private waiting: (() => void)[] = [];

  constructor(
    id: number,
    nqn: string,
    subtype: SubsystemType,
    options: SubsystemOptions,
    allow_any_host: boolean,
    reactors: number,
  ) {
    this.id = id;
    this.nqn = nqn;
    this.shown_nqn = nqn;
    this.subtype = subtype;
    this.options = options;
    this.allow_any_host = allow_any_host;
    this.counters = SubsystemCounters.allocate(reactors);
    this.nextCntlid = options.min_cntlid;
  }

  snapshot(): SubsystemSnapshot {
    const { serial_number, model_number, max_namespaces, dmrsl, wzsl } = this.options;
    const { static_controllers, enable_nssr: resets } = this.options;
    return {
      ...{ id: this.id, nqn: this.shown_nqn, subtype: this.subtype },
      ...{ serial_number, model_number, max_namespaces, dmrsl, wzsl },
      ...{ static_controllers, resets },
      namespaces: this.sortedNamespaces.map((record) => this.namespaceSnapshot(record)),
      ana: this.options.ana_reporting ? this.listeners.map(({ id, ana }) => anaListener(id, ana)) : null,
      ana_chgcnt: this.ana_chgcnt,
      counters: this.counters,
    };
  }

  namespaceSnapshot(record: NamespaceRecord): NamespaceSnapshot {
    const { nsid, descriptor, nguid, eui64, uuid, anagrpid, no_auto_visible, hosts, reservations } = record;
    return {
      ...{ nsid, nguid, eui64, uuid, anagrpid },
      // Its context may be large and is the bdev layer's: reactors have it from there.
      bdev: { ...descriptor.description, context: null },
      visible_to: no_auto_visible ? [...hosts] : null,
      access: accessOf(reservations.state),
      ptpl: reservations.file !== undefined,
    };
  }

  get sortedNamespaces(): NamespaceRecord[] {
    return [...this.namespaces.values()].sort((a, b) => a.nsid - b.nsid);
  }

  /** Changes happen one after the other, in the order in which they were asked for. */
  serialize<T>(change: () => Promise<T>): Promise<T> {
    const result = this.changes.then(change);
    this.changes = result.catch(() => {});
    return result;
  }

  allows(hostnqn: string): boolean {
    return this.allow_any_host || this.hosts.has(hostnqn);
  }

  /** Whether a host must authenticate itself. */
  authenticates(hostnqn: string): boolean {
    return (this.hostKeys.get(hostnqn)?.dhchap ?? null) !== null;
  }

  listener(address: TransportAddress): ListenerRecord | undefined {
    return this.listeners.find((other) => sameAddress(other.address, address));
  }

  nextListenerId(): number {
    return this.listenerIds++;
  }

  /** The least free NSID, or 0. */
  freeNsid(): number {
    for (let nsid = 1; nsid <= this.options.max_namespaces; nsid++)
      if (!this.namespaces.has(nsid)) return nsid;
    return 0;
  }

  /** The CNTLID that is asked for, or one that was not used lately, if no controller has it; else 0. */
  allocateCntlid(asked: number): number {
    const { min_cntlid, max_cntlid } = this.options;
    if (asked >= min_cntlid && asked <= max_cntlid) return this.controllers.has(asked) ? 0 : asked;
    for (let tries = max_cntlid - min_cntlid + 1; tries > 0; tries--) {
      const cntlid = this.nextCntlid;
      this.nextCntlid = cntlid === max_cntlid ? min_cntlid : cntlid + 1;
      if (!this.controllers.has(cntlid)) return cntlid;
    }
    return 0;
  }

  /** A controller is gone. */
  forget(controller: ControllerRecord): void {
    this.controllers.delete(controller.cntlid);
    for (const look of [...this.waiting]) look();
  }

  /** Resolves when none of these controllers is there any more. */
  gone(controllers: readonly ControllerRecord[]): Promise<void> {
    const left = (): boolean => controllers.some((c) => this.controllers.get(c.cntlid) === c);
    if (!left()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = (): void => {
        if (left()) return;
        this.waiting = this.waiting.filter((other) => other !== look);
        resolve();
      };
      this.waiting.push(look);
    });
  }
}
