import {
  type BdevChannel,
  type BdevDescription,
  type BdevInstance,
  type BdevReactorModule,
  getBdevService,
} from '@spdk-ts/bdev';
import type { Reactor, Thread } from '@spdk-ts/reactor';
import type { StackedContext } from './derived.ts';
import type { StackedChannel } from './stacked-channel.ts';

/** Makes a channel, which owns `base`. */
export type StackedChannelMaker<C extends StackedChannel> = (
  base: BdevChannel,
  device: StackedDevice<C>,
  thread: Thread,
) => C;

/** A stacked bdev on one reactor. */
export class StackedDevice<C extends StackedChannel = StackedChannel> implements BdevInstance {
  readonly reactor: Reactor;
  /** As it is now. */
  description: BdevDescription;
  /** Those that exist now. */
  channels: readonly C[] = [];
  private readonly make: StackedChannelMaker<C>;

  constructor(description: BdevDescription, reactor: Reactor, make: StackedChannelMaker<C>) {
    this.description = description;
    this.reactor = reactor;
    this.make = make;
  }

  createChannel(thread: Thread): C {
    const { base_id } = this.description.context as StackedContext;
    const base = getBdevService(this.reactor).getChannel(base_id, thread);
    const channel = this.make(base, this, thread);
    this.channels = [...this.channels, channel];
    channel.onDestroyed = () => {
      this.channels = this.channels.filter((other) => other !== channel);
    };
    return channel;
  }

  update(description: BdevDescription): void {
    this.description = description;
  }

  retire(): void {
    for (const channel of this.channels) channel.retire();
  }
}

/** A reactor half whose devices are nothing but their channels. */
export function stackedReactorModule<C extends StackedChannel>(
  name: string,
  make: StackedChannelMaker<C>,
): BdevReactorModule {
  return { name, instantiate: (description, reactor) => new StackedDevice(description, reactor, make) };
}
