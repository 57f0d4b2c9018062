import type { BdevRegistry } from '@spdk-ts/bdev';
import { parseCpuset } from '@spdk-ts/env';
import { Keyring } from '@spdk-ts/keyring';
import { Logger } from '@spdk-ts/log';
import { native, nativeUnavailable } from '@spdk-ts/native';
import {
  type DhchapGroupName,
  type DhchapHashName,
  dhchapGroup,
  dhchapHash,
  identifierMask,
} from '@spdk-ts/nvme-auth/identifiers';
import { DISCOVERY_NQN, nqnProblem } from '@spdk-ts/nvme-spec';
import type { ReactorHost } from '@spdk-ts/reactor';
import { errnoError, invalidParams } from '@spdk-ts/rpc';
import { adminPassthruMask } from '../admin-passthru.ts';
import type { AnaState } from '../ana.ts';
import { defaultLimits, type Limits, SharedCounts } from '../limits.ts';
import type { GroupUsage, PollGroupStats } from '../plugin.ts';
import type {
  ConnectQuestion,
  DiscoveryPart,
  DiscoveryQuestion,
  QpairGone,
  ReservationQuestion,
  TargetSnapshot,
} from '../snapshot.ts';
import type { TransportOptions } from '../transport.ts';
import { type ListenAddress, parseAddress, sameAddress } from './address-control.ts';
import { Admission } from './admission.ts';
import { type ConfigCall, targetConfig } from './config.ts';
import { type DiscoveryFilter, discoveryLog } from './discovery.ts';
import { DiscoveryPages } from './discovery-pages.ts';
import { HostAccess } from './host-access.ts';
import { changedLimits } from './limits-control.ts';
import { type ListenerParams, Listeners } from './listeners.ts';
import { Namespaces } from './namespaces.ts';
import type { NamespaceParams } from './namespaces-control.ts';
import { Referrals } from './referrals.ts';
import { Reservations } from './reservations-control.ts';
import type { ControllerRecord, HostOptions } from './subsystem.ts';
import { Subsystem } from './subsystem.ts';
import {
  checkHostNqn,
  discoveryOptions,
  type SubsystemParams,
  subsystemOptions,
} from './subsystem-options.ts';
import { transportOptions } from './transport-options.ts';
import { within } from './wait-control.ts';

const DEFAULT_MAX_SUBSYSTEMS = 1024;
/** How long calls wait for the controllers that they end. */
const DISCONNECT_MS = 30_000;

export interface NvmfTargetParts {
  readonly host: ReactorHost;
  readonly bdevs: BdevRegistry;
  /** Firmware revision that controllers report: at most 8 characters. */
  readonly version?: string;
  /** Where hosts' keys are; an empty one if it is left out. */
  readonly keyring?: Keyring;
  /** Types of transports that the reactors' plugin has. */
  readonly trtypes?: readonly string[];
}

/** Parameters of nvmf_set_config. */
export interface TargetConfig {
  readonly admin_cmd_passthru?: Record<string, boolean>;
  readonly poll_groups_mask?: string;
  readonly discovery_filters?: readonly DiscoveryFilter[];
  readonly dhchap_digests?: readonly DhchapHashName[];
  readonly dhchap_dhgroups?: readonly DhchapGroupName[];
  /** A name of the discovery service's own, beside the one that all have. */
  readonly discovery_nqn?: string;
  readonly dup_host_policy?: 'allow' | 'restrict_per_listener';
}

/**
 * The NVMe-oF target on the control thread: transports, subsystems, and who may connect to what. Poll groups on
 * the reactors (plugin `nvmfReactorEntry`) hold copies of what concerns them. Refusals are RPC errors.
 */
export class NvmfTarget {
  readonly host: ReactorHost;
  readonly transports = new Map<string, TransportOptions>();
  /** By NQN, in the order of their creation; the discovery subsystem is the first. */
  readonly subsystems = new Map<string, Subsystem>();
  readonly discovery: Subsystem;
  readonly referrals: Referrals;
  max_subsystems = DEFAULT_MAX_SUBSYSTEMS;
  crdt: readonly [number, number, number] = [0, 0, 0];
  /** What nvmf_set_config was told. */
  settings: TargetConfig = {};
  /** Steps with every change of the discovery log page. */
  genctr = 0;
  stopping = false;
  limits: Limits = defaultLimits;
  readonly counts: SharedCounts = new SharedCounts(SharedCounts.allocate());
  /** Controllers that there was no room for. */
  refused_controllers = 0;

