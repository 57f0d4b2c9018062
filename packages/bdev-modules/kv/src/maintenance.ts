import { type BdevIo, type BdevIoOwner, IoStatus } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import type { Poller, Thread } from '@spdk-ts/reactor';
import type { BaseIo } from './base-io.ts';
import { segmentAt, writeSegmentHead } from './layout.ts';
import { type LogState, SPARE_SEGMENTS } from './log-state.ts';
import { SegmentMover } from './segment-mover.ts';

/** What is under way: each is left when the I/O on the base has ended, or what it waits for has come. */
const Step = {
  IDLE: 0,
  /** To decide what is next. */
  NEXT: 1,
  /** Nobody may read any more from the segment whose place the next one takes. */
  UNREAD: 2,
  /** Everything that was written so far becomes stable, … */
  FLUSH: 3,
  /** … then the new segment's head is written, … */
  HEAD: 4,
  /** … and becomes stable: only then records may follow, over what was there before. */
  FLUSH_HEAD: 5,
  /** All writes to the oldest segment have ended, so that its records are what the index knows of. */
  UNWRITTEN: 6,
  READ: 7,
  MOVE: 8,
} as const;

/**
 * Keeps a log in shape: prepares the next segment before it is needed, and frees the oldest by moving what is live in
 * it to the log's end. One channel at a time does so for all reactors: the one that misses a segment first.
 */
export class LogMaintenance implements BdevIoOwner {
  private readonly thread: Thread;
  private readonly regions: RegionTable;
  private readonly base: BaseIo;
  private readonly state: LogState;
  private poller: Poller | null = null;
  private step: number = Step.IDLE;
  /** I/O on the base under way. */
  private busy = false;
  private status = 0;
  private sc = 0;
  private mover: SegmentMover | null = null;
  /** The segment that is opened is for the moving that waits meanwhile. */
  private forMover = false;
  private onEnd: (() => void) | null = null;

  constructor(thread: Thread, base: BaseIo, state: LogState) {
    this.thread = thread;
    this.regions = thread.reactor.regions;
    this.base = base;
    this.state = state;
  }

  /** A segment is needed: somebody sees to it. */
  kick(): void {
    if (this.step !== Step.IDLE || this.onEnd !== null || !this.state.becomeMaintainer()) return;
    this.step = Step.NEXT;
    this.poller = this.thread.registerPoller('bdev_kv_maintenance', this.poll);
  }

  /** The channel goes: `done` is called once nothing is under way. */
  end(done: () => void): void {
    this.onEnd = done;
    if (this.step === Step.IDLE) this.finish();
  }

  private finish(): void {
    this.mover?.destroy();
    this.mover = null;
    this.onEnd!();
  }

  private stop(): void {
    this.step = Step.IDLE;
    this.poller!.unregister();
    this.poller = null;
    this.state.resign();
    if (this.onEnd !== null) this.finish();
  }

  bdevIoDone(io: BdevIo): void {
    this.status = io.status;
    this.sc = io.sct === 0 ? io.sc : 0;
    this.busy = false;
    this.base.channel.giveSpare(io);
  }

  private readonly poll = (): number => {
    if (this.busy) return 0;
    if (this.status !== IoStatus.SUCCESS && this.status !== 0) {
      this.fail(this.status === IoStatus.NVME_ERROR ? this.sc : 0);
      return 1;
    }
    this.advance();
    // Also if it waits, for what other reactors do: nobody would wake this one.
    return 1;
  };

  private fail(sc: number): void {
    this.status = 0;
    // What is being moved has ended before anything else begins.
    if (this.mover !== null && !this.mover.abandon()) {
      this.step = Step.MOVE;
      return;
    }
    this.state.setFailure(sc + 1);
    this.stop();
  }

  /** One step further, if it can be taken now. */
  private advance(): void {
    const { state, base } = this;
    const { format } = state;
    const next = state.ready + 1;
    const at = segmentAt(format, next);
    switch (this.step) {
      case Step.NEXT:
        this.decide();
        break;
      case Step.UNREAD:
        if (state.isRead(next)) return;
        this.step = Step.FLUSH;
        this.started(base.flush(this));
        break;
      case Step.FLUSH: {
        const { id, bytes } = this.moverOf();
        writeSegmentHead(bytes, 0, format, next, state.tail);
        this.step = Step.HEAD;
        this.started(base.write(at, format.unit, id, 0, this));
        break;
      }
      case Step.HEAD:
        this.step = Step.FLUSH_HEAD;
        this.started(base.flush(this));
        break;
      case Step.FLUSH_HEAD:
        state.opened(next);
        this.step = this.forMover ? Step.MOVE : Step.NEXT;
        break;
      case Step.UNWRITTEN: {
        if (state.isWritten(state.tail)) return;
        const mover = this.moverOf();
        mover.begin(state.tail);
        this.step = Step.READ;
        this.started(
          base.read(segmentAt(format, state.tail), format.segment_bytes, mover.id, mover.start, this),
        );
        break;
      }
      case Step.READ:
        this.step = Step.MOVE;
        break;
      default:
        this.move();
    }
  }

  private started(result: number): void {
    if (result === 0) {
      this.busy = true;
      this.status = 0;
    } else this.status = IoStatus.FAILED;
  }

  private moverOf(): SegmentMover {
    this.mover ??= new SegmentMover(this.regions, this.base, this.state);
    return this.mover;
  }

  private decide(): void {
    const { state } = this;
    const offered = state.format.segments - SPARE_SEGMENTS;
    this.forMover = false;
    const ready = state.ready - state.tail < offered;
    if (this.onEnd !== null || (ready && state.ready > state.head)) {
      state.setFailure(0);
      this.stop();
    } else if (ready && state.ready + 1 - state.tail < offered) this.step = Step.UNREAD;
    else this.step = Step.UNWRITTEN;
  }

  private move(): void {
    const mover = this.mover!;
    mover.proceed();
    if (mover.failure >= 0) {
      if (mover.idle) this.fail(mover.failure);
      return;
    }
    if (mover.done) {
      this.state.reclaim();
      this.step = Step.NEXT;
      return;
    }
    if (mover.wantsSegment && this.state.ready === this.state.head) {
      if (this.state.ready + 1 - this.state.tail >= this.state.format.segments) {
        // Cannot be, as long as no more is live than may be: the oldest segment is not given up for it.
        mover.abandon();
        this.status = IoStatus.FAILED;
        return;
      }
      this.forMover = true;
      this.step = Step.UNREAD;
      return;
    }
  }
}
