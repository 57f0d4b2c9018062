/** A controller behind a PCI function: the reactor that has its registers and its admin queue. */
import { native } from '@spdk-ts/native';
import { type IdentifyController, oacs, sgls } from '@spdk-ts/nvme-spec';
import type { Poller } from '@spdk-ts/reactor';
import { Commands } from '../commands.ts';
import { NvmeError } from '../errors.ts';
import type { NvmePollGroup } from '../poll-group.ts';
import { QpairState } from '../qpair.ts';
import { DoorbellKind } from './doorbell.ts';
import { adminKind, ioKind, mappable, ShadowPages, type WantedDoorbells } from './doorbell-choice.ts';
import { ailing, disable, enable, type Registers, readCapabilities, shutDown } from './enable.ts';
import type { PciFunction } from './function.ts';
import { createQueue, deleteQueue } from './io-queues.ts';
import { MappedRanges } from './mapped-ranges.ts';
import { PciQpair, type PciQueueParams } from './pci-qpair.ts';
import { DmaState, LinkState, type LinkTerms, QueueState, SharedState } from './shared-state.ts';

const WATCH_PERIOD_US = 1_000_000;
/** How long a controller that is given up may take to become still. */
const STILL_MS_MAX = 2000;
/** A list of PRPs has a page, so that this is the most that one command moves. */
const LIST_PAGES = 512;
const QUEUE_ENTRIES_MAX = 4096;

export interface PciLinkOptions {
  /** Makes the function: connects to it, unless that is given up. */
  readonly open: (signal: AbortSignal) => Promise<PciFunction>;
  readonly name: string;
  readonly doorbells: WantedDoorbells;
  readonly interrupts: boolean;
  readonly admin_entries: number;
  /** Highest queue id. */
  readonly queues: number;
  /** For the creation of a queue. */
  readonly timeout_ms: number;
}

let links = 0;

export class PciLink {
  readonly admin: PciQpair;
  readonly commands: Commands;
  private readonly group: NvmePollGroup;
  private readonly options: PciLinkOptions;
  private readonly shared: SharedState;
  private readonly id: number;
  private readonly bell: number;
  private readonly watch: unknown;
  private fn: PciFunction | null = null;
  private registers: Registers | null = null;
  private terms: LinkTerms | null = null;
  private readonly shadows = new ShadowPages();
  private readonly ranges: MappedRanges;
  private watcher: Poller | null = null;
  private watching = false;
  private serving = false;
  private again = false;
  private losing: Promise<void> | null = null;
  private closed = false;
  /** Gives the connection up that is being made. */
  private attempt = new AbortController();
  private making: Promise<unknown> | null = null;

  constructor(group: NvmePollGroup, options: PciLinkOptions) {
    if (native === null)
      throw new NvmeError(
        'EUNSUPPORTED',
        `${options.name}: vfio-user needs the native addon, which is absent`,
      );
    this.group = group;
    this.options = options;
    this.id = group.reactor.index * 2 ** 20 + links++;
    this.shared = SharedState.create(options.queues);
    this.ranges = new MappedRanges(this.shared);
    this.bell = native.eventFd();
    this.watch = native.ringWatch(this.bell, () => this.rung());
    native.ringWatchStart(this.watch);
    this.admin = new PciQpair(group, options.admin_entries);
    this.commands = new Commands(this.admin);
    this.admin.onFail = (error) => void this.lose(error);
  }

  // --- bringing it up ---

  /** Connects to the function, and enables the controller: Admin commands can be sent. Rejects with an {@link NvmeError}. */
  async bringUp(): Promise<Registers> {
    await this.losing;
    if (this.closed) throw new NvmeError('ECLOSED', `${this.options.name} has been closed`);
    this.attempt = new AbortController();
    this.shared.begin(this.bell);
    try {
      const made = this.connect(this.attempt.signal);
      this.making = made;
      return await made;
    } catch (error) {
      const failed = error instanceof NvmeError ? error : new NvmeError('ECONNECT', String(error));
      await this.lose(failed);
      if (this.admin.state === QpairState.CONNECTING) {
        this.admin.error ??= failed;
        this.admin.finish();
      }
      throw failed;
    }
  }

