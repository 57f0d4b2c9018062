import { type BdevIo, type BdevIoOwner, IoState } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';

/**
 * A channel's part in resets of its bdev: those that its own users ask for, which the control thread carries out on
 * every reactor, and what the module is given of each.
 */
export class ChannelResets {
  /** Resets that the control thread works at. */
  pending = 0;
  private readonly channel: BdevChannel;

  constructor(channel: BdevChannel) {
    this.channel = channel;
  }

  /** For {@link BdevChannel.submit}. */
  submit(io: BdevIo): number {
    const { channel } = this;
    const { control, now } = channel.reactor;
    io.status = IoStatus.PENDING;
    io.submitted_at = now;
    io.state = IoState.SUBMITTED;
    this.pending++;
    const put = channel.holdMore();
    const end = (status: number): void => {
      this.pending--;
      channel.finishUnstarted(io, status);
      put();
    };
    control.call('bdev', 'reset', { id: channel.device.description.id }).then(
      () => end(IoStatus.SUCCESS),
      () => end(IoStatus.FAILED),
    );
    return 0;
  }

  /** Gives the module a reset, past every queue; `owner` frees it with {@link BdevChannel.giveSpare}. */
  startInModule(owner: BdevIoOwner): void {
    const io = this.channel.takeSpare();
    io.type = IoType.RESET;
    io.offset_blocks = 0;
    io.num_blocks = 0;
    io.owner = owner;
    io.status = IoStatus.PENDING;
    io.submitted_at = this.channel.reactor.now;
    this.channel.giveToModule(io);
  }
}
