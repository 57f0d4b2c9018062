import {
  type BdevDescription,
  BdevError,
  type BdevRegistry,
  Errno,
  type ModuleCall,
  type ModuleKeyring,
} from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import {
  addressKey,
  makeTransportId,
  type NamespaceInfo,
  type NvmeOptions,
  type NvmeTarget,
  resolveTarget,
  type TransportId,
} from '@spdk-ts/nvme';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { AttachedController, EventMessage, IoQueueParams, NvmeContext } from './context.ts';
import { type KeyNames, type KeyOptions, KeysInUse } from './keys-control.ts';
import { checkTimeouts, defaultOptions, type NvmeModuleOptions } from './options-control.ts';
import { bdevSpec, unfit } from './spec.ts';

export const MODULE = 'nvme';
const MAX_BDEVS = 128;
const SECOND_MS = 1000;

export interface AttachCall extends Partial<NvmeModuleOptions>, KeyNames {
  readonly name: string;
  readonly trtype: string;
  readonly traddr: string;
  readonly adrfam?: string;
  readonly trsvcid?: string;
  readonly subnqn?: string;
  readonly hostnqn?: string;
  readonly hdgst?: boolean;
  readonly ddgst?: boolean;
  readonly fabrics_connect_timeout_us?: number;
  readonly num_io_queues?: number;
  readonly max_bdevs?: number;
  readonly disable_sq_flow_control?: boolean;
}

/** A controller that was attached. */
interface Entry {
  readonly id: number;
  readonly name: string;
  readonly reactor: number;
  readonly target: NvmeTarget;
  call: AttachCall;
  readonly options: NvmeModuleOptions;
  info: AttachedController;
  cntlid: number;
  state: 'enabled' | 'resetting' | 'failed' | 'deleting';
  /** Names of bdevs, by namespace. */
  readonly bdevs: Map<number, string>;
  /** Told when it is connected again, or given up. */
  readonly waiting: ((connected: boolean) => void)[];
  /** Changes of its namespaces, one after the other. */
  changes: Promise<unknown>;
}

/** The controllers that are attached, on the control thread. */
export class NvmeControllers {
  options: NvmeModuleOptions = defaultOptions;
  private readonly host: ReactorHost;
  private readonly bdevs: BdevRegistry;
  private readonly log = new Logger('bdev_nvme');
  private readonly entries = new Map<number, Entry>();
  private readonly attaching = new Set<string>();
  private readonly keys: KeysInUse;
  /** Those that somebody else attaches anew: a discovery service. */
  private readonly unsaved = new WeakSet<Entry>();
  private ids = 0;

  constructor(host: ReactorHost, bdevs: BdevRegistry, keyring?: ModuleKeyring) {
    this.host = host;
    this.keys = new KeysInUse(keyring);
    this.bdevs = bdevs;
    host.provide('bdev_nvme', {
      queue: ({ controller }: { controller: number }) => this.ask(this.entry(controller), 'queue'),
      queueReleased: ({ controller, params }: { controller: number; params: IoQueueParams }) => {
        const entry = this.entries.get(controller);
        if (entry !== undefined) void this.ask(entry, 'releaseQueue', { params }).catch(() => {});
      },
      queueLost: ({ controller, message }: { controller: number; message: string }) => {
        const entry = this.entries.get(controller);
        if (entry?.state === 'enabled') void this.ask(entry, 'fail', { message }).catch(() => {});
      },
      timedOut: (which: { controller: number; qid: number; cid: number; again: boolean }) =>
        this.timedOut(which),
      event: (message: EventMessage) => this.event(message),
      reset: ({ controller }: { controller: number }) => this.resetEntry(this.entry(controller)),
    });
  }

  private ask(entry: Entry, method: string, params: object = {}): Promise<unknown> {
    return this.host.call(entry.reactor, 'bdev_nvme', method, { controller: entry.id, ...params });
  }

  private entry(id: number): Entry {
    const entry = this.entries.get(id);
    if (entry === undefined) throw new BdevError(Errno.ENODEV, `controller ${id} has been detached`);
    return entry;
  }

  byName(name: string): Entry {
    for (const entry of this.entries.values()) if (entry.name === name) return entry;
    throw new BdevError(Errno.ENODEV, `no NVMe controller has the name "${name}"`);
  }

  /** bdev_nvme_set_options. */
  setOptions(change: Partial<NvmeModuleOptions>): void {
    const options = { ...this.options, ...change };
    checkTimeouts(options);
    this.options = options;
  }

