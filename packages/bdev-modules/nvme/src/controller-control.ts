import { BdevError, Errno } from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import type { NamespaceInfo, NvmeTarget } from '@spdk-ts/nvme';
import { anaState } from '@spdk-ts/nvme-spec';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { AttachCall, Attachment } from './attach-control.ts';
import {
  type AttachedController,
  type ControllerMessage,
  type ControllerState,
  PathAccess,
} from './context.ts';
import type { DhchapKeys } from './keys-control.ts';

const SECOND_MS = 1000;
/** How long commands may take to end before a connection is given up on purpose. */
const DRAIN_MS = 1000;

export type EntryState = 'enabled' | 'resetting' | 'failed' | 'disabled' | 'deleting';

/** True if two targets are one address of one subsystem, for one host. */
export function sameTarget(a: NvmeTarget, b: NvmeTarget): boolean {
  const [one, other] = [a.trid, b.trid];
  return (
    one.trtype === other.trtype &&
    one.traddr === other.traddr &&
    one.trsvcid === other.trsvcid &&
    one.subnqn === other.subnqn &&
    one.hostaddr === other.hostaddr &&
    a.options.hostnqn === b.options.hostnqn
  );
}

/** A controller that is attached: one path to a subsystem, on the control thread. */
export class ControllerEntry {
  readonly id: number;
  readonly name: string;
  readonly reactor: number;
  readonly log = new Logger('bdev_nvme');
  /** What it was attached with, and the same of its alternate addresses: `target` is one of them. */
  attachments: Attachment[];
  target: NvmeTarget;
  info: AttachedController;
  cntlid: number;
  state: EntryState = 'enabled';
  /** Told when it is connected again, or is not. */
  private waiting: ((connected: boolean) => void)[] = [];
  /** Set once it is being taken away: resolves when it is gone. */
  removal: Promise<void> | null = null;
  namespaces = new Map<number, NamespaceInfo>();
  private ana: ReadonlyMap<number, number> = new Map();
  /** Namespaces that are not accessible for longer than a change may take, and timers of those that are not for less. */
  private readonly late = new Set<number>();
  private readonly timers = new Map<number, NodeJS.Timeout>();
  private failTimer: NodeJS.Timeout | null = null;
  /** I/O is not to wait for it any longer. */
  private failing = false;
  /** While it is lost, I/O is not to wait for it at all. */
  private impatient = false;
  /** Settles when {@link enable} has. */
  private enabling: Promise<unknown> = Promise.resolve();
  private up = true;
  private held = false;
  private incarnation = 1;
  epoch = 1;
  private readonly host: ReactorHost;
  /** Called when namespaces are to be used in another way than before. */
  private readonly onAccess: (nsid: number) => void;

  constructor(
    host: ReactorHost,
    id: number,
    attachment: Attachment,
    info: AttachedController,
    onAccess: (nsid: number) => void,
  ) {
    this.host = host;
    this.id = id;
    this.name = attachment.call.name;
    this.reactor = id % host.reactors.length;
    this.attachments = [attachment];
    this.target = attachment.target;
    this.info = info;
    this.cntlid = info.cntlid;
    this.onAccess = onAccess;
    this.take(info);
  }

  get options() {
    return this.attachments[0]!.options;
  }

  /** Asks the reactor where it lives. */
  ask(method: string, params: object = {}): Promise<unknown> {
    return this.host.call(this.reactor, 'bdev_nvme', method, { controller: this.id, ...params });
  }

  /** Its connection is there. */
  get connected(): boolean {
    return this.up;
  }

  // --- what every reactor is told ---

  private get message(): ControllerMessage {
    const { id, epoch, incarnation, up, held, state, failing } = this;
    const leaving = this.impatient || state === 'deleting';
    const given_up = failing || state === 'failed' || state === 'disabled' || (leaving && !up);
    const { retry_delays_ms } = this.info;
    return { controller: id, epoch, incarnation, up, held, hope: !given_up, retry_delays_ms };
  }

  async tell(): Promise<void> {
    await this.host.broadcast('bdev_nvme', 'controller', this.message);
  }

  /** The same, by whom nobody waits for. */
  private announce(): void {
    this.tell().catch((error: Error) => this.log.warn(`controller ${this.name}: ${error.message}`));
  }

  /** No more I/O; resolves when what is outstanding has ended, or takes too long. */
  private async drain(): Promise<void> {
    this.held = true;
    await this.tell();
    await this.host.broadcast('bdev_nvme', 'drain', { controller: this.id, timeout_ms: DRAIN_MS });
  }

  // --- its life ---