  private async connect(signal: AbortSignal): Promise<Registers> {
    const { group, options, shared, admin } = this;
    const fn = await options.open(signal);
    if (signal.aborted) {
      fn.close(signal.reason as NvmeError);
      throw signal.reason;
    }
    this.fn = fn;
    this.ranges.begin();
    fn.onGone = (error) => void this.lose(error);
    const registers = await readCapabilities(fn);
    this.registers = registers;
    const { cap } = registers;
    const page_bytes = 2 ** (12 + cap.mpsmin);
    const mapped = mappable(fn, cap.dstrd);
    const { bar, bar_at, bar_bytes, bar_start, socket, vectors } = fn;
    this.terms = {
      ...{ socket, vectors, page_bytes, bar, bar_at, bar_bytes, bar_start, dstrd: cap.dstrd },
      ...{ doorbells: mapped ? DoorbellKind.MAPPED : DoorbellKind.TRAPPED },
      ...{ sgl_alignment: 0, shadows: -1, transfer_bytes: LIST_PAGES * page_bytes },
    };
    shared.agree(this.terms);
    const deadline = group.deadline(options.timeout_ms);
    void this.serve();
    const memory = await admin.prepareAdmin(options.name, this.id, shared, deadline);
    const queue = {
      entries: options.admin_entries,
      sq_address: memory.address,
      cq_address: memory.address + memory.cq_at,
    };
    await enable(group, fn, registers, queue);
    const eventfd = admin.startAdmin(adminKind(options.doorbells, mapped), options.interrupts && vectors > 0);
    if (eventfd >= 0) await fn.setInterrupt(0, eventfd);
    return registers;
  }

  /** Asks for what needs Identify: shadow doorbells, SGLs. I/O queues can be opened afterwards. */
  async settle({ sgls: found, oacs: optional }: IdentifyController, transfer_bytes: number): Promise<void> {
    const supports = found & 0x3;
    const terms: LinkTerms = {
      ...this.terms!,
      sgl_alignment: supports === sgls.supported ? 1 : supports === sgls.supportedDwordAligned ? 4 : 0,
      ...(await this.chooseDoorbells((optional & oacs.doorbellBufferConfig) !== 0)),
      transfer_bytes: Math.min(this.terms!.transfer_bytes, transfer_bytes),
    };
    this.terms = terms;
    this.shared.agree(terms);
    this.shared.setState(LinkState.UP);
    void this.serve();
    this.watcher ??= this.group.thread.registerPoller('nvme_watch', () => this.lookAfter(), WATCH_PERIOD_US);
  }

  private async chooseDoorbells(
    shadow: boolean,
  ): Promise<{ readonly doorbells: number; readonly shadows: number }> {
    const { fn, commands, options } = this;
    const { dstrd, page_bytes } = this.terms!;
    const doorbells = ioKind(options.name, options.doorbells, mappable(fn!, dstrd), shadow);
    if (doorbells !== DoorbellKind.SHADOW) return { doorbells, shadows: -1 };
    return { doorbells, shadows: await this.shadows.configure(fn!, commands, page_bytes) };
  }

  /** What an I/O queue is opened with. */
  queueParams(qid: number, entries: number, timeout_ms: number): PciQueueParams {
    const { name, interrupts, queues, timeout_ms: open_timeout_ms } = this.options;
    return {
      ...{ trtype: 'VFIOUSER', name, qid, timeout_ms, open_timeout_ms, interrupts, queues },
      entries: Math.min(entries, QUEUE_ENTRIES_MAX, this.registers!.cap.mqes + 1),
      link: this.id,
      shared: this.shared.buffer,
    };
  }

  // --- what queues ask for ---

  private rung(): void {
    if (this.closed) return;
    native!.drainEventFd(this.bell);
    native!.ringWatchStart(this.watch);
    this.group.reactor.wake();
    const { failure } = this.shared;
    if (failure !== '' && this.shared.state === LinkState.UP)
      this.admin.fail(new NvmeError('EPROTOCOL', failure));
    void this.serve();
  }

