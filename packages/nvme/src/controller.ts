import { TICKS_PER_MS } from '@spdk-ts/env';
import {
  type AsyncEvent,
  adminOpcode,
  type ControllerCapabilities,
  cns,
  controllerType,
  DISCOVERY_NQN,
  decodeCsts,
  decodeNumberOfQueues,
  encodeCc,
  encodeNumberOfQueues,
  fid,
  type IdentifyController,
  identifyController,
  pduFlag,
  register,
  shn,
  shst,
} from '@spdk-ts/nvme-spec';
import { readAnaStates, reportsAna } from './ana.ts';
import { AsyncEvents, type EventTaker } from './async-events.ts';
import { Commands } from './commands.ts';
import { acceptExtendedFormats, enableController, IO_CQES, IO_SQES } from './controller-init.ts';
import { NvmeError } from './errors.ts';
import { EventStream } from './event-stream.ts';
import {
  ADMIN_CAPSULE_BYTES,
  type ConnectParams,
  connectQueue,
  getProperty,
  setProperty,
} from './fabrics.ts';
import {
  type AuthParams,
  authenticateQueue,
  type IoQueueParams,
  openIoQueue,
  reopenIoQueue,
} from './io-queue.ts';
import { KeepAlive } from './keep-alive.ts';
import { activeNamespaces, describeNamespace, identify, type NamespaceInfo } from './namespaces.ts';
import type { NvmeTarget } from './node-identity.ts';
import { type NvmeOptions, nvmeOptions } from './options.ts';
import type { PciLink } from './pci/pci-link.ts';
import { vfioUserLink } from './pci/posix-vfio-user.ts';
import type { NvmePollGroup } from './poll-group.ts';
import { type NvmeQpair, QpairState } from './qpair.ts';
import type { NvmeRequest } from './request.ts';
import { type TcpAddress, TcpQpair } from './tcp/tcp-qpair.ts';
import { tlsKeyOf } from './tls-key.ts';

export type ControllerState = 'connecting' | 'ready' | 'reconnecting' | 'failed' | 'closed';

/** What happens to a controller. */
export type ControllerEvent =
  /** The connection is lost; it will be made again, unless 'failed' follows. */
  | { readonly type: 'disconnected'; readonly error: NvmeError }
  | { readonly type: 'connected' }
  /** It has been given up. */
  | { readonly type: 'failed'; readonly error: NvmeError }
  | { readonly type: 'namespace-added' | 'namespace-changed' | 'namespace-removed'; readonly nsid: number }
  /** Asymmetric access to its namespaces has changed: see {@link NvmeController.ana}. */
  | { readonly type: 'ana-changed' }
  | { readonly type: 'async-event'; readonly event: AsyncEvent };

const RECONNECT_DELAY_MAX_MS = 60_000;
const SHUTDOWN_POLL_MS = 10;
const SHUTDOWN_MS_MAX = 5000;
/** CAP.MPSMIN's unit: MDTS counts pages of 2^(12 + MPSMIN) bytes. */
const PAGE_BYTES = 4096;
const TRANSFER_BYTES_MAX = 2 ** 31;

/** A controller over NVMe/TCP or behind a vfio-user socket, with its admin queue on one reactor. */
export class NvmeController implements EventTaker {
  readonly group: NvmePollGroup;
  /** Where it is, or was last tried. */
  target: NvmeTarget;
  readonly admin: Commands;
  readonly events = new EventStream<ControllerEvent>();
  readonly namespaces = new Map<number, NamespaceInfo>();
  /** ANA states of namespaces, by NSID, of a controller that reports them: `anaState`. */
  ana: ReadonlyMap<number, number> = new Map();
  /** Other addresses of the same subsystem: when the connection is lost they are tried first, one after the other. */
  alternates: NvmeTarget[] = [];
  /** Told of each attempt to connect again that has failed. */
  onNotConnected: ((error: NvmeError) => void) | null = null;
  state: ControllerState = 'connecting';
  cntlid = 0xffff;
  cap!: ControllerCapabilities;
  version = 0;
  identify!: IdentifyController;
  /** I/O queues that it has granted. */
  num_io_queues = 0;
  /** Bytes of data of one command at most. */
  transfer_bytes = TRANSFER_BYTES_MAX;

