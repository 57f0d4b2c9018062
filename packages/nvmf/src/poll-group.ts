import { type BdevService, getBdevService } from '@spdk-ts/bdev';
import { nvmOpcode } from '@spdk-ts/nvme-spec';
import type { Reactor, Thread } from '@spdk-ts/reactor';
import { CODE, CommandAborts } from './abort.ts';
import { Activity } from './activity.ts';
import { executeAdmin } from './admin-commands.ts';
import type { NvmfController } from './controller.ts';
import { errorLocation } from './error-location.ts';
import { FabricsCommands } from './fabrics.ts';
import { IoCommands } from './io-commands.ts';
import { FUSE, slbaOf } from './io-fields.ts';
import { defaultLimits, SharedCounts } from './limits.ts';
import { MemoryQueue } from './memory-queue.ts';
import { Message } from './messages.ts';
import { PlacedWrites } from './placed-writes.ts';
import type { NvmfQpair } from './qpair.ts';
import type { NvmfRequest } from './request.ts';
import type { QpairGone, TargetSnapshot } from './snapshot.ts';
import { Status } from './status.ts';
import type { SubsystemView } from './subsystem-view.ts';
import type { NvmfTransport, TransportOptions } from './transport.ts';

const FABRICS = 0x7f;
/** What is counted of commands: it stays a small integer. */
const COMMANDS = 0x3fff_ffff;
/** Ends of commands that are no errors of the controller's. */
const unlogged: ReadonlySet<number> = new Set([
  Status.ABORTED,
  Status.ABORTED_SQ_DELETION,
  Status.ABORTED_PREEMPT,
  Status.SEQUENCE_ERROR,
  Status.ANA_INACCESSIBLE,
  Status.RESERVATION_CONFLICT & CODE,
]);

/**
 * A reactor's share of the target: its queue pairs, its half of every controller, its view of every subsystem.
 * Everything here is touched by this reactor alone.
 */
export class NvmfPollGroup {
  readonly reactor: Reactor;
  readonly thread: Thread;
  readonly qpairs = new Set<NvmfQpair>();
  /** By number. */
  readonly controllers = new Map<number, NvmfController>();
  readonly subsystems = new Map<number, SubsystemView>();
  readonly transports = new Map<string, { transport: NvmfTransport; options: TransportOptions }>();
  readonly memory: MemoryQueue;
  readonly io: IoCommands;
  readonly aborts: CommandAborts;
  readonly activity: Activity;
  /** For transports: see {@link PlacedWrites.begin}. */
  readonly placedWrites: PlacedWrites;
  target: TargetSnapshot = {
    ...{ firmware_revision: '0', crdt: [0, 0, 0], limits: defaultLimits, serving: [] },
    ...{ counts: SharedCounts.allocate(), dhchap_digests: 0, dhchap_dhgroups: 0 },
    admin_passthru: 0,
  };
  counts: SharedCounts = new SharedCounts(this.target.counts);
  /** Keys of TLS connections by their identity. */
  readonly psks = new Map<string, Uint8Array>();
  /** When the target started here, ticks. */
  readonly started: number;

  /** Queue pairs of each kind since the start, and I/O commands completed. */
  admin_qpairs = 0;
  io_qpairs = 0;
  completed_nvme_io = 0;

  private readonly fabrics: FabricsCommands;
  private readonly bdevs: BdevService;
  private transportList: NvmfTransport[] = [];
  private qpairIds = 0;

  constructor(reactor: Reactor) {
    this.reactor = reactor;
    this.started = reactor.now;
    this.bdevs = getBdevService(reactor);
    this.memory = new MemoryQueue(reactor.buffers);
    this.io = new IoCommands(this);
    this.aborts = new CommandAborts(this);
    this.activity = new Activity(this);
    this.placedWrites = new PlacedWrites(this);
    this.fabrics = new FabricsCommands(this);
    this.thread = reactor.createThread(`nvmf_tgt_poll_group_${String(reactor.index).padStart(3, '0')}`);
    reactor.onMessage(Message.ABORT, (m, from) => this.abortFor(m[1]!, m[2]!, m[3]!, m[4]!, from));
    reactor.onMessage(Message.ABORTED, (m) => this.aborts.answered(m[1]!, m[2]! !== 0));
    reactor.onMessage(Message.ACTIVITY, (m) => {
      const controller = this.controllers.get(m[1]!);
      if (controller !== undefined) this.activity.note(controller);
    });
    reactor.onMessage(Message.DISCONNECT, (m) =>
      this.controllers.get(m[1]!)?.disconnect(m[2]! !== 0, 'the controller ends it'),
    );
  }

  // --- for transports ---

  /** For transports: an id for a new queue pair, unique on this reactor. */
  nextQpairId(): number {
    return ++this.qpairIds;
  }

  /** For transports: a new queue pair is served by this group from now on. */
  addQpair(qpair: NvmfQpair): void {
    this.qpairs.add(qpair);
    this.counts.addPending(1);
  }

