import {
  type BdevChannel,
  type BdevDescription,
  type BdevInstance,
  type BdevReactorModule,
  getBdevService,
  type ModuleChannel,
} from '@spdk-ts/bdev';
import type { Reactor, Thread } from '@spdk-ts/reactor';
import type { StackedContext } from './derived.ts';

/** Makes a channel of a stacked bdev, which owns the base's channel and puts it in its `destroy`. */
export type StackedChannelMaker = (
  base: BdevChannel,
  description: BdevDescription,
  thread: Thread,
) => ModuleChannel;

/** A reactor half whose devices keep nothing but channels. */
export function stackedReactorModule(name: string, make: StackedChannelMaker): BdevReactorModule {
  return {
    name,
    instantiate(description: BdevDescription, reactor: Reactor): BdevInstance {
      let current = description;
      return {
        createChannel: (thread) =>
          make(
            getBdevService(reactor).getChannel((current.context as StackedContext).base_id, thread),
            current,
            thread,
          ),
        update: (changed) => {
          current = changed;
        },
      };
    },
  };
}