  private readonly qpair: NvmeQpair;
  /** Of a controller behind a PCI function, or null: it is one over fabrics. */
  private readonly pci: PciLink | null;
  private address: TcpAddress;
  private readonly aers: AsyncEvents;
  private readonly keepAlive: KeepAlive;
  private readonly qids = new Set<number>();
  /** Queues of this controller that were opened here. */
  private readonly queues = new Map<NvmeQpair, IoQueueParams>();
  private lost_at = 0;
  private resetting = false;
  /** Until it has settled, queues are in the middle of authenticating themselves anew. */
  private authenticating: Promise<void> = Promise.resolve();
  /** Its present address is not to be tried again. */
  private moving = false;

  /** Connects. Rejects with an {@link NvmeError} that tells which step failed, and why. */
  static async connect(group: NvmePollGroup, target: NvmeTarget): Promise<NvmeController> {
    const controller = new NvmeController(group, target);
    try {
      await controller.bringUp();
      controller.becomeReady();
      return controller;
    } catch (error) {
      await controller.close();
      throw error;
    }
  }

  private constructor(group: NvmePollGroup, target: NvmeTarget) {
    const { options } = target;
    if (options.ctrlr_loss_timeout_ms !== 0 && options.reconnect_delay_ms === 0)
      throw new NvmeError('EINVAL', 'ctrlr_loss_timeout_ms needs a reconnect_delay_ms above 0');
    this.group = group;
    this.target = target;
    this.pci = target.trid.trtype === 'VFIOUSER' ? vfioUserLink(group, target) : null;
    this.qpair = this.pci?.admin ?? new TcpQpair(group, options.admin_queue_size);
    this.admin = new Commands(this.qpair);
    this.aers = new AsyncEvents(this.admin, this);
    this.keepAlive = new KeepAlive(group, this.qpair, this.admin);
    this.address = addressOf(target);
  }

  /** A discovery controller: it has no I/O queues, and its subsystem may have an NQN of its own. */
  get discovery(): boolean {
    return this.target.trid.subnqn === DISCOVERY_NQN || this.identify?.cntrltype === controllerType.discovery;
  }

  private get connectParams(): ConnectParams {
    const { trid, options } = this.target;
    return {
      subnqn: trid.subnqn,
      hostnqn: options.hostnqn,
      hostid: Uint8Array.from(Buffer.from(options.hostid, 'hex')),
      cntlid: this.cntlid,
      qid: 0,
      keep_alive_timeout_ms: options.keep_alive_timeout_ms,
      disable_sq_flow_control: options.disable_sq_flow_control,
      dhchap_key: options.dhchap_key,
      dhchap_ctrlr_key: options.dhchap_ctrlr_key,
      dhchap_digests: options.dhchap_digests,
      dhchap_dhgroups: options.dhchap_dhgroups,
    };
  }

  private async bringUp(): Promise<void> {
    if (this.pci !== null) await this.bringUpFunction(this.pci);
    else await this.bringUpFabrics(this.qpair as TcpQpair);
    if (!this.discovery) await this.setUpIo();
    await this.aers.start(this.identify.oaes, this.identify.aerl, this.discovery);
    // After that: no change is missed.
    if (!this.discovery) await this.readAna();
    if (this.pci === null) this.startKeepAlive();
  }

  /** The initialization, as Base 2.0, 3.5.1 has it for controllers with registers. */
  private async bringUpFunction(pci: PciLink): Promise<void> {
    const { admin, target, qpair } = this;
    const { options, trid } = target;
    qpair.onTimeout = (request) => this.adminTimedOut(request);
    qpair.onClosed = (error) => this.lost(error);
    qpair.timeout_ms = options.connect_timeout_ms;
    const { cap, version } = await pci.bringUp();
    this.learned(cap, version, identifyController.decode(await identify(admin, cns.controller)));
    this.cntlid = this.identify.cntlid;
    const { subnqn } = this.identify;
    if (trid.subnqn !== '' && trid.subnqn !== subnqn)
      throw new NvmeError(
        'EINVAL',
        `${qpair.name}: the controller is one of ${subnqn}, not of ${trid.subnqn}`,
      );
    await pci.settle(this.identify, this.transfer_bytes);
    qpair.timeout_ms = options.admin_timeout_ms;
  }

