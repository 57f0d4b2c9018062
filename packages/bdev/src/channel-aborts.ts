import { type BdevIo, IoState, ZcopyPhase } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { ModuleChannel } from './module.ts';
import type { NomemQueue } from './nomem-queue.ts';
import type { QosQueue } from './qos-queue.ts';
import type { RangeQueue } from './range-queue.ts';
import type { ThreadContext } from './thread-context.ts';

/** Where a channel's I/O may be. */
export interface ChannelPlaces {
  readonly module: ModuleChannel;
  readonly context: ThreadContext;
  readonly nomem: NomemQueue;
  readonly qos: QosQueue;
  readonly ranges: RangeQueue;
}

/** Ends a channel's I/O before its time, wherever it is: in a queue, at the module, or with what stands in for that. */
export class ChannelAborts {
  private readonly channel: BdevChannel;
  private readonly places: ChannelPlaces;

  constructor(channel: BdevChannel, places: ChannelPlaces) {
    this.channel = channel;
    this.places = places;
  }

  /** For {@link BdevChannel.submit}: an ABORT. */
  submit(io: BdevIo): number {
    const { channel } = this;
    const { target } = io;
    if (target === null) return Errno.EINVAL;
    io.status = IoStatus.PENDING;
    io.submitted_at = channel.reactor.now;
    const aborted = target.channel === channel && this.abort(target);
    io.cdw0 = aborted ? 0 : 1;
    channel.finishUnstarted(io, aborted ? IoStatus.SUCCESS : IoStatus.FAILED);
    return 0;
  }

  /** See {@link BdevChannel.abortTarget}. */
  abort(target: BdevIo): boolean {
    if (target.type === IoType.ABORT || target.type === IoType.RESET) return false;
    if (target.type === IoType.ZCOPY && target.zcopy_phase === ZcopyPhase.END) return false;
    const { module } = this.places;
    if (target.state === IoState.SUBMITTED)
      return target.work !== null ? target.work.abort() : (module.abort?.(target) ?? false);
    if (!this.takeFromQueue(target)) return false;
    this.channel.finishUnstarted(target, IoStatus.ABORTED);
    return true;
  }

  /** True if it was in one of the queues, and is no longer. */
  private takeFromQueue(target: BdevIo): boolean {
    const { qos, nomem, ranges, context } = this.places;
    if (target.state === IoState.LOCKED) return ranges.remove(target);
    if (target.state !== IoState.QUEUED) return false;
    if (qos.remove(target)) qos.changed();
    else if (nomem.remove(target)) nomem.changed();
    else return context.unqueue(target);
    return true;
  }

  /** Everything that waits ends ABORTED: what the module has is its own. */
  abortQueued(): void {
    const { channel } = this;
    const { nomem, qos, ranges, context } = this.places;
    const end = (io: BdevIo): void => channel.finishUnstarted(io, IoStatus.ABORTED);
    for (let io = nomem.shift(); io !== null; io = nomem.shift()) end(io);
    nomem.changed();
    for (let io = qos.shift(); io !== null; io = qos.shift()) end(io);
    qos.changed();
    for (let io = ranges.shift(); io !== null; io = ranges.shift()) end(io);
    ranges.abortLockers();
    for (let io = context.unqueueOf(channel); io !== null; io = context.unqueueOf(channel)) end(io);
  }
}
