import {
  type BdevDescription,
  BdevError,
  type BdevRegistry,
  Errno,
  type ModuleCall,
  type ModuleKeyring,
} from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import { addressKey, type CommandData, type CommandFields, type TransportId } from '@spdk-ts/nvme';
import type { ReactorHost } from '@spdk-ts/reactor';
import { type AttachCall, type Attachment, prepareAttachment } from './attach-control.ts';
import type { EventMessage, IoQueueParams, NvmeContext } from './context.ts';
import { attachOn, ControllerEntry } from './controller-control.ts';
import { ControllerGroup, type GroupParts } from './group-control.ts';
import { type KeyNames, KeysInUse } from './keys-control.ts';
import { type MultipathOptions, multipathOptions } from './multipath-control.ts';
import type { NamespaceBdev } from './namespace-control.ts';
import { checkTimeouts, defaultOptions, type NvmeModuleOptions } from './options-control.ts';
import { matches, type PathWanted } from './path-match-control.ts';
import { calls, describeBdev, describeControllers } from './told-control.ts';

interface Which {
  readonly controller: number;
}
interface TimedOut extends Which {
  readonly qid: number;
  readonly cid: number;
  readonly again: boolean;
}

/** The controllers that are attached, on the control thread. */
export class NvmeControllers implements GroupParts {
  options: NvmeModuleOptions = defaultOptions;
  readonly host: ReactorHost;
  readonly bdevs: BdevRegistry;
  private readonly log = new Logger('bdev_nvme');
  private readonly groups = new Map<string, ControllerGroup>();
  private readonly entries = new Map<number, { entry: ControllerEntry; group: ControllerGroup }>();
  /** Controllers of one name are connected one after the other. */
  private readonly attaching = new Map<string, Promise<unknown>>();
  private readonly keys: KeysInUse;
  private ids = 0;
  private bdevNumbers = 0;

  constructor(host: ReactorHost, bdevs: BdevRegistry, keyring?: ModuleKeyring) {
    this.host = host;
    this.keys = new KeysInUse(keyring);
    this.bdevs = bdevs;
    const entryOf = ({ controller }: Which) => this.entries.get(controller)?.entry;
    host.provide('bdev_nvme', {
      queue: (which: Which & { again: number }) => this.entry(which).ask('queue', { again: which.again }),
      queueReleased: (which: Which & { params: IoQueueParams }) => {
        const { params } = which;
        void entryOf(which)
          ?.ask('releaseQueue', { params })
          .catch(() => {});
      },
      queueLost: (which: Which & { epoch: number; message: string }) => {
        const entry = entryOf(which);
        if (entry?.connected && entry.epoch === which.epoch)
          void entry.ask('fail', { message: which.message }).catch(() => {});
      },
      notConnected: (which: Which) => entryOf(which)?.settle(false),
      abort: ({ controller, ...which }: Which & { qid: number; cid: number }) =>
        void entryOf({ controller })
          ?.ask('abort', which)
          .catch(() => {}),
      timedOut: (which: TimedOut) => this.timedOut(which),
      anaError: (which: Which) => this.anaError(which),
      event: (message: EventMessage) => this.event(message),
      admin: ({ bdev, ...command }: { bdev: number; fields: CommandFields; data: CommandData }) =>
        this.byNumber(bdev).admin(command),
      resetBdev: ({ bdev }: { bdev: number }) => this.byNumber(bdev).reset(),
    });
  }

  // --- what groups ask for ---

  nextBdev(): number {
    return ++this.bdevNumbers;
  }
  get io_path_stat(): boolean {
    return this.options.io_path_stat;
  }
  get failback(): boolean {
    return !this.options.disable_auto_failback;
  }

  // --- finding ---

  private entry({ controller }: Which): ControllerEntry {
    const found = this.entries.get(controller);
    if (found === undefined) throw new BdevError(Errno.ENODEV, `controller ${controller} has been detached`);
    return found.entry;
  }

  /** The controllers of a name. Throws BdevError ENODEV. */
  byName(name: string): ControllerGroup {
    const group = this.groups.get(name);
    if (group === undefined || group.entries.length === 0)
      throw new BdevError(Errno.ENODEV, `no NVMe controller has the name "${name}"`);
    return group;
  }