  /**
   * Carries out what is wanted, one thing after the other. Queues wait until Admin commands can be sent, which need memory that is
   * mapped here.
   */
  private async serve(): Promise<void> {
    this.again = true;
    if (this.serving) return;
    this.serving = true;
    try {
      while (this.again && this.fn !== null && this.losing === null) {
        this.again = false;
        const { shared, commands, ranges, options } = this;
        const is_up = shared.state === LinkState.UP;
        for (const qid of is_up ? shared.queuesIn(QueueState.UNWANTED) : [])
          await deleteQueue(commands, shared, qid, options.name);
        for (const { index } of shared.ranges(DmaState.UNWANTED)) await ranges.unmap(this.fn!, index);
        for (const { index } of shared.ranges(DmaState.WANTED))
          await ranges.map(this.fn!, index, (error) => this.refused(error));
        for (const qid of is_up ? shared.queuesIn(QueueState.WANTED) : [])
          await createQueue(this.fn!, commands, shared, qid);
      }
    } catch (error) {
      await this.lose(error as NvmeError);
    } finally {
      this.serving = false;
    }
  }

  /** A range is not mapped: because the controller is lost, or it cannot be. */
  private refused(error: Error): void {
    if (this.admin.error !== null) throw this.admin.error;
    if (this.fn === null || this.losing !== null)
      throw new NvmeError('ECLOSED', `${this.options.name}: the controller has been lost`);
    this.group.log.warn(`${error.message}: data there will be copied`);
  }

  // --- looking after it ---

  private lookAfter(): number {
    const { fn } = this;
    if (fn === null || this.watching || this.shared.state !== LinkState.UP) return 0;
    this.watching = true;
    ailing(fn).then(
      (error) => {
        this.watching = false;
        if (error !== null && this.fn === fn) this.admin.fail(error);
      },
      () => {
        this.watching = false; // onGone has told
      },
    );
    return 1;
  }

  /**
   * Gives the connection up: queues send nothing more; when the controller touches no memory any more, their commands end. Resolves
   * then. The first error counts.
   */
  lose(error: NvmeError): Promise<void> {
    this.attempt.abort(error);
    this.losing ??= this.loseNow(error).finally(() => {
      this.losing = null;
    });
    return this.losing;
  }

  private async loseNow(error: NvmeError): Promise<void> {
    const { fn, shared, admin, group } = this;
    shared.fail(error.message);
    shared.setState(LinkState.LOST);
    admin.error ??= error;
    if (admin.state === QpairState.OPEN) admin.state = QpairState.CLOSING;
    this.watcher?.unregister();
    this.watcher = null;
    if (fn !== null) {
      fn.onGone = null;
      await group.within(this.makeStill(fn), STILL_MS_MAX);
      fn.close(error);
    }
    this.fn = null;
    this.ranges.forget();
    for (let qid = 1; qid <= this.options.queues; qid++) shared.setQueueState(qid, QueueState.NONE);
    shared.setState(LinkState.DOWN);
    group.reactor.wake();
  }

  /** The controller is disabled, or else the function is reset. */
  private async makeStill(fn: PciFunction): Promise<void> {
    const { registers, group } = this;
    try {
      if (registers === null) throw new Error('it was not enabled');
      await disable(group, fn, registers.cap);
    } catch {
      await fn.reset().catch(() => {});
    }
  }

  /** Asks the controller to shut down. */
  async shutDown(patience_ms: number): Promise<void> {
    if (this.fn !== null && this.losing === null) await shutDown(this.group, this.fn, patience_ms);
  }

  /** Ends everything. Queues on other reactors end by themselves. */
  async close(error: NvmeError): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.lose(error);
    await this.making?.catch(() => {});
    await this.admin.closeAndWait(error);
    native!.ringWatchClose(this.watch);
    native!.closeFd(this.bell);
    // Ranges that reactors give back from now on: their descriptors are theirs no more.
    this.ranges.close();
    this.shadows.release();
  }
}