  /** The initialization, as Base 2.0, 3.5.1 and 3.3.1 have it for Fabrics. */
  private async bringUpFabrics(qpair: TcpQpair): Promise<void> {
    const { admin, target } = this;
    const { options } = target;
    this.address = { ...this.address, tls: await tlsKeyOf(target) };
    await qpair.open(this.address);
    qpair.qid = 0;
    qpair.onTimeout = (request) => this.adminTimedOut(request);
    qpair.onClosed = (error) => this.lost(error);
    qpair.timeout_ms = options.connect_timeout_ms;
    qpair.capsule_bytes = ADMIN_CAPSULE_BYTES;
    this.cntlid = await connectQueue(admin, this.connectParams);
    const enabled = await enableController(this.group, admin);
    this.learned(enabled.cap, enabled.version, enabled.identify);
    qpair.timeout_ms = options.admin_timeout_ms;
  }

  /** What the controller says that it is. */
  private learned(cap: ControllerCapabilities, version: number, identify: IdentifyController): void {
    this.cap = cap;
    this.version = version;
    this.identify = identify;
    const { mdts } = identify;
    const pages = mdts === 0 ? 0 : 2 ** Math.min(mdts, 31) * PAGE_BYTES * 2 ** cap.mpsmin;
    this.transfer_bytes = pages === 0 ? TRANSFER_BYTES_MAX : Math.min(pages, TRANSFER_BYTES_MAX);
  }

  /** Throws if the connection has been lost meanwhile: nobody was told of that. */
  private becomeReady(): void {
    if (this.qpair.state !== QpairState.OPEN)
      throw this.qpair.error ?? new NvmeError('ECONNECT', `${this.qpair.name} has been lost`);
    this.state = 'ready';
  }

  private async setUpIo(): Promise<void> {
    const wanted = this.target.options.num_io_queues;
    if (wanted > 0) {
      const { dw0 } = await this.admin.succeed(
        {
          ...{ opcode: adminOpcode.setFeatures, cdw10: fid.numberOfQueues },
          cdw11: encodeNumberOfQueues(wanted, wanted),
        },
        { what: 'Set Features (Number of Queues)' },
      );
      const { submission, completion } = decodeNumberOfQueues(dw0);
      this.num_io_queues = Math.min(wanted, submission, completion);
    }
    await acceptExtendedFormats(this.admin, this.identify);
    await this.rescan(await activeNamespaces(this.admin), true);
  }

  /** Reads the ANA log page, of a controller that has one. */
  async readAna(): Promise<void> {
    if (reportsAna(this.identify)) this.ana = await readAnaStates(this.admin, this.identify, this.namespaces);
  }

  /** Takes the present list of namespaces, and looks at those that are new, or at all of them. */
  private async rescan(
    active: readonly number[],
    all: boolean,
    changed: readonly number[] = [],
  ): Promise<void> {
    const { namespaces } = this;
    const initial = this.state === 'connecting';
    const tell = (
      type: 'namespace-added' | 'namespace-changed' | 'namespace-removed',
      nsid: number,
    ): void => {
      if (!initial) this.events.push({ type, nsid });
    };
    for (const nsid of [...namespaces.keys()]) {
      if (active.includes(nsid)) continue;
      namespaces.delete(nsid);
      tell('namespace-removed', nsid);
    }
    for (const nsid of active) {
      const known = namespaces.get(nsid);
      if (known !== undefined && !all && !changed.includes(nsid)) continue;
      const info = await describeNamespace(this.admin, nsid);
      if (info === null) {
        if (namespaces.delete(nsid)) tell('namespace-removed', nsid);
        continue;
      }
      namespaces.set(nsid, info);
      if (known === undefined) tell('namespace-added', nsid);
      else if (JSON.stringify(known, bigints) !== JSON.stringify(info, bigints))
        tell('namespace-changed', nsid);
    }
  }

  // --- I/O queues ---

