import { BdevError, type BdevRegistry, Errno } from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import type { NamespaceInfo } from '@spdk-ts/nvme';
import { cmic } from '@spdk-ts/nvme-spec';
import type { ReactorHost } from '@spdk-ts/reactor';
import { type AttachCall, type Attachment, checksOf } from './attach-control.ts';
import type { AttachedController, EventMessage, NvmeContext } from './context.ts';
import { type ControllerEntry, sameTarget } from './controller-control.ts';
import { samePolicy } from './multipath-control.ts';
import { identical, identityOf, NamespaceBdev } from './namespace-control.ts';
import { bdevSpec, unfit } from './spec.ts';

export const MODULE = 'nvme';
const MAX_BDEVS = 128;

const refuse = (code: number, explanation: string): never => {
  throw new BdevError(code, explanation);
};

/** What groups have in common. */
export interface GroupParts {
  readonly host: ReactorHost;
  readonly bdevs: BdevRegistry;
  /** A number that no bdev has had. */
  nextBdev(): number;
  readonly io_path_stat: boolean;
  readonly failback: boolean;
}

/** The controllers of one name: paths to one subsystem, and the bdevs of its namespaces. */
export class ControllerGroup {
  readonly name: string;
  readonly entries: ControllerEntry[] = [];
  /** By NSID. */
  readonly bdevs = new Map<number, NamespaceBdev>();
  private readonly first: Attachment;
  private readonly parts: GroupParts;
  private readonly log = new Logger('bdev_nvme');
  /** What comes and goes of each namespace, one after the other. */
  private readonly chains = new Map<number, Promise<void>>();
  /** Namespaces whose bdevs somebody else has taken away. */
  private readonly dropped = new Set<number>();

  constructor(first: Attachment, parts: GroupParts) {
    this.name = first.call.name;
    this.first = first;
    this.parts = parts;
  }

  // --- what may be attached to it ---

  /** Throws BdevError if a second path of this kind is not allowed: SPDK's rules, in their order. */
  check({ call, target, options }: Attachment): void {
    const { name } = this;
    const { multipath = 'multipath' } = call;
    const { subnqn } = this.first.target.trid;
    const { hostnqn } = this.first.target.options;
    if (multipath === 'disable')
      refuse(Errno.EALREADY, `A controller named ${name} already exists and multipath is disabled`);
    const { traddr, trsvcid } = target.trid;
    for (const { attachments } of this.entries)
      for (const { target: known } of attachments)
        if (known.trid.traddr === traddr && known.trid.trsvcid === trsvcid)
          refuse(
            Errno.EALREADY,
            `A controller named ${name} already exists with the specified network path (traddr ${traddr}, trsvcid ${trsvcid})`,
          );
    if (target.trid.subnqn !== subnqn)
      refuse(
        Errno.EINVAL,
        `A controller named ${name} already exists, but uses a different subnqn (${subnqn}): "${target.trid.subnqn}" needs another name`,
      );
    if (target.options.hostnqn !== hostnqn)
      refuse(
        Errno.EINVAL,
        `A controller named ${name} already exists, but uses a different hostnqn (${hostnqn}): "${target.options.hostnqn}" needs another name`,
      );
    if ((multipath === 'multipath') !== this.multipath)
      refuse(
        Errno.EINVAL,
        `multipath is "${multipath}", but controller ${name} was attached with "${this.first.call.multipath ?? 'multipath'}": all paths must be for multipath, or all for failover`,
      );
    if (!samePolicy(options.multipath_opts, this.first.options.multipath_opts))
      refuse(
        Errno.EINVAL,
        `multipath_opts are ${JSON.stringify(options.multipath_opts)}, but those of controller ${name} are ${JSON.stringify(this.first.options.multipath_opts)}`,
      );
  }

  /** Its controllers are paths of one bdev each; if not, it is one controller, perhaps with alternate addresses. */
  get multipath(): boolean {
    return (this.first.call.multipath ?? 'multipath') === 'multipath';
  }