  /** bdev_nvme_attach_controller: names of the bdevs. Without `saved` it is of no configuration. Rejects with BdevError. */
  async attach(call: AttachCall, { saved = true } = {}): Promise<string[]> {
    const { name } = call;
    if (this.attaching.has(name) || [...this.entries.values()].some((entry) => entry.name === name))
      throw new BdevError(
        Errno.EEXIST,
        `there is an NVMe controller "${name}"; a second path to one is not supported`,
      );
    const options = { ...this.options, ...timeoutsOf(call) };
    checkTimeouts(options);
    const keys = this.keys.take(call);
    const id = ++this.ids;
    const reactor = id % this.host.reactors.length;
    this.attaching.add(name);
    try {
      const target = await targetOf(call, options, keys);
      const params = { controller: id, target };
      const info = (await this.host
        .call(reactor, 'bdev_nvme', 'attach', params)
        .catch((error: Error) =>
          Promise.reject(new BdevError(Errno.EIO, error.message)),
        )) as AttachedController;
      const entry: Entry = {
        ...{ id, name, reactor, target, call, options, info, cntlid: info.cntlid },
        ...{ state: 'enabled', bdevs: new Map(), waiting: [], changes: Promise.resolve() },
      };
      this.entries.set(id, entry);
      if (!saved) this.unsaved.add(entry);
      try {
        for (const namespace of info.namespaces) await this.add(entry, namespace);
      } catch (error) {
        await this.detachEntry(entry);
        throw error;
      }
      return [...entry.bdevs.values()];
    } catch (error) {
      this.keys.release(call);
      throw error;
    } finally {
      this.attaching.delete(name);
    }
  }

  /** bdev_nvme_set_keys. Rejects with an RPC error -126, or BdevError EACCES if either side does not believe the other. */
  async setKeys({ name, ...names }: KeyNames & { readonly name: string }): Promise<void> {
    const entry = this.byName(name);
    const { psk, dhchap_key: _, dhchap_ctrlr_key: __, ...rest } = entry.call;
    const call: AttachCall = { ...rest, ...(psk !== undefined && { psk }), ...names };
    const { dhchap_key, dhchap_ctrlr_key } = this.keys.take(call);
    try {
      const params = await this.ask(entry, 'setKeys', { keys: { dhchap_key, dhchap_ctrlr_key } });
      await this.host.broadcast('bdev_nvme', 'authenticate', { controller: entry.id, params });
    } catch (error) {
      this.keys.release(call);
      throw new BdevError(Errno.EACCES, (error as Error).message);
    }
    this.keys.release(entry.call);
    entry.call = call;
  }

  private async add(entry: Entry, namespace: NamespaceInfo): Promise<void> {
    const { nsid } = namespace;
    const why = unfit(namespace);
    if (why !== '') {
      this.log.notice(`controller ${entry.name}: namespace ${nsid} is left alone: ${why}`);
      return;
    }
    const { max_bdevs = MAX_BDEVS } = entry.call;
    if (entry.bdevs.size >= max_bdevs) {
      this.log.warn(`controller ${entry.name}: namespace ${nsid} is left alone: max_bdevs is ${max_bdevs}`);
      return;
    }
    const context: NvmeContext = {
      ...{ controller: entry.id, controller_name: entry.name, nsid },
      bdev_retry_count: entry.options.bdev_retry_count,
      fast_io_fail_ms:
        entry.options.fast_io_fail_timeout_sec === 0
          ? -1
          : entry.options.fast_io_fail_timeout_sec * SECOND_MS,
    };
    const bdev = await this.bdevs.register(MODULE, bdevSpec(entry.info, namespace, context));
    entry.bdevs.set(nsid, bdev.name);
  }

  /** Where a controller is connected to; nothing if there is none of that name. */
  paths(name: string): TransportId[] {
    return [...this.entries.values()].filter((entry) => entry.name === name).map(({ target }) => target.trid);
  }

  /** Detaches a controller's path to an address. */
  async detachPath(name: string, trid: TransportId): Promise<void> {
    const entry = this.byName(name);
    if (addressKey(entry.target.trid) === addressKey(trid)) await this.detachEntry(entry);
  }

  /** bdev_nvme_detach_controller. */
  async detach(name: string): Promise<void> {
    await this.detachEntry(this.byName(name));
  }