  /** Takes what its reactor tells of it. */
  take({ cntlid, target, namespaces, ana }: ControllerState): void {
    this.cntlid = cntlid;
    this.target = target;
    this.namespaces = new Map(namespaces.map((namespace) => [namespace.nsid, namespace]));
    this.ana = ana;
    for (const nsid of [...this.timers.keys()]) if (!this.inTransition(nsid)) this.endTransition(nsid);
    for (const nsid of [...this.late]) if (!this.inTransition(nsid)) this.late.delete(nsid);
    for (const nsid of this.namespaces.keys())
      if (this.inTransition(nsid) && !this.late.has(nsid) && !this.timers.has(nsid))
        this.timers.set(
          nsid,
          this.after(Math.max(1, this.info.anatt), () => this.transitionOver(nsid)),
        );
  }

  private after(seconds: number, then: () => void): NodeJS.Timeout {
    return setTimeout(then, Math.min(seconds * SECOND_MS, 0x7fff_ffff)).unref();
  }

  private inTransition(nsid: number): boolean {
    const state = this.ana.get(nsid);
    return state === anaState.inaccessible || state === anaState.change;
  }
  private endTransition(nsid: number): void {
    clearTimeout(this.timers.get(nsid));
    this.timers.delete(nsid);
  }
  private transitionOver(nsid: number): void {
    this.timers.delete(nsid);
    this.late.add(nsid);
    this.onAccess(nsid);
  }

  /** ANA state of a namespace, or undefined if the controller does not report it. */
  anaOf(nsid: number): number | undefined {
    return this.ana.get(nsid);
  }

  /** How this path may be used for a namespace: {@link PathAccess}. */
  accessOf(nsid: number): number {
    if (this.late.has(nsid)) return PathAccess.LOST;
    switch (this.ana.get(nsid)) {
      case anaState.nonOptimized:
        return PathAccess.NON_OPTIMIZED;
      case anaState.persistentLoss:
        return PathAccess.LOST;
      case anaState.inaccessible:
      case anaState.change:
        return PathAccess.WAIT;
      default:
        return PathAccess.OPTIMIZED;
    }
  }

  lost(message: string): void {
    this.up = false;
    this.held = false;
    if (this.state === 'enabled') this.state = 'resetting';
    this.log.warn(`controller ${this.name} (${this.address}) is lost: ${message}`);
    const { fast_io_fail_timeout_sec: patience } = this.options;
    if (patience > 0 && this.failTimer === null)
      this.failTimer = this.after(patience, () => {
        this.failing = true;
        this.announce();
      });
    this.announce();
  }

  foundAgain(): void {
    this.up = true;
    this.held = false;
    this.epoch++;
    this.clearFailing();
    if (this.state === 'resetting') this.state = 'enabled';
    this.log.notice(`controller ${this.name} (${this.address}) is connected again`);
    this.announce();
    this.settle(true);
  }

  givenUp(message: string): void {
    this.up = false;
    if (this.state !== 'deleting') this.state = 'failed';
    this.log.error(`controller ${this.name} (${this.address}) is given up: ${message}`);
    this.announce();
    this.settle(false);
  }

  private clearFailing(): void {
    if (this.failTimer !== null) clearTimeout(this.failTimer);
    this.failTimer = null;
    this.failing = false;
  }

  /** From now on I/O does not wait for it while it is lost. */
  losePatience(): void {
    this.impatient = true;
    this.announce();
    if (!this.up) this.settle(false);
  }

  /** Tells those who wait for it. */
  settle(connected: boolean): void {
    const { waiting } = this;
    this.waiting = [];
    for (const told of waiting) told(connected);
  }

  get address(): string {
    const { traddr, trsvcid } = this.target.trid;
    return `${traddr}:${trsvcid}`;
  }

  /**
   * Connects to it anew. `gently`: what is outstanding may end before. Rejects with BdevError: EIO if it is not connected afterwards,
   * EALREADY if it is disabled, ENXIO if it is being taken away.
   */
  async reset(gently: boolean): Promise<void> {
    this.refuse('deleting', Errno.ENXIO, 'is being detached');
    this.refuse('failed', Errno.ENXIO, 'has been given up');
    this.refuse('disabled', Errno.EALREADY, 'is disabled: enable it with bdev_nvme_enable_controller');
    const done = new Promise<boolean>((resolve) => this.waiting.push(resolve));
    if (this.state === 'enabled') {
      this.state = 'resetting';
      if (gently) await this.drain();
      await this.ask('reset');
    }
    if (!(await done))
      throw new BdevError(
        Errno.EIO,
        `controller ${this.name} (${this.address}) cannot be connected to again`,
      );
  }

  private refuse(state: EntryState, code: number, why: string): void {
    if (this.state === state) throw new BdevError(code, `controller ${this.name} (${this.address}) ${why}`);
  }