  /**
   * What an I/O queue of this controller is opened with, on any reactor: cloneable. With the number of a queue that was granted
   * before, what that one is opened with again. Throws if it grants no more.
   */
  ioQueueParams(again = 0): IoQueueParams {
    const { options } = this.target;
    const { ioccsz } = this.identify;
    let qid = again === 0 ? 1 : again;
    while (again === 0 && this.qids.has(qid)) qid++;
    if (qid > this.num_io_queues)
      throw new NvmeError(
        'EUNSUPPORTED',
        `${this.qpair.name}: the controller grants ${this.num_io_queues} I/O queues, and all are in use`,
      );
    this.qids.add(qid);
    if (this.pci !== null) return this.pci.queueParams(qid, options.io_queue_size, options.timeout_ms);
    return {
      ...{ trtype: 'TCP', qid },
      address: this.address,
      connect: { ...this.connectParams, qid },
      entries: Math.max(2, Math.min(options.io_queue_size, this.cap.mqes + 1)),
      capsule_bytes: Math.max(0, ioccsz * 16 - IO_SQES),
      transfer_bytes: this.transfer_bytes,
      timeout_ms: options.timeout_ms,
    };
  }

  /** Gives a queue's number back: it has been closed. */
  releaseIoQueue({ qid }: IoQueueParams): void {
    this.qids.delete(qid);
  }

  /**
   * Opens an I/O queue on this controller's reactor. It is opened again whenever the controller is connected again. Rejects with an
   * {@link NvmeError}.
   */
  async openIoQueue(): Promise<NvmeQpair> {
    const params = this.ioQueueParams();
    try {
      const qpair = await openIoQueue(this.group, params);
      this.queues.set(qpair, params);
      qpair.onTimeout = (request) => this.ioTimedOut(qpair, request);
      qpair.onClosed = (error) => this.fail(error);
      return qpair;
    } catch (error) {
      this.releaseIoQueue(params);
      throw error;
    }
  }

  /** Closes an I/O queue: what is outstanding on it is aborted. */
  closeIoQueue(qpair: NvmeQpair): void {
    const params = this.queues.get(qpair);
    if (params === undefined) return;
    this.queues.delete(qpair);
    this.releaseIoQueue(params);
    qpair.onClosed = null;
    qpair.close();
  }

  /**
   * Takes other keys of DH-HMAC-CHAP, and authenticates the admin queue and those opened here with them. Resolves with what queues
   * elsewhere are to be authenticated with. Rejects with an {@link NvmeError}; then the keys are those of before.
   */
  async setKeys(keys: Pick<NvmeOptions, 'dhchap_key' | 'dhchap_ctrlr_key'>): Promise<AuthParams> {
    if (this.pci !== null)
      throw new NvmeError('EUNSUPPORTED', `${this.qpair.name}: only hosts over fabrics prove themselves`);
    const { target: before } = this;
    this.target = { ...before, options: nvmeOptions({ ...before.options, ...keys }) };
    const { hostnqn, subnqn, dhchap_key, dhchap_ctrlr_key, dhchap_digests, dhchap_dhgroups } =
      this.connectParams;
    const params = { hostnqn, subnqn, dhchap_key, dhchap_ctrlr_key, dhchap_digests, dhchap_dhgroups };
    // Where there is no connection, the next one is made with them.
    if (this.state !== 'ready') return params;
    const authenticated = this.authenticateQueues(params);
    this.authenticating = authenticated.catch(() => {});
    try {
      await authenticated;
      return params;
    } catch (error) {
      // A connection that was lost meanwhile tells nothing of the keys: the next one is made with them.
      if (this.qpair.error !== null) return params;
      this.target = before;
      throw error;
    }
  }

  private async authenticateQueues(params: AuthParams): Promise<void> {
    for (const qpair of [this.qpair, ...this.queues.keys()]) await authenticateQueue(qpair, params);
  }

  /** One of its queues, here or on another reactor, has lost its connection: so has the controller. */
  fail(error: NvmeError): void {
    if (this.state === 'ready') this.qpair.fail(error);
  }

  // --- timeouts ---