  /** One controller of a name by its id, or (0) all. Throws BdevError ENODEV. */
  controllersOf(name: string, cntlid = 0): ControllerEntry[] {
    const { entries } = this.byName(name);
    const found = entries.filter((entry) => cntlid === 0 || entry.cntlid === cntlid);
    if (found.length > 0) return found;
    const there = entries.map((entry) => entry.cntlid).join(', ');
    throw new BdevError(Errno.ENODEV, `controller ${name} has no path with cntlid ${cntlid}, but ${there}`);
  }

  private byNumber(number: number): NamespaceBdev {
    for (const { bdevs } of this.groups.values())
      for (const bdev of bdevs.values()) if (bdev.number === number) return bdev;
    throw new BdevError(Errno.ENODEV, `bdev ${number} has gone`);
  }

  /** The bdev of a name, alias or UUID. Throws BdevError ENODEV if there is none, or it is not of this module. */
  bdevByName(name: string): { bdev: NamespaceBdev; group: ControllerGroup } {
    const description = this.bdevs.get(name);
    for (const group of this.groups.values())
      for (const bdev of group.bdevs.values())
        if (description !== undefined && bdev.name === description.name) return { bdev, group };
    const why = description === undefined ? 'there is no such bdev' : 'it is not a bdev of this module';
    throw new BdevError(Errno.ENODEV, `name is "${name}": ${why}`);
  }

  // --- methods ---

  /** bdev_nvme_set_options. Throws BdevError EINVAL. */
  setOptions({
    multipath_opts,
    ...change
  }: Partial<Omit<NvmeModuleOptions, 'multipath_opts'>> & {
    multipath_opts?: Partial<MultipathOptions>;
  }): void {
    const options = {
      ...this.options,
      ...change,
      multipath_opts: multipathOptions(multipath_opts, this.options.multipath_opts),
    };
    checkTimeouts(options);
    this.options = options;
    for (const group of this.groups.values()) for (const bdev of group.bdevs.values()) group.tellPaths(bdev);
  }

  /** bdev_nvme_attach_controller: names of the bdevs. Without `saved` it is of no configuration. Rejects with BdevError. */
  async attach(call: AttachCall, { saved = true } = {}): Promise<string[]> {
    const attachment = await prepareAttachment(call, this.options, this.keys, saved);
    const { name } = call;
    const before = this.attaching.get(name) ?? Promise.resolve();
    const connected = before
      .then(() => this.connect(attachment))
      .catch((error) => {
        this.keys.release(call);
        throw error;
      });
    const settled = connected.catch(() => {});
    this.attaching.set(name, settled);
    try {
      const { group, entry } = await connected;
      try {
        await Promise.all([...entry.namespaces.keys()].map((nsid) => group.reconcile(nsid)));
      } catch (error) {
        await this.remove(group, entry);
        throw error;
      }
      return group.namesOf(entry);
    } finally {
      if (this.attaching.get(name) === settled) this.attaching.delete(name);
    }
  }

  /** Connects one controller more, or finds out that an alternate address is one of the same controller. */
  private async connect(attachment: Attachment): Promise<{ group: ControllerGroup; entry: ControllerEntry }> {
    const { call, target } = attachment;
    const known = this.groups.get(call.name);
    known?.check(attachment);
    for (const group of this.groups.values())
      if (group !== known && group.find(attachment))
        throw new BdevError(
          Errno.EEXIST,
          `A controller with the provided trid (traddr: ${target.trid.traddr}, hostnqn: ${target.options.hostnqn}) already exists: ${group.name}`,
        );
    const id = ++this.ids;
    const info = await attachOn(this.host, id, [attachment]);
    const dropped = (): Promise<unknown> =>
      this.host.call(id % this.host.reactors.length, 'bdev_nvme', 'detach', { controller: id });
    // It may have been detached meanwhile.
    const group = this.groups.get(call.name) ?? new ControllerGroup(attachment, this);
    try {
      if (group.entries.length > 0 && group.multipath) group.checkPath(info);
      group.checkNamespaces(info.namespaces);
    } catch (error) {
      await dropped();
      throw error;
    }
    const active = group.entries[0];
    if (active !== undefined && !group.multipath) {
      await dropped();
      await active.addAlternate(attachment);
      return { group, entry: active };
    }
    const entry: ControllerEntry = new ControllerEntry(this.host, id, attachment, info, (nsid) => {
      const bdev = group.bdevs.get(nsid);
      if (bdev !== undefined) group.tellPaths(bdev);
    });
    this.groups.set(call.name, group);
    this.entries.set(id, { entry, group });
    group.entries.push(entry);
    await entry.tell();
    return { group, entry };
  }