  private async detachEntry(entry: Entry): Promise<void> {
    if (entry.state === 'deleting') return;
    entry.state = 'deleting';
    await entry.changes.catch(() => {});
    await Promise.all([...entry.bdevs.values()].map((bdev) => this.bdevs.unregister(bdev, MODULE)));
    this.entries.delete(entry.id);
    await this.ask(entry, 'detach').catch((error: Error) => this.log.warn(error.message));
    this.keys.release(entry.call);
    for (const told of entry.waiting.splice(0)) told(false);
  }

  /** bdev_nvme_reset_controller. Rejects with BdevError EIO if it is not connected afterwards. */
  async reset(name: string): Promise<void> {
    await this.resetEntry(this.byName(name));
  }

  private async resetEntry(entry: Entry): Promise<void> {
    if (entry.state === 'failed' || entry.state === 'deleting')
      throw new BdevError(Errno.EIO, `controller ${entry.name} is ${entry.state}`);
    const done = new Promise<boolean>((resolve) => entry.waiting.push(resolve));
    if (entry.state === 'enabled') await this.ask(entry, 'reset');
    if (!(await done))
      throw new BdevError(Errno.EIO, `controller ${entry.name} cannot be connected to again`);
  }

  private timedOut({
    controller,
    qid,
    cid,
    again,
  }: {
    controller: number;
    qid: number;
    cid: number;
    again: boolean;
  }): void {
    const entry = this.entries.get(controller);
    if (entry === undefined) return;
    const { action_on_timeout } = entry.options;
    const what = `controller ${entry.name}: command ${cid} of queue ${qid} has timed out`;
    if (action_on_timeout === 'abort' && !again) {
      this.log.warn(`${what}: aborting it`);
      void this.ask(entry, 'abort', { qid, cid }).catch(() => {});
    } else if (action_on_timeout !== 'none' && entry.state === 'enabled') {
      this.log.warn(`${what}: resetting the controller`);
      void this.resetEntry(entry).catch((error: Error) => this.log.error(error.message));
    }
  }

  private event({ controller, type, nsid, namespace, message, cntlid }: EventMessage): void {
    const entry = this.entries.get(controller);
    if (entry === undefined || entry.state === 'deleting') return;
    switch (type) {
      case 'disconnected':
        entry.state = 'resetting';
        this.log.warn(`controller ${entry.name} is lost: ${message}`);
        this.tellPaths(entry, 'lost');
        break;
      case 'connected':
        entry.state = 'enabled';
        entry.cntlid = cntlid;
        this.log.notice(`controller ${entry.name} is connected again`);
        this.tellPaths(entry, 'connected');
        for (const told of entry.waiting.splice(0)) told(true);
        break;
      case 'failed':
        entry.state = 'failed';
        this.log.error(`controller ${entry.name} is given up: ${message}`);
        this.tellPaths(entry, 'failed');
        for (const told of entry.waiting.splice(0)) told(false);
        void this.detachEntry(entry);
        break;
      default:
        entry.changes = entry.changes
          .then(() => this.changeNamespace(entry, nsid, type === 'namespace-removed' ? null : namespace))
          .catch((error: Error) =>
            this.log.warn(`controller ${entry.name}: namespace ${nsid}: ${error.message}`),
          );
    }
  }

  private tellPaths({ id, cntlid }: Entry, method: 'lost' | 'connected' | 'failed'): void {
    void this.host.broadcast('bdev_nvme', method, { controller: id, cntlid }).catch(() => {});
  }

  private async changeNamespace(entry: Entry, nsid: number, namespace: NamespaceInfo | null): Promise<void> {
    const bdev = entry.bdevs.get(nsid);
    if (namespace === null || unfit(namespace) !== '') {
      entry.bdevs.delete(nsid);
      if (bdev !== undefined) await this.bdevs.unregister(bdev, MODULE);
    } else if (bdev === undefined) await this.add(entry, namespace);
    else if (this.bdevs.get(bdev)?.num_blocks !== namespace.num_blocks)
      await this.bdevs.resize(bdev, namespace.num_blocks);
  }

  // --- what is told ---

  /** bdev_nvme_get_controllers. */
  list(name?: string) {
    const found = name === undefined ? [...this.entries.values()] : [this.byName(name)];
    return found.map((entry) => {
      const { trtype, adrfam, traddr, trsvcid, subnqn } = entry.target.trid;
      const host = { nqn: entry.target.options.hostnqn, addr: '', svcid: '' };
      const trid = { trtype, adrfam, traddr, trsvcid, subnqn };
      return { name: entry.name, ctrlrs: [{ state: entry.state, trid, cntlid: entry.cntlid, host }] };
    });
  }

