import type { Batch } from '@spdk-ts/env';
import { NvmeError } from '../errors.ts';
import type { NvmePollGroup, PolledQpair } from '../poll-group.ts';
import { NvmeQpair, QpairState } from '../qpair.ts';
import type { NvmeRequest } from '../request.ts';
import type { CommandData } from './command-data.ts';
import { Doorbell, type DoorbellCounts } from './doorbell.ts';
import type { QueueMemory } from './queue-memory.ts';
import type { ReactorLink } from './reactor-link.ts';
import { LinkState, QueueState } from './shared-state.ts';

/** Words of entries. */
const SQE_WORDS = 16;
const CQE_WORDS = 4;
const OPCODE_AND_FLAGS = 0xffff;

/**
 * The rings of a queue pair in memory that a PCI controller reads and writes (PCIe Transport 1.0): entries, phase bits, doorbells.
 * Everything that the controller writes is read once, and checked, before it is believed. How a queue pair is opened and
 * ends is `PciQpair`'s.
 */
export abstract class PciRings extends NvmeQpair implements PolledQpair {
  readonly doorbells: DoorbellCounts = { mapped: 0, trapped: 0, shadowed: 0 };
  /** Commands whose data were copied, as the controller cannot reach them where they are. */
  copied = 0;

  protected readonly batch: Batch;
  protected link: ReactorLink | null = null;
  protected memory: QueueMemory | null = null;
  protected data: CommandData | null = null;
  protected readonly sqDoorbell: Doorbell = new Doorbell(this.doorbells);
  protected readonly cqDoorbell: Doorbell = new Doorbell(this.doorbells);
  /** Next entries, and the phase of the next completion. */
  private tail = 0;
  private head = 0;
  private phase = 1;
  /** The controller's head of the submission queue, as it last said. */
  private sqHead = 0;
  private unsent = false;
  /** A doorbell that could not be written yet. */
  private owed = false;
  /** Outstanding requests that take as long as they like. */
  protected patient = 0;

  constructor(group: NvmePollGroup, entries: number) {
    super(group, entries);
    if (group.batch === null) throw new NvmeError('EUNSUPPORTED', 'vfio-user needs the native addon');
    this.batch = group.batch;
  }

  /** Empty rings, as those of a queue that is made. */
  protected clear(): void {
    this.tail = 0;
    this.head = 0;
    this.phase = 1;
    this.sqHead = 0;
    this.unsent = false;
    this.owed = false;
    this.patient = 0;
  }

  // --- the way of a command ---

  protected override get takesCommand(): boolean {
    return true;
  }

  protected override send(request: NvmeRequest): void {
    const { sq } = this.memory!;
    const { sqe } = request;
    const at = this.tail * SQE_WORDS;
    for (let i = 1; i < SQE_WORDS; i++) sq[at + i] = sqe[i]!;
    sq[at] = (sqe[0]! & OPCODE_AND_FLAGS & ~0xc000) | (request.cid << 16);
    if (request.length > 0 && this.data!.point(request, this.slotOf(request.cid), at)) this.copied++;
    if (request.patient) this.patient++;
    this.tail = this.tail + 1 === this.entries ? 0 : this.tail + 1;
    if (this.unsent) return;
    this.unsent = true;
    this.group.wantSend(this);
  }

  /** Tells the controller of what was laid out in this iteration. */
  pushSends(): void {
    this.unsent = false;
    if (this.batch.pending > 0) this.batch.run();
    if (this.state === QpairState.OPEN) this.owed = !this.sqDoorbell.ring(this.tail);
  }

  // --- completions ---

  /** Takes completions. Returns how many. */
  poll(): number {
    const link = this.link!;
    if (this.state === QpairState.OPEN) {
      // The admin queue is told by its link.
      if (this.qid > 0 && !link.shared.isUp(link.generation)) return this.lost(link);
    } else if (this.isOver(link)) return this.lost(link);
    if (this.owed) this.owed = !(this.sqDoorbell.ring(this.tail) && this.cqDoorbell.ring(this.head));
    return this.take();
  }

  private take(): number {
    const { cq } = this.memory!;
    let taken = 0;
    while (taken < this.depth) {
      const at = this.head * CQE_WORDS;
      const last = Atomics.load(cq, at + 3);
      if (((last >>> 16) & 1) !== this.phase) break;
      if (!this.complete(cq[at]!, cq[at + 1]!, cq[at + 2]!, last)) break;
      taken++;
      this.head++;
      if (this.head === this.entries) {
        this.head = 0;
        this.phase ^= 1;
      }
    }
    if (taken === 0) return 0;
    if (this.batch.pending > 0) this.batch.run();
    if (this.state < QpairState.CLOSED && !this.cqDoorbell.ring(this.head)) this.owed = true;
    this.tellDone();
    return taken;
  }

  /** Takes one completion, whose words were read. False if it breaks the rules. */
  private complete(dw0: number, dw1: number, heads: number, last: number): boolean {
    const cid = last & 0xffff;
    const sqhd = heads & 0xffff;
    const request = this.find(cid);
    if (request === null) return this.violated(`a completion for CID ${cid}, which is not outstanding`);
    if (heads >>> 16 !== this.qid)
      return this.violated(`a completion of CID ${cid} names submission queue ${heads >>> 16}`);
    const passed = this.distance(sqhd);
    if (sqhd >= this.entries || passed > this.distance(this.tail))
      return this.violated(
        `a completion says that entry ${sqhd} of ${this.entries} is next: ${this.sqHead} was, and there are entries up to ${this.tail}`,
      );
    this.sqHead = sqhd;
    request.status = last >>> 17;
    request.dw0 = dw0 >>> 0;
    request.dw1 = dw1 >>> 0;
    if (request.patient) this.patient--;
    this.data!.end(request, this.slotOf(cid));
    this.release(request);
    this.done(request);
    return true;
  }

  /** Entries from the controller's head to a place in the submission queue. */
  private distance(place: number): number {
    return place >= this.sqHead ? place - this.sqHead : place + this.entries - this.sqHead;
  }

  private violated(what: string): false {
    this.fail(new NvmeError('EPROTOCOL', `${this.name}: ${what}`));
    return false;
  }

  /** True if there is something to be sent. */
  protected get hasUnsent(): boolean {
    return this.unsent || this.owed;
  }

  /** True if a completion is there to be taken. */
  protected get hasCompletion(): boolean {
    const last = Atomics.load(this.memory!.cq, this.head * CQE_WORDS + 3);
    return ((last >>> 16) & 1) === this.phase;
  }

  // --- the end ---

  /** True if nothing of the controller touches the queue's memory any more. */
  protected isOver({ shared, generation }: ReactorLink): boolean {
    if (shared.generation !== generation || shared.state === LinkState.DOWN) return true;
    return this.qid > 0 && shared.state === LinkState.UP && shared.queueState(this.qid) === QueueState.NONE;
  }

  /** The connection is lost, or a queue that was closed is deleted. Returns the work done. */
  protected abstract lost(link: ReactorLink): number;

  checkDeadlines(now: number): void {
    if (this.state === QpairState.OPEN) this.checkTimeouts(now);
  }
}