  private readonly trtypes: readonly string[];
  private readonly firmware_revision: string;
  private readonly admission: Admission;
  private readonly access: HostAccess;
  private readonly listeners: Listeners;
  private readonly discoveryPages = new DiscoveryPages();
  private readonly namespaces: Namespaces;
  private readonly reservations: Reservations;
  private readonly log = new Logger('nvmf');
  private started: Promise<void> | null = null;
  private ids = 0;

  constructor({
    host,
    bdevs,
    version = '0.1.0',
    keyring = new Keyring(),
    trtypes = ['TCP', 'VFIOUSER'],
  }: NvmfTargetParts) {
    this.host = host;
    this.trtypes = trtypes;
    this.firmware_revision = version.slice(0, 8);
    this.referrals = new Referrals(
      () => this.limits.referrals,
      () => this.discoveryChanged(),
    );
    this.admission = new Admission({
      findSubsystem: (nqn) => (nqn === this.discovery.shown_nqn ? this.discovery : this.subsystems.get(nqn)),
      transport: (trtype) => this.transports.get(trtype),
      disconnect: (controller, reason) => this.endController(controller, reason),
      isStopping: () => this.stopping,
      hasRoom: (controllers) => {
        if (controllers < this.limits.controllers) return true;
        this.refused_controllers++;
        return false;
      },
      restrictsDuplicateHosts: () => this.settings.dup_host_policy === 'restrict_per_listener',
    });
    this.access = new HostAccess({
      ...{ host, keyring, subsystems: () => this.subsystems.values() },
      controller: (id) => this.admission.controller(id),
    });
    this.namespaces = new Namespaces(host, bdevs, this.subsystems);
    this.listeners = new Listeners({
      ...{ host, namespaces: this.namespaces },
      hasTransport: (trtype) => this.transports.has(trtype),
      most: () => this.limits.listeners,
    });
    this.reservations = new Reservations({ host, find: (id) => this.find(id) });
    this.discovery = this.makeSubsystem(DISCOVERY_NQN, 'Discovery', discoveryOptions, true);
    host.provide('nvmf', {
      connect: (question: ConnectQuestion, reactor) => this.admission.connect(question, reactor),
      qpairGone: (gone: QpairGone) => {
        this.access.forget(gone);
        this.admission.qpairGone(gone);
      },
      ...this.access.services,
      resetSubsystem: (id: number) => this.resetSubsystem(id),
      discoveryLog: (question: DiscoveryQuestion) => this.discoveryLog(question),
      reservation: (question: ReservationQuestion) => this.reservations.answer(question),
    });
  }

  /** Tells the reactors what they need to know before anything else. Called by the application, or by itself. */
  init(): Promise<void> {
    this.started ??= (async () => {
      await this.host.broadcast('nvmf', 'configure', this.snapshot());
      await this.namespaces.apply(this.discovery);
    })();
    return this.started;
  }

  private snapshot(): TargetSnapshot {
    const { firmware_revision, crdt, limits, counts, settings } = this;
    return {
      ...{ firmware_revision, crdt, limits, counts: counts.memory, serving: this.serving() },
      dhchap_digests: identifierMask(dhchapHash, settings.dhchap_digests),
      dhchap_dhgroups: identifierMask(dhchapGroup, settings.dhchap_dhgroups),
      admin_passthru: adminPassthruMask(settings.admin_cmd_passthru),
    };
  }

  /** The reactors whose cores are in poll_groups_mask. Throws an RPC error if it names none of them. */
  private serving(mask = this.settings.poll_groups_mask): number[] {
    const { reactors } = this.host;
    if (mask === undefined) return reactors.map(({ index }) => index);
    try {
      const cores = parseCpuset(mask);
      const wanted = reactors.filter(({ lcore }) => cores.includes(lcore)).map(({ index }) => index);
      if (wanted.length > 0) return wanted;
    } catch (error) {
      throw invalidParams(`poll_groups_mask: ${(error as Error).message}`, 'poll_groups_mask');
    }
    const all = reactors.map(({ lcore }) => lcore).join(', ');
    throw invalidParams(
      `poll_groups_mask is "${mask}": there are reactors on cores ${all} only`,
      'poll_groups_mask',
    );
  }