  /**
   * For transports, once, when a queue pair begins to end, whoever began it: sets {@link NvmfQpair.disconnecting}.
   * Commands that would wait for ever (Asynchronous Event Requests) are completed, into nothing.
   */
  qpairClosing(qpair: NvmfQpair): void {
    qpair.disconnecting = true;
    qpair.auth?.stop();
    if (qpair.qid === 0) (qpair.controller ?? qpair.auth?.controller)?.admin?.close();
    else this.io.fused.closing(qpair);
  }

  /**
   * For transports: its connection is gone, no request of it executes any more, and each was given to
   * {@link releaseRequest}.
   */
  removeQpair(qpair: NvmfQpair): void {
    if (!this.qpairs.delete(qpair)) return;
    const { qid } = qpair;
    if (qid < 0) this.counts.addPending(-1);
    const controller = qpair.controller ?? qpair.auth?.controller ?? null;
    if (controller === null) return;
    controller.qpairs.delete(qid);
    if (qid === 0) {
      controller.admin?.close();
      controller.admin = null;
      // The association is over: its other queues have no meaning.
      this.disconnectEverywhere(controller, false, 'the admin queue is gone');
    }
    if (controller.qpairs.size === 0) this.controllers.delete(controller.id);
    const gone: QpairGone = { controller: controller.id, qid };
    this.reactor.control.notify('nvmf', 'qpairGone', gone);
  }

  /**
   * For transports: a command has arrived, with its data where it brings some (data to the host needs no memory
   * yet). Answered by {@link NvmfQpair.sendCompletion}, later or, for commands that fail or complete at once,
   * inside this call: the transport must bear both. Counts {@link NvmfQpair.outstanding} and moves sqhd.
   */
  execute(request: NvmfRequest): void {
    this.begin(request);
    const { qpair } = request;
    const { controller } = qpair;
    if (qpair.disconnecting) this.complete(request, Status.ABORTED_SQ_DELETION);
    else if (request.opcode === FABRICS) this.fabrics.execute(request);
    else if (controller === null || !controller.state.ready) this.refuseUnready(request);
    else if (qpair.qid !== 0) this.io.execute(request, controller);
    else if (controller.admin !== null) executeAdmin(controller.admin, request);
    else this.complete(request, Status.SEQUENCE_ERROR);
  }

  /** A command that comes too early: before Connect or authentication, or while the controller is not ready. */
  refuseUnready(request: NvmfRequest): void {
    const { controller, auth } = request.qpair;
    const early = controller === null && auth !== null;
    this.complete(request, early ? Status.AUTHENTICATION_REQUIRED : Status.SEQUENCE_ERROR);
  }

  /** For transports, instead of {@link execute}: all data of a write with a place of its own have come. */
  executePlaced(request: NvmfRequest): void {
    this.begin(request);
    const { qpair } = request;
    const controller = qpair.controller!;
    if (qpair.disconnecting) this.complete(request, Status.ABORTED_SQ_DELETION);
    else if (!controller.state.ready) this.complete(request, Status.SEQUENCE_ERROR);
    else this.io.executePlaced(request, controller);
  }

  /**
   * For transports: a command that the controller does not get ends with this status, as one that was executed: it cannot
   * be (its SGL is wrong, its data did not arrive), or the transport itself has carried it out.
   */
  endCommand(request: NvmfRequest, status: number): void {
    this.begin(request);
    this.complete(request, status);
  }

  /** For transports: what a command transfers and how, before its data is fetched: sets transfer and at_once. */
  classify(request: NvmfRequest): void {
    // Opcode bits 1:0; of Fabrics commands FCTYPE bits 1:0, which lies in the low byte of the NSID's dword.
    request.transfer = (request.opcode === FABRICS ? request.nsid : request.opcode) & 3;
    const { qpair } = request;
    if (((request.cdw(0) & FUSE) | qpair.fusing) !== 0 && this.io.fused.arrived(request)) return;
    if (request.opcode !== nvmOpcode.write || qpair.qid <= 0 || qpair.controller === null) return;
    const ns = qpair.controller.subsystem.find(request.nsid);
    request.at_once = ns?.writes_at_once === true;
  }

  /**
   * Gives a request memory of `length` bytes from the reactor's buffers: false if there is none now, and then
   * `retry` is called later, in order, when the request has its memory. Throws RangeError if no buffer is that large.
   */
  allocate(request: NvmfRequest, length: number, retry: (request: NvmfRequest) => void): boolean {
    return this.memory.allocate(request, length, retry);
  }

  /** Frees what the request holds (buffer, bdev I/O), and ends its wait for memory if it still waits. */
  releaseRequest(request: NvmfRequest): void {
    if (request.io !== null) {
      request.io.free();
      request.io = null;
      const subsystem = request.qpair.controller!.subsystem;
      subsystem.held--;
      if (subsystem.paused) subsystem.drained();
    }
    if (request.placed !== null) request.placed.drop();
    if (request.ownBuffer >= 0 || this.memory.length > 0) this.memory.release(request);
    request.region = -1;
    request.iovs = null;
  }

  // --- for the controller ---