  private adminTimedOut(request: NvmeRequest): void {
    const opcode = (request.sqe[0]! & 0xff).toString(16).padStart(2, '0');
    const text = `${this.qpair.name}: Admin command ${opcode}h takes longer than ${this.qpair.timeout_ms} ms`;
    this.qpair.fail(new NvmeError('ETIMEOUT', text));
  }

  /** A command that takes too long is aborted; if it then goes on for as long again, the controller is reset. */
  ioTimedOut(qpair: NvmeQpair, request: NvmeRequest): void {
    const text = `${qpair.name}: command ${request.cid} takes longer than ${qpair.timeout_ms} ms`;
    if (request.aborting) {
      this.reset(new NvmeError('ETIMEOUT', `${text}, and is not aborted`));
      return;
    }
    request.aborting = true;
    this.group.log.warn(`${text}: aborting it`);
    void this.abort(qpair.qid, request.cid);
  }

  /** Sends Abort (Base 2.0, 5.1). True if the command was aborted. */
  async abort(sqid: number, cid: number): Promise<boolean> {
    try {
      const fields = { opcode: adminOpcode.abort, cdw10: (sqid | (cid << 16)) >>> 0 };
      const { status, dw0 } = await this.admin.run(fields, { what: 'Abort' });
      return status === 0 && (dw0 & 1) === 0;
    } catch {
      return false; // the controller is being reset
    }
  }

  private startKeepAlive(): void {
    const { keep_alive_timeout_ms } = this.target.options;
    if (keep_alive_timeout_ms !== 0 && this.identify.kas !== 0) this.keepAlive.start(keep_alive_timeout_ms);
  }

  // --- losing and finding the controller ---

  /** Drops all connections, and makes them again: at least once, whatever ctrlr_loss_timeout_ms says. */
  reset(error = new NvmeError('ECLOSED', `${this.qpair.name}: the controller is being reset`)): void {
    if (this.state !== 'ready') return;
    this.resetting = true;
    this.qpair.fail(error);
  }

  /** The admin queue's connection is gone. */
  private lost(error: NvmeError): void {
    this.keepAlive.stop();
    this.aers.stop();
    if (this.state !== 'ready') return;
    for (const queue of this.queues.keys()) queue.fail(error);
    this.lost_at = this.group.reactor.now;
    this.events.push({ type: 'disconnected', error });
    const { resetting } = this;
    this.resetting = false;
    if (this.target.options.ctrlr_loss_timeout_ms === 0 && !resetting && this.alternates.length === 0) {
      this.giveUp(error);
      return;
    }
    this.state = 'reconnecting';
    this.group.log.warn(`${error.message}: reconnecting`);
    void this.reconnect(error, resetting);
  }

  private giveUp(error: NvmeError): void {
    this.state = 'failed';
    this.events.push({ type: 'failed', error });
    this.events.end();
  }

  private async reconnect(cause: NvmeError, at_once: boolean): Promise<void> {
    const { ctrlr_loss_timeout_ms: patience, reconnect_delay_ms } = this.target.options;
    const others = this.alternates.length;
    // Tried at once, whatever ctrlr_loss_timeout_ms says: after a reset the same address, then every other one.
    const promised = others + (at_once ? 1 : 0);
    let error = cause;
    let delay = promised > 0 ? 0 : reconnect_delay_ms;
    for (let attempts = 0; this.state === 'reconnecting'; attempts++) {
      const gone = (this.group.reactor.now - this.lost_at) / TICKS_PER_MS;
      const left = patience < 0 ? Number.POSITIVE_INFINITY : patience - gone;
      if (left <= 0 && attempts >= promised) break;
      await this.group.sleep(Math.min(delay, RECONNECT_DELAY_MAX_MS, Math.max(0, left)));
      delay = attempts + 1 < promised ? 0 : Math.max(2 * delay, reconnect_delay_ms);
      if (this.state !== 'reconnecting') return;
      if (!at_once || attempts > 0) this.takeNextAddress();
      // What is left of an exchange on the lost connection must find it closed, not the next one.
      await this.authenticating;
      if (this.state !== 'reconnecting') return;
      try {
        await this.bringUp();
        for (const [queue, params] of this.queues) await reopenIoQueue(queue, this.paramsAgain(params));
        if (this.state !== 'reconnecting') return;
        this.becomeReady();
        this.events.push({ type: 'connected' });
        return;
      } catch (failure) {
        error = failure instanceof NvmeError ? failure : new NvmeError('ECONNECT', String(failure));
        this.group.log.info(error.message);
        await this.disconnect(error);
        this.onNotConnected?.(error);
      }
    }
    if (this.state === 'reconnecting') this.giveUp(error);
  }