  /** Ends connections, waits for what is in flight, closes bdevs. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const subsystem of this.subsystems.values()) subsystem.ending = true;
    await this.host.broadcast('nvmf', 'stop');
    for (const subsystem of this.subsystems.values()) await this.namespaces.close(subsystem);
    await this.access.stop();
  }

  /** Takes the options of nvmf_set_config. Rejects with RPC errors. */
  async configure(settings: TargetConfig): Promise<void> {
    const { discovery_nqn } = settings;
    if (discovery_nqn !== undefined) {
      const problem = nqnProblem(discovery_nqn);
      if (problem !== null || this.subsystems.has(discovery_nqn))
        throw invalidParams(
          `discovery_nqn is "${discovery_nqn}": ${problem ?? 'there is a subsystem of this name'}`,
          'discovery_nqn',
        );
    }
    this.serving(settings.poll_groups_mask);
    this.discovery.shown_nqn = discovery_nqn ?? DISCOVERY_NQN;
    this.settings = settings;
    if (this.started === null) return;
    await this.host.broadcast('nvmf', 'configure', this.snapshot());
    await this.namespaces.apply(this.discovery);
    this.discoveryChanged();
  }

  // --- transports ---

  async createTransport(given: { trtype: string; [option: string]: unknown }): Promise<void> {
    await this.init();
    const trtype = given.trtype.toUpperCase();
    if (!this.trtypes.includes(trtype))
      throw invalidParams(
        `trtype is "${given.trtype}": this target has ${this.trtypes.join(' and ')} only`,
        'trtype',
      );
    if (trtype === 'VFIOUSER' && native === null)
      throw invalidParams(`trtype is "VFIOUSER": it needs the native addon: ${nativeUnavailable}`, 'trtype');
    if (this.transports.has(trtype))
      throw errnoError('EEXIST', `Transport type '${trtype}' already exists; a target has one of each type`);
    const buffers = (await this.host.call(0, 'reactor', 'buffers')) as { large_bytes: number };
    const options = transportOptions({ ...given, trtype }, buffers.large_bytes);
    this.transports.set(trtype, options);
    await this.host.broadcast('nvmf', 'createTransport', options);
    this.log.notice(`${trtype} transport: ready`);
  }

  // --- subsystems ---

  private makeSubsystem(
    nqn: string,
    subtype: 'NVMe' | 'Discovery',
    options: ReturnType<typeof subsystemOptions>,
    allow_any_host: boolean,
  ): Subsystem {
    const reactors = this.host.reactors.length;
    const subsystem = new Subsystem(++this.ids, nqn, subtype, options, allow_any_host, reactors);
    this.subsystems.set(nqn, subsystem);
    return subsystem;
  }

  /** The subsystem of an NQN. Throws an RPC error -32602. */
  subsystem(nqn: string): Subsystem {
    const found = this.subsystems.get(nqn);
    if (found === undefined)
      throw invalidParams(
        `nqn: there is no subsystem "${nqn}"; nvmf_get_subsystems lists those that exist`,
        'nqn',
      );
    return found;
  }

  private find(id: number): Subsystem | undefined {
    for (const subsystem of this.subsystems.values()) if (subsystem.id === id) return subsystem;
    return undefined;
  }

  /** Queues a change behind those that were asked for before. Rejects if the subsystem is going. */
  private change<T>(subsystem: Subsystem, work: () => Promise<T>): Promise<T> {
    return subsystem.serialize(async () => {
      if (subsystem.ending) throw errnoError('ENODEV', `subsystem ${subsystem.nqn} is being deleted`);
      return await work();
    });
  }

  async createSubsystem(params: SubsystemParams): Promise<Subsystem> {
    await this.init();
    const options = subsystemOptions(params, this.subsystems, this.max_subsystems);
    if (params.nqn === this.discovery.shown_nqn)
      throw invalidParams(`nqn: ${params.nqn} is the name of the discovery service`, 'nqn');
    const subsystem = this.makeSubsystem(params.nqn, 'NVMe', options, params.allow_any_host ?? false);
    await subsystem.serialize(() => this.namespaces.apply(subsystem));
    this.discoveryChanged();
    return subsystem;
  }

