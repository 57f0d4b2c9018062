import type { TlsPsk } from '@spdk-ts/nvme-auth';
import type { Reactor, ReactorPlugin, ReactorService } from '@spdk-ts/reactor';
import { drainNamespace, fenceHidden, fenceReservation } from './fence.ts';
import { NvmfPollGroup } from './poll-group.ts';
import type { TransportAddress } from './qpair.ts';
import type { ReservationNotice } from './reservations.ts';
import type { ReservationChange, SubsystemSnapshot, TargetSnapshot } from './snapshot.ts';
import { SubsystemView } from './subsystem-view.ts';
import type { NvmfTransportType, TransportOptions } from './transport.ts';

/** Counters of one poll group, as nvmf_get_stats shows them. */
export interface PollGroupStats {
  readonly name: string;
  readonly admin_qpairs: number;
  readonly io_qpairs: number;
  readonly current_admin_qpairs: number;
  readonly current_io_qpairs: number;
  readonly current_unassociated_qpairs: number;
  readonly pending_bdev_io: number;
  readonly completed_nvme_io: number;
  readonly transports: { readonly trtype: string; readonly [counter: string]: number | string }[];
}

/** What a poll group has in use now. */
export interface GroupUsage {
  /** Commands of the queue pair that has most. */
  readonly commands: number;
  /** Asynchronous Event Requests of the controller that has most. */
  readonly async_events: number;
  readonly waiting_for_buffers: number;
  readonly waiting_for_bdev_io: number;
  readonly buffers: number;
  readonly buffers_used: number;
}

/** A notification to the controllers of some hosts. */
interface ReservationTold extends ReservationNotice {
  readonly id: number;
  readonly nsid: number;
}

/** Where a transport is to listen, and for which subsystem. */
interface ListenWhere {
  readonly address: TransportAddress;
  readonly secure: boolean;
  readonly subnqn: string;
}

/** What the control thread may ask of a poll group. */
class PollGroupService {
  readonly group: NvmfPollGroup;
  private readonly types: readonly NvmfTransportType[];
  private readonly endPoll: () => void;
  private stopped: Promise<void> | null = null;

  constructor(reactor: Reactor, types: readonly NvmfTransportType[]) {
    this.types = types;
    this.group = new NvmfPollGroup(reactor);
    const poller = this.group.thread.registerPoller('nvmf_poll_group_poll', () => this.group.poll());
    this.endPoll = () => poller.unregister();
  }

  async createTransport(options: TransportOptions): Promise<void> {
    const type = this.types.find(({ trtype }) => trtype === options.trtype);
    if (type === undefined)
      throw new Error(`no transport ${options.trtype} on reactor ${this.group.reactor.index}`);
    const transport = await type.create(this.group, options);
    if (this.stopped !== null) {
      await transport.destroy();
      throw new Error(`reactor ${this.group.reactor.index} is ending`);
    }
    this.group.addTransport(transport, options);
  }

  prepareSecure(address: TransportAddress): Promise<void> {
    return this.transport(address).prepareSecure();
  }
  listen({ address, secure, subnqn }: ListenWhere): Promise<void> {
    return this.transport(address).listen(address, secure, subnqn);
  }
  stopListening(address: TransportAddress): Promise<void> {
    return this.transport(address).stopListening(address);
  }

  private transport({ trtype }: TransportAddress) {
    const found = this.group.transports.get(trtype);
    if (found === undefined) throw new Error(`no transport ${trtype} on reactor ${this.group.reactor.index}`);
    return found.transport;
  }

  /** Makes or changes a subsystem. Its hosts are told by {@link announce}, once every reactor has been here. */
  setSubsystem(snapshot: SubsystemSnapshot): void {
    const { group } = this;
    const view = group.subsystems.get(snapshot.id) ?? new SubsystemView(snapshot, group.thread);
    group.subsystems.set(snapshot.id, view);
    const { changed, failure } = view.update(snapshot);
    group.updateGates(view, changed);
    if (failure !== null) throw failure;
  }

  /** The controllers here tell their hosts of the namespaces that have changed. */
  announce({ id }: { id: number }): void {
    const { group } = this;
    group.thread.send(() => {
      for (const controller of group.controllers.values())
        if (controller.subsystem.id === id) controller.announce();
    });
  }

  /** What TLS connections may be established with from now on. */
  setPsks(keys: readonly TlsPsk[]): void {
    const { psks } = this.group;
    psks.clear();
    for (const { identity, key } of keys) psks.set(identity, key);
  }

  /** New commands at a namespace wait from now on. Resolves when nothing of it is in flight any more. */
  async pause({ id, nsid }: { id: number; nsid: number }): Promise<void> {
    const { group } = this;
    const view = group.subsystems.get(id);
    const ns = view?.find(nsid) ?? null;
    if (view === undefined || ns === null) return;
    ns.paused = true;
    group.updateGates(view, []);
    await drainNamespace(group, view, nsid);
  }
  /** They go on, at what there is by now. */
  resume({ id, nsid }: { id: number; nsid: number }): void {
    const { group } = this;
    const view = group.subsystems.get(id);
    if (view === undefined) return;
    const ns = view.find(nsid);
    if (ns !== null) ns.paused = false;
    group.updateGates(view, []);
    group.thread.send(() => group.io.resume(view));
  }

  /** Resolves to how many commands of hosts that do not see a namespace any more have not ended. */
  fence({ id, nsid }: { id: number; nsid: number }): Promise<number> {
    const view = this.group.subsystems.get(id);
    return view === undefined ? Promise.resolve(0) : fenceHidden(this.group, view, nsid);
  }