  /** Throws BdevError EINVAL if a controller, now that it is connected, cannot be one more path. */
  checkPath({ cntlid, cmic: can }: AttachedController): void {
    for (const entry of this.entries) {
      if ((can & entry.info.cmic & cmic.multipleControllers) === 0)
        refuse(
          Errno.EINVAL,
          `controller ${cntlid} cannot be one more path of ${this.name}: its subsystem does not support multiple controllers (CMIC)`,
        );
      if (cntlid === entry.cntlid)
        refuse(
          Errno.EINVAL,
          `cntlid ${cntlid} is that of the path ${entry.address} of ${this.name}, too: give the targets different ranges of controller ids (min_cntlid, max_cntlid)`,
        );
    }
  }

  /** Throws BdevError EINVAL if namespaces of a controller are others than those that have its numbers here. */
  checkNamespaces(namespaces: readonly NamespaceInfo[]): void {
    for (const theirs of namespaces) {
      const ours = this.bdevs.get(theirs.nsid)?.namespace;
      if (ours !== undefined && !identical(ours, theirs))
        refuse(
          Errno.EINVAL,
          `namespace ${theirs.nsid} (${identityOf(theirs)}) is not identical to that of ${this.name} (${identityOf(ours)})`,
        );
    }
  }

  find(attachment: Attachment): boolean {
    return this.entries.some(({ attachments }) =>
      attachments.some(({ target }) => sameTarget(target, attachment.target)),
    );
  }

  // --- its namespaces ---

  /** Takes what a controller tells, and does what follows from it for its namespaces. */
  async update(entry: ControllerEntry, { type, nsid, ...state }: EventMessage): Promise<void> {
    const before = [...entry.namespaces.keys()];
    entry.take(state);
    if (type === 'ana-changed') {
      for (const bdev of this.bdevs.values()) this.tellPaths(bdev, true);
      return;
    }
    const changed = type === 'connected' ? new Set([...before, ...entry.namespaces.keys()]) : [nsid];
    await Promise.all([...changed].map((one) => this.reconcile(one, type === 'connected')));
  }

  /** Brings a namespace's bdev into accord with what the controllers tell of it. Rejects with BdevError. */
  reconcile(nsid: number, anew = false): Promise<void> {
    const bdev = this.bdevs.get(nsid);
    // At once: what the chain is at may wait for I/O, which may wait for this.
    if (bdev !== undefined) this.tellPaths(bdev, anew);
    const done = (this.chains.get(nsid) ?? Promise.resolve()).then(() => this.reconcileNow(nsid));
    this.chains.set(
      nsid,
      done.catch(() => {}),
    );
    return done;
  }

  /** Those whose namespace of this number is fit to be a bdev. */
  private havers(nsid: number): ControllerEntry[] {
    return this.entries.filter(({ namespaces, state }) => {
      const namespace = namespaces.get(nsid);
      return state !== 'deleting' && state !== 'failed' && namespace !== undefined && unfit(namespace) === '';
    });
  }

  private pathsOf(bdev: NamespaceBdev): ControllerEntry[] {
    return this.havers(bdev.nsid).filter((entry) => bdev.isOn(entry));
  }

  /** Says what a bdev's paths are. One that is about to go keeps those that are still connected, for I/O under way. */
  async sendPaths(bdev: NamespaceBdev, anew = false): Promise<void> {
    const staying = this.pathsOf(bdev);
    const paths =
      staying.length > 0
        ? staying
        : this.entries.filter((entry) => entry.state === 'deleting' && entry.connected && bdev.isOn(entry));
    await bdev.setPaths(paths, this.parts.failback, anew);
  }

  /** The same, by whom nobody waits for. */
  tellPaths(bdev: NamespaceBdev, anew = false): void {
    this.sendPaths(bdev, anew).catch((error: Error) => this.log.warn(`bdev ${bdev.name}: ${error.message}`));
  }

  private async reconcileNow(nsid: number): Promise<void> {
    let bdev = this.bdevs.get(nsid);
    if (bdev !== undefined && this.pathsOf(bdev).length === 0) {
      await bdev.remove(MODULE);
      this.bdevs.delete(nsid);
      await bdev.forget();
      bdev = undefined;
    }
    const first = this.havers(nsid)[0];
    if (bdev !== undefined) {
      this.warnOfOthers(bdev);
      await bdev.resize();
    } else if (first !== undefined && !this.dropped.has(nsid)) await this.create(first, nsid);
    else if (first === undefined) {
      this.dropped.delete(nsid);
      this.warnOfUnfit(nsid);
    }
  }