  /**
   * bdev_nvme_detach_controller: all paths of a name, or those that `wanted` describes. Rejects with BdevError: ENODEV without such a
   * name, ENXIO without such a path.
   */
  async detach(name: string, wanted: PathWanted): Promise<void> {
    const group = this.byName(name);
    const gone: Promise<void>[] = [];
    for (const entry of [...group.entries]) {
      const going = entry.attachments.filter(({ target }) => matches(target, wanted));
      if (going.length === entry.attachments.length) gone.push(this.remove(group, entry));
      else for (const one of going) gone.push(this.removeAddress(entry, one));
    }
    if (gone.length === 0)
      throw new BdevError(Errno.ENXIO, `controller ${name} has no path with ${JSON.stringify(wanted)}`);
    await Promise.all(gone);
  }

  private async removeAddress(entry: ControllerEntry, { call, target }: Attachment): Promise<void> {
    await entry.removeAddress(target);
    this.keys.release(call);
  }

  /** Where controllers of a name are; nothing if there is none. */
  paths(name: string): TransportId[] {
    const entries = this.groups.get(name)?.entries ?? [];
    return entries.flatMap(({ attachments }) => attachments.map(({ target }) => target.trid));
  }

  /** Detaches the path to an address. */
  async detachPath(name: string, trid: TransportId): Promise<void> {
    const { trtype, traddr, trsvcid, subnqn } = trid;
    const there = this.paths(name).some((path) => addressKey(path) === addressKey(trid));
    if (there) await this.detach(name, { trtype, traddr, trsvcid, subnqn });
  }

  /** bdev_nvme_set_keys. Rejects with an RPC error -126, or BdevError EACCES if either side does not believe the other. */
  async setKeys({ name, ...names }: KeyNames & { readonly name: string }): Promise<void> {
    for (const entry of this.byName(name).entries)
      for (const before of entry.attachments) {
        const { psk, dhchap_key: _, dhchap_ctrlr_key: __, ...rest } = before.call;
        const call: AttachCall = { ...rest, ...(psk !== undefined && { psk }), ...names };
        const { dhchap_key, dhchap_ctrlr_key } = this.keys.take(call);
        try {
          await entry.setKeys(before, call, { dhchap_key, dhchap_ctrlr_key });
        } catch (error) {
          this.keys.release(call);
          throw new BdevError(Errno.EACCES, (error as Error).message);
        }
        this.keys.release(before.call);
      }
  }

  private async remove(group: ControllerGroup, entry: ControllerEntry): Promise<void> {
    await group.remove(entry);
    for (const { call } of entry.attachments) this.keys.release(call);
    this.entries.delete(entry.id);
    if (group.entries.length === 0 && this.groups.get(group.name) === group) this.groups.delete(group.name);
  }

  /** bdev_nvme_reset_controller, bdev_nvme_enable_controller and bdev_nvme_disable_controller: one after the other. */
  async operate(operation: 'reset' | 'enable' | 'disable', name: string, cntlid = 0): Promise<void> {
    for (const entry of this.controllersOf(name, cntlid)) {
      if (operation === 'reset') await entry.reset(true);
      else if (operation === 'disable') await entry.disable();
      else {
        await entry.enable();
        const { group } = this.entries.get(entry.id)!;
        const nsids = new Set([...group.bdevs.keys(), ...entry.namespaces.keys()]);
        await Promise.all([...nsids].map((nsid) => group.reconcile(nsid, true)));
      }
    }
  }

  /** bdev_nvme_set_multipath_policy. Throws BdevError. */
  async setPolicy(name: string, options: Partial<MultipathOptions>): Promise<void> {
    const { bdev, group } = this.bdevByName(name);
    bdev.multipath = multipathOptions(options);
    await group.sendPaths(bdev);
  }