  /** What a reservation refuses has changed. Resolves to how many commands that it stops have not ended. */
  setReservation({ id, nsid, bdev, access, aborts }: ReservationChange): Promise<number> {
    const { group } = this;
    return new Promise((resolve) => {
      group.thread.send(() => {
        const view = group.subsystems.get(id);
        const ns = view?.find(nsid) ?? null;
        if (view === undefined || ns === null || ns.snapshot.bdev.id !== bdev) {
          resolve(0);
          return;
        }
        ns.access = access;
        group.updateGates(view, []);
        fenceReservation(group, view, nsid, aborts).then(resolve);
      });
    });
  }

  /** Something has happened to reservations of hosts: their controllers here say so. */
  reservationNotice({ id, nsid, type, hostids }: ReservationTold): void {
    const { group } = this;
    group.thread.send(() => {
      for (const { subsystem, hostid, admin } of group.controllers.values())
        if (subsystem.id === id && hostids.includes(hostid)) admin?.reservations.notify(nsid, type);
    });
  }

  async removeSubsystem({ id }: { id: number }): Promise<void> {
    const view = this.group.subsystems.get(id);
    if (view === undefined) return;
    await view.pause();
    view.destroy();
    this.group.subsystems.delete(id);
  }

  disconnectController({ id, reason }: { id: number; reason: string }): void {
    this.group.thread.send(() => this.group.controllers.get(id)?.disconnect(false, reason));
  }

  discoveryChanged(): void {
    const { group } = this;
    group.thread.send(() => {
      for (const controller of group.controllers.values())
        if (controller.subsystem.discovery) controller.admin?.events.discoveryChanged();
    });
  }

  stats(): PollGroupStats {
    const { group } = this;
    const { admin_qpairs, io_qpairs, completed_nvme_io } = group;
    const qpairs = [...group.qpairs];
    const count = (wanted: (qid: number) => boolean): number =>
      qpairs.filter(({ qid }) => wanted(qid)).length;
    return {
      name: group.thread.name,
      admin_qpairs,
      io_qpairs,
      current_admin_qpairs: count((qid) => qid === 0),
      current_io_qpairs: count((qid) => qid > 0),
      current_unassociated_qpairs: count((qid) => qid < 0),
      pending_bdev_io: group.io.pending,
      completed_nvme_io,
      transports: [...group.transports.values()].map(({ transport }) => ({
        trtype: transport.trtype,
        ...transport.statistics(),
      })),
    };
  }

  usage(): GroupUsage {
    const { group } = this;
    const { buffers } = group.reactor;
    const events = [...group.controllers.values()].map(({ admin }) => admin?.events.outstanding ?? 0);
    return {
      commands: Math.max(0, ...[...group.qpairs].map(({ outstanding }) => outstanding)),
      async_events: Math.max(0, ...events),
      waiting_for_buffers: group.memory.length,
      waiting_for_bdev_io: group.io.pending,
      buffers: buffers.options.small_count + buffers.options.large_count,
      buffers_used: buffers.used,
    };
  }

  /** Ends connections, waits for what is in flight, gives channels back. */
  stop(): Promise<void> {
    this.stopped ??= this.stopNow();
    return this.stopped;
  }

  private async stopNow(): Promise<void> {
    const { group } = this;
    const views = [...group.subsystems.values()];
    for (const view of views) {
      view.paused = false;
      for (const ns of view.namespaces) if (ns !== null) ns.paused = false;
      group.updateGates(view, []);
      group.thread.send(() => group.io.resume(view));
    }
    await Promise.all(group.removeTransports().map((transport) => transport.destroy()));
    for (const view of views) {
      await view.pause();
      view.destroy();
    }
    group.subsystems.clear();
    group.activity.stop();
    this.endPoll();
  }
}

/** The target's half on a reactor, with these transports. Tests bring a transport of their own. */
export function nvmfReactorPlugin(types: readonly NvmfTransportType[]): ReactorPlugin {
  return {
    name: 'nvmf',
    start(reactor: Reactor): ReactorService {
      const service = new PollGroupService(reactor, types);
      groups.set(reactor, service.group);
      return {
        configure: (target: TargetSnapshot) => service.group.configure(target),
        usage: () => service.usage(),
        createTransport: (options: TransportOptions) => service.createTransport(options),
        listen: (where: ListenWhere) => service.listen(where),
        prepareSecure: (address: TransportAddress) => service.prepareSecure(address),
        setPsks: (keys: readonly TlsPsk[]) => service.setPsks(keys),
        stopListening: (address: TransportAddress) => service.stopListening(address),
        setSubsystem: (snapshot: SubsystemSnapshot) => service.setSubsystem(snapshot),
        announce: (which: { id: number }) => service.announce(which),
        pause: (which: { id: number; nsid: number }) => service.pause(which),
        resume: (which: { id: number; nsid: number }) => service.resume(which),
        fence: (which: { id: number; nsid: number }) => service.fence(which),
        setReservation: (change: ReservationChange) => service.setReservation(change),
        reservationNotice: (told: ReservationTold) => service.reservationNotice(told),
        removeSubsystem: (which: { id: number }) => service.removeSubsystem(which),
        disconnectController: (which: { id: number; reason: string }) => service.disconnectController(which),
        discoveryChanged: () => service.discoveryChanged(),
        stats: () => service.stats(),
        stop: () => service.stop(),
      };
    },
  };
}

const groups = new WeakMap<Reactor, NvmfPollGroup>();

/** The poll group of a reactor. Throws if the plugin `nvmf` was not started there. */
export function getPollGroup(reactor: Reactor): NvmfPollGroup {
  const group = groups.get(reactor);
  if (group === undefined) throw new Error(`reactor ${reactor.index} has no NVMe-oF target`);
  return group;
}