  /** Disconnects from it until it is enabled again. Rejects with BdevError EALREADY if it is disabled. */
  async disable(): Promise<void> {
    this.refuse('deleting', Errno.ENXIO, 'is being detached');
    this.refuse('failed', Errno.ENXIO, 'has been given up');
    this.refuse('disabled', Errno.EALREADY, 'is disabled already');
    const { connected } = this;
    this.state = 'disabled';
    if (connected) await this.drain();
    this.up = false;
    this.clearFailing();
    await this.tell();
    this.settle(false);
    await this.ask('detach');
  }

  /** Connects to it after {@link disable}. Rejects with BdevError EIO, and it stays disabled. */
  async enable(): Promise<void> {
    if (this.state !== 'disabled')
      throw new BdevError(Errno.EALREADY, `controller ${this.name} (${this.address}) is not disabled`);
    this.state = 'resetting';
    const attached = attachOn(this.host, this.id, this.attachments);
    this.enabling = attached.catch(() => {});
    try {
      this.info = await attached;
    } catch (error) {
      if (this.state === 'resetting') this.state = 'disabled';
      throw error;
    }
    this.refuse('deleting', Errno.ENXIO, 'is being detached');
    this.incarnation++;
    this.take(this.info);
    this.foundAgain();
  }

  /** It is being taken away. While others have its namespaces, or it is lost, it gets no more I/O. */
  async leave(alone: boolean): Promise<void> {
    const was_up = this.up && this.state !== 'disabled';
    this.state = 'deleting';
    this.settle(false);
    if (!alone && was_up) await this.drain();
    else await this.tell();
  }

  /** Its namespaces have gone: nothing is left of it. */
  async end(): Promise<void> {
    await this.enabling;
    this.up = false;
    this.clearFailing();
    for (const nsid of [...this.timers.keys()]) this.endTransition(nsid);
    await this.tell();
    await this.ask('detach').catch((error: Error) => this.log.warn(error.message));
    await this.host.broadcast('bdev_nvme', 'forget', { controller: this.id });
  }

  /** One of its addresses is connected to with other keys from now on. Rejects if either side does not believe the other. */
  async setKeys(before: Attachment, call: AttachCall, keys: DhchapKeys): Promise<void> {
    const { target } = before;
    const attachment = { ...before, call, target: { ...target, options: { ...target.options, ...keys } } };
    if (this.state !== 'disabled' && sameTarget(target, this.target)) {
      const params = await this.ask('setKeys', { keys });
      await this.host.broadcast('bdev_nvme', 'authenticate', { controller: this.id, params });
      this.target = attachment.target;
    }
    this.attachments = this.attachments.map((other) => (other === before ? attachment : other));
    if (this.state !== 'disabled' && this.attachments.length > 1)
      await this.ask('setAlternates', { alternates: this.alternates });
  }

  // --- alternate addresses ---

  get alternates(): NvmeTarget[] {
    return this.attachments.map(({ target }) => target).filter((target) => !sameTarget(target, this.target));
  }

  async addAlternate(attachment: Attachment): Promise<void> {
    this.attachments.push(attachment);
    if (this.state !== 'disabled') await this.ask('setAlternates', { alternates: this.alternates });
  }

  /** Forgets an address, of several; moves on to another, if it is the one in use. */
  async removeAddress(target: NvmeTarget): Promise<void> {
    const in_use = sameTarget(target, this.target);
    this.attachments = this.attachments.filter((other) => !sameTarget(other.target, target));
    if (in_use) this.target = this.attachments[0]!.target;
    if (this.state === 'disabled') return;
    const { alternates } = this;
    if (!in_use) await this.ask('setAlternates', { alternates });
    else await this.moveTo([this.target, ...alternates]);
  }

  private async moveTo(targets: readonly NvmeTarget[]): Promise<void> {
    const done = new Promise<boolean>((resolve) => this.waiting.push(resolve));
    if (this.up) await this.drain();
    await this.ask('moveTo', { targets });
    await done;
  }
}

/** Connects a controller on its reactor. Rejects with BdevError EIO. */
export async function attachOn(
  host: ReactorHost,
  id: number,
  attachments: readonly Attachment[],
): Promise<AttachedController> {
  const [{ target }, ...others] = attachments as [Attachment, ...Attachment[]];
  const params = { controller: id, target, alternates: others.map((other) => other.target) };
  try {
    const reactor = id % host.reactors.length;
    return (await host.call(reactor, 'bdev_nvme', 'attach', params)) as AttachedController;
  } catch (error) {
    throw new BdevError(Errno.EIO, (error as Error).message);
  }
}