  async deleteSubsystem(nqn: string): Promise<void> {
    const subsystem = this.subsystem(nqn);
    if (subsystem === this.discovery)
      throw invalidParams(`nqn: the discovery subsystem cannot be deleted`, 'nqn');
    await this.change(subsystem, async () => {
      subsystem.ending = true;
      this.discoveryChanged();
      await this.listeners.closeAll(subsystem);
      const all = [...subsystem.controllers.values()];
      if (!(await this.endControllers(subsystem, all, 'its subsystem is deleted', DISCONNECT_MS))) {
        subsystem.ending = false;
        throw errnoError('EBUSY', `subsystem ${nqn}: commands of its controllers do not end`);
      }
      await this.host.broadcast('nvmf', 'removeSubsystem', { id: subsystem.id });
      await this.namespaces.close(subsystem);
      for (const host of [...subsystem.hostKeys.keys()]) await this.access.drop(subsystem, host);
      this.subsystems.delete(nqn);
    });
  }

  // --- namespaces ---

  /** Returns the NSID. */
  async addNamespace(nqn: string, params: NamespaceParams): Promise<number> {
    const subsystem = this.subsystem(nqn);
    if (subsystem === this.discovery)
      throw invalidParams('nqn: the discovery subsystem has no namespaces', 'nqn');
    return await this.change(subsystem, () => this.namespaces.add(subsystem, params));
  }

  async removeNamespace(nqn: string, nsid: number): Promise<void> {
    const subsystem = this.subsystem(nqn);
    await this.change(subsystem, () => this.namespaces.remove(subsystem, nsid));
  }

  /** Shows a namespace to a host, or hides it from one. */
  async setVisible(nqn: string, nsid: number, host: string, visible: boolean): Promise<void> {
    const subsystem = this.subsystem(nqn);
    checkHostNqn(host);
    await this.change(subsystem, () => this.namespaces.setVisible(subsystem, nsid, host, visible));
  }

  async setNamespaceAnaGroup(nqn: string, nsid: number, anagrpid: number): Promise<void> {
    const subsystem = this.subsystem(nqn);
    await this.change(subsystem, () => this.namespaces.setAnaGroup(subsystem, nsid, anagrpid));
  }

  // --- listeners ---

  async addListener(nqn: string, params: ListenerParams): Promise<void> {
    const subsystem = this.subsystem(nqn);
    const { address, secure_channel } = this.listeners.parse(params);
    await this.change(subsystem, async () => {
      await this.listeners.add(subsystem, address, secure_channel, params);
      this.discoveryChanged();
    });
  }

  async removeListener(nqn: string, given: ListenAddress): Promise<void> {
    const subsystem = this.subsystem(nqn);
    const address = parseAddress(given, 'listen_address');
    await this.change(subsystem, async () => {
      this.listeners.forget(subsystem, address);
      this.discoveryChanged();
      const through = [...subsystem.controllers.values()].filter((controller) =>
        [...controller.qpairs.values()].some(({ listen }) => sameAddress(listen, address)),
      );
      await this.endControllers(subsystem, through, 'its listener has been removed', DISCONNECT_MS);
      await this.listeners.close(address);
    });
  }

  /** Gives the ANA groups of a listener, or one of them, a state. */
  async setAnaState(nqn: string, given: ListenAddress, state: AnaState, anagrpid = 0): Promise<void> {
    const subsystem = this.subsystem(nqn);
    const address = parseAddress(given, 'listen_address');
    await this.change(subsystem, () => this.listeners.setAnaState(subsystem, address, state, anagrpid));
  }

  // --- hosts ---

  async addHost(nqn: string, host: string, options: HostOptions): Promise<void> {
    const subsystem = this.subsystem(nqn);
    checkHostNqn(host);
    await this.change(subsystem, async () => {
      if (subsystem.hosts.has(host))
        throw invalidParams(`host: ${host} is on the list of subsystem ${nqn} already`, 'host');
      if (subsystem.hosts.size >= this.limits.hosts)
        throw invalidParams(
          `host: subsystem ${nqn} has ${this.limits.hosts} hosts; raise the limit with spdk_ts_nvmf_set_limits`,
          'host',
        );
      await this.access.add(subsystem, host, options);
      this.discoveryChanged();
    });
  }