  /** `driver_specific` of a bdev. */
  info({ context }: BdevDescription): Record<string, unknown> {
    const { controller, nsid } = context as NvmeContext;
    const entry = this.entries.get(controller);
    if (entry === undefined) return {};
    const { trid } = entry.target;
    const { vid, sn, mn, fr, subnqn, oacs, version, cmic } = entry.info;
    const { trtype, adrfam, traddr, trsvcid } = trid;
    const hex = (value: number): string => `0x${value.toString(16).padStart(4, '0')}`;
    return {
      nvme: [
        {
          trid: { trtype, adrfam, traddr, trsvcid, subnqn },
          ctrlr_data: {
            ...{
              cntlid: entry.cntlid,
              vendor_id: hex(vid),
              model_number: mn.trim(),
              serial_number: sn.trim(),
            },
            ...{ firmware_revision: fr.trim(), subnqn },
            oacs: {
              security: oacs & 1,
              format: (oacs >> 1) & 1,
              firmware: (oacs >> 2) & 1,
              ns_manage: (oacs >> 3) & 1,
            },
            ...{ multi_ctrlr: (cmic & 2) !== 0, ana_reporting: (cmic & 8) !== 0 },
          },
          vs: { nvme_version: `${version >>> 16}.${(version >>> 8) & 0xff}` },
          ns_data: {
            id: nsid,
            can_share:
              ((entry.info.namespaces.find((one) => one.nsid === nsid)?.identify.nmic ?? 0) & 1) !== 0,
          },
        },
      ],
      mp_policy: 'active_passive',
    };
  }

  /** The call that attaches a bdev's controller, told for the first of its bdevs. */
  config({ context, name }: BdevDescription): ModuleCall[] {
    const entry = this.entries.get((context as NvmeContext).controller);
    if (entry === undefined || this.unsaved.has(entry)) return [];
    return [...entry.bdevs.values()][0] === name ? [attachCall(entry)] : [];
  }

  /** Those of controllers without bdevs. */
  pending(): ModuleCall[] {
    const without = [...this.entries.values()].filter(({ bdevs }) => bdevs.size === 0);
    return without.filter((entry) => !this.unsaved.has(entry)).map(attachCall);
  }

  optionsCall(): ModuleCall {
    return { method: 'bdev_nvme_set_options', params: { ...this.options } };
  }
}

const attachCall = ({ call }: Entry): ModuleCall => ({
  method: 'bdev_nvme_attach_controller',
  params: { ...call },
});

function timeoutsOf(call: AttachCall): Partial<NvmeModuleOptions> {
  const { ctrlr_loss_timeout_sec, reconnect_delay_sec, fast_io_fail_timeout_sec } = call;
  return {
    ...(ctrlr_loss_timeout_sec !== undefined && { ctrlr_loss_timeout_sec }),
    ...(reconnect_delay_sec !== undefined && { reconnect_delay_sec }),
    ...(fast_io_fail_timeout_sec !== undefined && { fast_io_fail_timeout_sec }),
  };
}

async function targetOf(call: AttachCall, options: NvmeModuleOptions, keys: KeyOptions): Promise<NvmeTarget> {
  const {
    ctrlr_loss_timeout_sec: loss,
    reconnect_delay_sec,
    timeout_us,
    timeout_admin_us,
    action_on_timeout,
  } = options;
  const given: Partial<NvmeOptions> = {
    ...keys,
    ...{ header_digest: call.hdgst ?? false, data_digest: call.ddgst ?? false },
    disable_sq_flow_control: call.disable_sq_flow_control ?? false,
    keep_alive_timeout_ms: options.keep_alive_timeout_ms,
    timeout_ms: action_on_timeout === 'none' ? 0 : Math.ceil(timeout_us / 1000),
    ctrlr_loss_timeout_ms: loss < 0 ? -1 : loss * SECOND_MS,
    reconnect_delay_ms: reconnect_delay_sec * SECOND_MS,
    ...(timeout_admin_us > 0 && { admin_timeout_ms: Math.ceil(timeout_admin_us / 1000) }),
    ...(call.num_io_queues !== undefined && { num_io_queues: call.num_io_queues }),
    ...(call.fabrics_connect_timeout_us && {
      connect_timeout_ms: Math.ceil(call.fabrics_connect_timeout_us / 1000),
    }),
  };
  try {
    return await resolveTarget(makeTransportId(call), given);
  } catch (error) {
    throw new BdevError(Errno.EINVAL, (error as Error).message);
  }
}