  private warnOfOthers(bdev: NamespaceBdev): void {
    for (const entry of this.havers(bdev.nsid)) {
      const theirs = entry.namespaces.get(bdev.nsid)!;
      if (!bdev.isOn(entry))
        this.log.warn(
          `controller ${this.name} (${entry.address}): namespace ${bdev.nsid} (${identityOf(theirs)}) is left alone: it is not identical to that of bdev ${bdev.name} (${identityOf(bdev.namespace)})`,
        );
    }
  }

  private warnOfUnfit(nsid: number): void {
    for (const { namespaces } of this.entries) {
      const namespace = namespaces.get(nsid);
      if (namespace !== undefined && unfit(namespace) !== '')
        this.log.notice(`controller ${this.name}: namespace ${nsid} is left alone: ${unfit(namespace)}`);
    }
  }

  private async create(first: ControllerEntry, nsid: number): Promise<void> {
    const { max_bdevs = MAX_BDEVS } = this.first.call;
    const { host, bdevs, io_path_stat } = this.parts;
    if (this.bdevs.size >= max_bdevs) {
      this.log.warn(`controller ${this.name}: namespace ${nsid} is left alone: max_bdevs is ${max_bdevs}`);
      return;
    }
    const namespace = first.namespaces.get(nsid)!;
    const { bdev_retry_count, multipath_opts: multipath } = this.first.options;
    const number = this.parts.nextBdev();
    const context: Omit<NvmeContext, 'commands'> = { bdev: number, nsid, bdev_retry_count, io_path_stat };
    const spec = bdevSpec(this.name, first.info, namespace, context, checksOf(this.first.call));
    const bdev = new NamespaceBdev(host, bdevs, { number, nsid, name: spec.name, namespace, multipath });
    this.bdevs.set(nsid, bdev);
    try {
      await bdev.setPaths(this.pathsOf(bdev), this.parts.failback);
      this.warnOfOthers(bdev);
      await bdev.register(MODULE, spec);
    } catch (error) {
      this.bdevs.delete(nsid);
      await bdev.forget();
      throw error;
    }
  }

  /** The registry has let go of a bdev, whoever wanted that. */
  destroyed(number: number): void {
    for (const bdev of this.bdevs.values())
      if (bdev.number === number) {
        if (!bdev.removing) {
          this.dropped.add(bdev.nsid);
          this.bdevs.delete(bdev.nsid);
          bdev.forget().catch((error: Error) => this.log.warn(error.message));
        }
        bdev.destroyed();
      }
  }

  /** Takes a controller away; bdevs that have no other path go with it. Resolves when it is gone. */
  remove(entry: ControllerEntry): Promise<void> {
    entry.removal ??= this.removeNow(entry);
    return entry.removal;
  }

  private async removeNow(entry: ControllerEntry): Promise<void> {
    const alone = ![...this.bdevs.values()].some(
      (bdev) => bdev.isOn(entry) && this.pathsOf(bdev).some((other) => other !== entry),
    );
    await entry.leave(alone);
    const nsids = new Set([...entry.namespaces.keys(), ...this.bdevs.keys()]);
    for (const end of await Promise.allSettled([...nsids].map((nsid) => this.reconcile(nsid))))
      if (end.status === 'rejected') this.log.warn(`controller ${this.name}: ${end.reason}`);
    // A path that was kept for I/O under way.
    for (const bdev of this.bdevs.values()) this.tellPaths(bdev);
    await entry.end();
    const at = this.entries.indexOf(entry);
    if (at >= 0) this.entries.splice(at, 1);
  }

  /** Names of the bdevs that a controller is a path of. */
  namesOf(entry: ControllerEntry): string[] {
    return [...this.bdevs.values()].filter((bdev) => bdev.paths.includes(entry)).map(({ name }) => name);
  }

  /** The call that attached it. */
  get call(): AttachCall {
    return this.first.call;
  }
}