  /** What a queue is opened with once more: the address and the keys may be others. */
  private paramsAgain(params: IoQueueParams): IoQueueParams {
    if (params.trtype !== 'TCP') return params;
    const connect = { ...this.connectParams, qid: params.qid };
    return { ...params, address: this.address, connect };
  }

  /** Leaves its address for the first of `targets`; the others are alternates. */
  moveTo(targets: readonly NvmeTarget[]): void {
    this.alternates = [...targets];
    this.moving = true;
    this.fail(new NvmeError('ECLOSED', `${this.qpair.name}: the controller is to be found elsewhere`));
  }

  private takeNextAddress(): void {
    const next = this.alternates.shift();
    // A controller behind a socket is nowhere else.
    if (next === undefined || this.pci !== null) return;
    if (!this.moving) this.alternates.push(this.target);
    this.moving = false;
    this.target = next;
    this.address = addressOf(next);
  }

  /** Ends all connections, and waits until they are gone. */
  private async disconnect(error: NvmeError): Promise<void> {
    for (const queue of [this.qpair, ...this.queues.keys()]) await queue.closeAndWait(error);
  }

  // --- events ---

  async namespacesChanged(nsids: readonly number[]): Promise<void> {
    await this.rescan(await activeNamespaces(this.admin), nsids.length === 0, nsids);
    await this.anaChanged();
  }
  async anaChanged(): Promise<void> {
    if (!reportsAna(this.identify)) return;
    await this.readAna();
    this.events.push({ type: 'ana-changed' });
  }
  asyncEvent(event: AsyncEvent): void {
    this.events.push({ type: 'async-event', event });
  }
  eventsFailed(error: Error): void {
    this.group.log.info(`asynchronous events: ${error.message}`);
  }

  /** Shuts the controller down and closes its connections. What is outstanding is aborted. */
  async close(): Promise<void> {
    if (this.state === 'closed') return;
    const { state } = this;
    this.state = 'closed';
    this.aers.stop();
    this.keepAlive.stop();
    for (const queue of this.queues.keys()) queue.close();
    // A controller that does not answer, or not in time, is left as it is.
    if (state === 'ready') await this.group.within(this.shutDown(), SHUTDOWN_MS_MAX);
    const error = new NvmeError('ECLOSED', `${this.qpair.name} has been closed`);
    await this.disconnect(error);
    await this.pci?.close(error);
    this.queues.clear();
    this.events.end();
  }

  private async shutDown(): Promise<void> {
    if (this.pci !== null) return await this.pci.shutDown(SHUTDOWN_MS_MAX);
    const cc = encodeCc({
      en: true,
      iosqes: Math.log2(IO_SQES),
      iocqes: Math.log2(IO_CQES),
      shn: shn.normal,
    });
    await setProperty(this.admin, register.cc, cc);
    for (let waited = 0; waited < SHUTDOWN_MS_MAX; waited += SHUTDOWN_POLL_MS) {
      const { lo } = await getProperty(this.admin, register.csts);
      if (decodeCsts(lo).shst === shst.complete) return;
      await this.group.sleep(SHUTDOWN_POLL_MS);
    }
  }
}

function addressOf({ trid, options }: NvmeTarget): TcpAddress {
  const { header_digest, data_digest, connect_timeout_ms } = options;
  return {
    traddr: trid.traddr,
    trsvcid: Number(trid.trsvcid),
    hostaddr: trid.hostaddr,
    digests: (header_digest ? pduFlag.hdgst : 0) | (data_digest ? pduFlag.ddgst : 0),
    timeout_ms: connect_timeout_ms,
    tls: null,
  };
}

const bigints = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);
