import type { ReactorHost } from '@spdk-ts/reactor';
import { checkNumber } from './naming-control.ts';
import { type QueueDepthMessage, QueueDepthSamples, type QueueDepthStat } from './queue-depth.ts';

/** An I/O that takes long. */
export interface LateIo {
  /** The bdev's id. */
  readonly id: number;
  readonly watcher: number;
  readonly reactor: number;
  readonly thread_id: number;
  /** Number of its type: see IoType. */
  readonly type: number;
  readonly offset_blocks: number;
  readonly num_blocks: number;
  readonly elapsed_us: number;
}

/** What the control thread tells every reactor. */
export interface TimeoutMessage {
  readonly id: number;
  readonly watcher: number;
  /** The number of the descriptor that watches. */
  readonly descriptor: number;
  /** 0: no longer. */
  readonly timeout_us: number;
}

const US_PER_SEC = 1_000_000;
const PERIOD_US_MAX = 3600 * US_PER_SEC;

/** What watches the I/O of bdevs, on the control thread: samples of the queue depth, and timeouts. */
export class IoWatchControl {
  private readonly host: ReactorHost;
  private readonly samples = new Map<number, QueueDepthSamples>();
  private readonly watchers = new Map<number, (late: LateIo) => void>();
  private ids = 0;

  constructor(host: ReactorHost) {
    this.host = host;
  }

  /** Samples a bdev's queue depth every so often, counting anew; 0: no longer. */
  async setPeriod(id: number, period_us: number): Promise<void> {
    checkNumber('period', period_us, 0, PERIOD_US_MAX);
    const shared = QueueDepthSamples.allocate(this.host.reactors.length);
    if (period_us > 0) this.samples.set(id, new QueueDepthSamples(shared, period_us));
    else this.samples.delete(id);
    const message: QueueDepthMessage = { id, period_us, shared };
    await this.host.broadcast('bdev', 'setSampling', message);
  }

  queueDepth(id: number): QueueDepthStat | null {
    return this.samples.get(id)?.stat() ?? null;
  }

  /** Reports each I/O of a bdev that concerns a descriptor, once, that takes longer. What is returned ends it. */
  async watch(
    { id, descriptor }: { id: number; descriptor: number },
    timeout_s: number,
    report: (late: LateIo) => void,
  ): Promise<() => Promise<void>> {
    checkNumber('timeout_s', timeout_s, 1, PERIOD_US_MAX / US_PER_SEC);
    const watcher = ++this.ids;
    this.watchers.set(watcher, report);
    const tell = async (timeout_us: number): Promise<void> => {
      const message: TimeoutMessage = { id, watcher, descriptor, timeout_us };
      await this.host.broadcast('bdev', 'watchLate', message);
    };
    await tell(timeout_s * US_PER_SEC);
    return async () => {
      if (this.watchers.delete(watcher)) await tell(0);
    };
  }

  /** For reactors. */
  late(late: LateIo): void {
    this.watchers.get(late.watcher)?.(late);
  }

  forget(id: number): void {
    this.samples.delete(id);
  }
}
