import type { Poller } from '@spdk-ts/reactor';
import type { BdevChannel } from './channel.ts';

/** A timed poller on the thread of each channel of a device, while there is something to do. */
export class ChannelPollers {
  private readonly name: string;
  /** `elapsed`: ticks since it ran last, or began. */
  private readonly run: (channel: BdevChannel, elapsed: number) => void;
  private readonly pollers = new Map<BdevChannel, Poller>();
  private period_us = 0;

  constructor(name: string, run: (channel: BdevChannel, elapsed: number) => void) {
    this.name = name;
    this.run = run;
  }

  /** Runs every so often from now on; 0: no longer. */
  set(period_us: number, channels: readonly BdevChannel[]): void {
    this.period_us = period_us;
    for (const channel of [...this.pollers.keys()]) this.remove(channel);
    for (const channel of channels) this.add(channel);
  }

  add(channel: BdevChannel): void {
    if (this.period_us === 0) return;
    let last = channel.reactor.now;
    const poll = (): number => {
      const { now } = channel.reactor;
      this.run(channel, now - last);
      last = now;
      return 0;
    };
    this.pollers.set(channel, channel.thread.registerPoller(this.name, poll, this.period_us));
  }

  remove(channel: BdevChannel): void {
    this.pollers.get(channel)?.unregister();
    this.pollers.delete(channel);
  }
}