  private begin(request: NvmfRequest): void {
    const { qpair } = request;
    request.executing = true;
    qpair.outstanding++;
    qpair.commands = (qpair.commands + 1) & COMMANDS;
    if (qpair.sqFlowControlDisabled || qpair.sqSize === 0) return;
    qpair.sqhd = qpair.sqhd + 1 === qpair.sqSize ? 0 : qpair.sqhd + 1;
  }

  /** A command has ended, with a status. */
  complete(request: NvmfRequest, status: number): void {
    const { qpair } = request;
    request.status = status;
    request.executing = false;
    qpair.outstanding--;
    if (status !== 0 || request.abortRequested) this.failed(request);
    qpair.sendCompletion(request);
  }

  /** A command has failed, or was to be aborted. Failed ones are added to their controller's error log. */
  private failed(request: NvmfRequest): void {
    if (request.abortRequested) this.aborts.ended(request);
    const { qpair, status } = request;
    if (status === 0) return;
    if ((request.cdw(0) & FUSE) !== 0 && qpair.qid > 0) this.io.fused.failed(request);
    const code = status & CODE;
    if (qpair.controller === null || request.opcode === FABRICS) return;
    if (unlogged.has(code)) return;
    const { cid, nsid, opcode } = request;
    const lba = qpair.qid === 0 ? 0 : slbaOf(request);
    const location = errorLocation(request, qpair.qid === 0);
    qpair.controller.state.logError({ sqid: qpair.qid, cid, status, nsid, lba, opcode, location });
  }

  /** A command waits for something that may never come: it does not count as outstanding meanwhile. */
  park(request: NvmfRequest): void {
    request.qpair.outstanding--;
  }
  unpark(request: NvmfRequest): void {
    request.qpair.outstanding++;
  }

  /** Options of a transport, as nvmf_create_transport has them. */
  transportOptions(trtype: string): TransportOptions {
    const found = this.transports.get(trtype);
    if (found === undefined) throw new Error(`reactor ${this.reactor.index} has no transport ${trtype}`);
    return found.options;
  }

  /** A queue pair has become one of a controller's. */
  countQpair(qid: number): void {
    this.counts.addPending(-1);
    if (qid === 0) this.admin_qpairs++;
    else this.io_qpairs++;
  }

  /** A subsystem has changed, these namespaces too: what its controllers here may do. */
  updateGates(subsystem: SubsystemView, changed: readonly number[]): void {
    for (const controller of this.controllers.values())
      if (controller.subsystem === subsystem) controller.updateGates(changed);
  }

  /** Ends queue pairs of a controller on every reactor: all, or those for I/O only. */
  disconnectEverywhere(controller: NvmfController, ioOnly: boolean, reason: string): void {
    const { state } = controller;
    if (!ioOnly) state.close();
    this.others(controller, (reactor) =>
      this.reactor.sendMessage(reactor, Message.DISCONNECT, controller.id, ioOnly ? 1 : 0),
    );
    controller.disconnect(ioOnly, reason);
  }

  /** Has every reactor note now what a controller's queue pairs have done there. */
  noteActivity(controller: NvmfController): void {
    this.others(controller, (reactor) => this.reactor.sendMessage(reactor, Message.ACTIVITY, controller.id));
    this.activity.note(controller);
  }

  /** The other reactors that serve queue pairs of a controller. */
  private others({ state }: NvmfController, tell: (reactor: number) => void): void {
    const told = new Set([this.reactor.index]);
    for (let qid = 0; qid < state.maxQueues; qid++) {
      const reactor = state.reactorOf(qid);
      if (reactor < 0 || told.has(reactor)) continue;
      told.add(reactor);
      tell(reactor);
    }
  }

  sendAbort(reactor: number, controller: number, sqid: number, cid: number, token: number): void {
    this.reactor.sendMessage(reactor, Message.ABORT, controller, sqid, cid, token);
  }

  private abortFor(id: number, sqid: number, cid: number, token: number, from: number): void {
    const answer = (aborted: boolean): void =>
      this.reactor.sendMessage(from, Message.ABORTED, token, aborted ? 1 : 0);
    const controller = this.controllers.get(id);
    if (controller === undefined) answer(false);
    else this.aborts.abort(controller, sqid, cid, answer);
  }

  // --- for the reactor's service ---

  configure(target: TargetSnapshot): void {
    this.target = target;
    if (target.counts !== this.counts.memory) this.counts = new SharedCounts(target.counts);
  }

  addTransport(transport: NvmfTransport, options: TransportOptions): void {
    this.transports.set(transport.trtype, { transport, options });
    this.transportList = [...this.transports.values()].map((entry) => entry.transport);
  }

  removeTransports(): NvmfTransport[] {
    const list = this.transportList;
    this.transportList = [];
    this.transports.clear();
    return list;
  }

  /** One iteration: commands that have arrived, what the bdevs have answered meanwhile, and what that sends. */
  poll(): number {
    let work = this.memory.poll();
    const transports = this.transportList;
    for (let i = 0; i < transports.length; i++) work += transports[i]!.poll();
    work += this.bdevs.settle(this.thread);
    for (let i = 0; i < transports.length; i++) work += transports[i]!.flush();
    return work;
  }
}