  /** Other DH-HMAC-CHAP keys for a host. What is connected stays, until it authenticates itself again. */
  async setKeys(nqn: string, host: string, changes: Omit<HostOptions, 'psk'>): Promise<void> {
    const subsystem = this.subsystem(nqn);
    await this.change(subsystem, () => this.access.change(subsystem, host, changes));
  }

  async removeHost(nqn: string, host: string, timeout_ms = DISCONNECT_MS): Promise<void> {
    const subsystem = this.subsystem(nqn);
    await this.change(subsystem, async () => {
      if (!subsystem.hosts.delete(host))
        throw invalidParams(`host: ${host} is not on the list of subsystem ${nqn}`, 'host');
      await this.access.drop(subsystem, host);
      this.discoveryChanged();
      const its = [...subsystem.controllers.values()].filter(({ hostnqn }) => hostnqn === host);
      await this.endControllers(subsystem, its, 'its host has been removed', timeout_ms);
    });
  }

  async allowAnyHost(nqn: string, allow: boolean): Promise<void> {
    const subsystem = this.subsystem(nqn);
    await this.change(subsystem, async () => {
      subsystem.allow_any_host = allow;
      this.discoveryChanged();
    });
  }

  // --- controllers ---

  private endController(controller: ControllerRecord, reason: string): void {
    controller.state.close();
    this.host
      .broadcast('nvmf', 'disconnectController', { id: controller.id, reason })
      .catch((error: Error) => this.log.error(`controller ${controller.cntlid}: ${error.message}`));
  }

  /** Ends controllers and waits for that; false if it took too long. */
  private async endControllers(
    subsystem: Subsystem,
    controllers: readonly ControllerRecord[],
    reason: string,
    timeout_ms: number,
  ): Promise<boolean> {
    for (const controller of controllers) this.endController(controller, reason);
    const ended = await within(subsystem.gone(controllers), timeout_ms);
    if (!ended)
      this.log.warn(`subsystem ${subsystem.nqn}: controllers have not ended after ${timeout_ms} ms`);
    return ended;
  }

  /** An NVM subsystem reset (Base 2.0, 3.7.1): all associations end, and hosts connect anew. */
  private resetSubsystem(id: number): void {
    const subsystem = this.find(id);
    if (subsystem?.options.enable_nssr !== true) return;
    this.log.notice(`subsystem ${subsystem.nqn}: NVM subsystem reset`);
    for (const controller of subsystem.controllers.values())
      this.endController(controller, 'NVM subsystem reset');
  }

  // --- discovery ---

  private discoveryChanged(): void {
    this.genctr++;
    this.host
      .broadcast('nvmf', 'discoveryChanged')
      .catch((error: Error) => this.log.error(`discovery log: ${error.message}`));
  }

  private discoveryLog(question: DiscoveryQuestion): DiscoveryPart {
    const { genctr, referrals } = this;
    const source = {
      ...{ genctr, referrals: referrals.all, subsystems: this.subsystems.values() },
      filters: this.settings.discovery_filters ?? [],
      admin_depth: (trtype: string): number => this.transports.get(trtype)!.max_aq_depth,
    };
    return this.discoveryPages.read(question, genctr, () => discoveryLog(source, question));
  }

  /** The calls that make the target again as it is: for framework_get_config. */
  config(): ConfigCall[] {
    return targetConfig(this);
  }

  /** Takes other limits. What is beyond them already stays. */
  async setLimits(given: Partial<Limits>): Promise<void> {
    this.limits = changedLimits(this.limits, given);
    if (this.started !== null) await this.host.broadcast('nvmf', 'configure', this.snapshot());
  }

  /** What every poll group has in use. */
  async usage(): Promise<GroupUsage[]> {
    return (await this.host.broadcast('nvmf', 'usage')) as GroupUsage[];
  }

  /** Counters of every poll group. */
  async stats(): Promise<PollGroupStats[]> {
    return (await this.host.broadcast('nvmf', 'stats')) as PollGroupStats[];
  }
}