  /** bdev_nvme_set_preferred_path. Throws BdevError. */
  async prefer(name: string, wanted: PathWanted & { cntlid?: number }): Promise<void> {
    const { bdev, group } = this.bdevByName(name);
    const { cntlid, ...place } = wanted;
    if (cntlid === undefined && Object.keys(place).length === 0)
      throw new BdevError(Errno.EINVAL, 'cntlid is missing: it, or traddr and trsvcid, say which path it is');
    const found = bdev.paths.find(
      (entry) => (cntlid === undefined || entry.cntlid === cntlid) && matches(entry.target, place),
    );
    if (found === undefined)
      throw new BdevError(
        Errno.ENODEV,
        `bdev ${bdev.name} has no path to a controller with ${JSON.stringify(wanted)}; bdev_nvme_get_io_paths lists them`,
      );
    bdev.prefer(found);
    await group.sendPaths(bdev);
  }

  // --- what the reactors tell ---

  private timedOut({ controller, qid, cid, again }: TimedOut): void {
    const entry = this.entries.get(controller)?.entry;
    if (entry === undefined) return;
    const { action_on_timeout } = entry.options;
    const what = `controller ${entry.name} (${entry.address}): command ${cid} of queue ${qid} has timed out`;
    if (action_on_timeout === 'abort' && !again) {
      this.log.warn(`${what}: aborting it`);
      void entry.ask('abort', { qid, cid }).catch(() => {});
    } else if (action_on_timeout !== 'none' && entry.state === 'enabled') {
      this.log.warn(`${what}: resetting the controller`);
      void entry.reset(false).catch((error: Error) => this.log.error(error.message));
    }
  }

  /** A path has answered with an ANA error: until its log has been read again, its reactors do not use it. */
  private anaError({ controller }: Which): void {
    const found = this.entries.get(controller);
    if (found === undefined) return;
    const { entry, group } = found;
    entry.ask('readAna').catch((error: Error) => {
      this.log.warn(`controller ${entry.name} (${entry.address}): ${error.message}`);
      for (const bdev of group.bdevs.values()) group.tellPaths(bdev, true);
    });
  }

  private event(message: EventMessage): void {
    const found = this.entries.get(message.controller);
    if (found === undefined || found.entry.state === 'disabled') return;
    const { entry, group } = found;
    switch (message.type) {
      case 'disconnected':
        entry.lost(message.message);
        return;
      case 'failed':
        entry.givenUp(message.message);
        void this.remove(group, entry).catch((error: Error) => this.log.error(error.message));
        return;
      default:
    }
    group
      .update(entry, message)
      .catch((error: Error) =>
        this.log.warn(`controller ${entry.name} (${entry.address}): namespaces: ${error.message}`),
      );
    // With the access that it has now.
    if (message.type === 'connected') entry.foundAgain();
  }

  /** The application ends: nobody waits for lost controllers any more. */
  ending(): void {
    for (const { entry } of this.entries.values()) entry.losePatience();
  }

  /** The registry has let go of a bdev. */
  destroyed({ context }: BdevDescription): void {
    const { bdev } = context as NvmeContext;
    for (const group of this.groups.values()) group.destroyed(bdev);
  }

  // --- what is told ---

  /** bdev_nvme_get_controllers. */
  list(name?: string) {
    const found = name === undefined ? [...this.groups.values()] : [this.byName(name)];
    return found.map(describeControllers);
  }

  /** Every controller, by the number that reactors know it by. */
  get byId(): ReadonlyMap<number, { readonly entry: ControllerEntry; readonly group: ControllerGroup }> {
    return this.entries;
  }

  /** `driver_specific` of a bdev. */
  info({ name }: BdevDescription): Record<string, unknown> {
    for (const group of this.groups.values())
      for (const bdev of group.bdevs.values()) if (bdev.name === name) return describeBdev(bdev);
    return {};
  }

  /** The calls that attach a bdev's controllers, told for the first of their bdevs, and what was set for this one. */
  config({ context }: BdevDescription): ModuleCall[] {
    const { bdev } = context as NvmeContext;
    for (const group of this.groups.values()) {
      const [first] = group.bdevs.values();
      for (const one of group.bdevs.values())
        if (one.number === bdev)
          return [...(one === first ? calls.attach(group) : []), ...calls.settings(one, group)];
    }
    return [];
  }

  /** Those of controllers without bdevs. */
  pending(): ModuleCall[] {
    return [...this.groups.values()].filter(({ bdevs }) => bdevs.size === 0).flatMap(calls.attach);
  }

  optionsCall(): ModuleCall {
    const { multipath_opts, ...others } = this.options;
    return {
      method: 'bdev_nvme_set_options',
      params: { ...others, multipath_opts: calls.policy(multipath_opts) },
    };
  }
}
