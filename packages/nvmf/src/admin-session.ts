import { AbortCommands } from './abort.ts';
import { AsyncEvents } from './aer.ts';
import type { NvmfController } from './controller.ts';
import { DiscoveryLog } from './discovery-log.ts';
import { Features } from './features.ts';
import { KeepAlive } from './keep-alive.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import { Properties } from './properties.ts';
import type { NvmfQpair } from './qpair.ts';
import type { NvmfRequest } from './request.ts';
import { ReservationNotices } from './reservation-notices.ts';
import { respond } from './respond.ts';

/** Namespaces that the changed namespace list can name; beyond that it says "more". */
const CHANGED_MAX = 1024;

/**
 * The part of a controller that lives with its admin queue: properties, features, events, keep alive. One class
 * for each of these; this one holds them together.
 */
export class AdminSession {
  readonly controller: NvmfController;
  readonly group: NvmfPollGroup;
  readonly qpair: NvmfQpair;
  readonly features: Features;
  readonly events: AsyncEvents;
  readonly keepAlive: KeepAlive;
  readonly properties: Properties;
  readonly aborts: AbortCommands;
  readonly discovery: DiscoveryLog;
  readonly reservations: ReservationNotices;
  /** NSIDs for the changed namespace list (log page 04h). */
  private readonly changed = new Set<number>();
  private lastChanged: readonly number[] = [];

  constructor(controller: NvmfController, group: NvmfPollGroup, qpair: NvmfQpair, kato_ms: number) {
    this.controller = controller;
    this.group = group;
    this.qpair = qpair;
    this.reservations = new ReservationNotices(this);
    this.features = new Features(this);
    this.events = new AsyncEvents(this);
    this.keepAlive = new KeepAlive(this, kato_ms);
    this.properties = new Properties(this);
    this.aborts = new AbortCommands(this);
    this.discovery = new DiscoveryLog(this);
  }

  /** Completes a command with data. */
  respond(request: NvmfRequest, data: Uint8Array): void {
    respond(this.group, request, data);
  }

  /** Namespaces came, went or changed: log page 04h and its event. */
  namespacesChanged(nsids: readonly number[]): void {
    if (nsids.length === 0 || this.controller.subsystem.discovery) return;
    for (const nsid of nsids) this.changed.add(nsid);
    this.events.namespaceChanged();
  }

  /** The host has read the beginning of the changed namespace list: it is empty from now on. */
  changedRead(): void {
    this.lastChanged = this.freshChanged();
    this.changed.clear();
  }
  private freshChanged(): number[] {
    const list = [...this.changed].sort((a, b) => a - b);
    return list.length > CHANGED_MAX ? [0xffff_ffff] : list;
  }
  /** The changed namespace list; from an offset, the one whose beginning has been read. */
  changedFrom(offset: number): readonly number[] {
    return offset === 0 ? this.freshChanged() : this.lastChanged;
  }

  /** The admin queue is ending: parked commands are completed, timers stop. */
  close(): void {
    this.keepAlive.stop();
    this.properties.stop();
    this.events.abortAll();
  }
}
