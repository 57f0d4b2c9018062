import type { BdevChannel, BdevDescription } from '@spdk-ts/bdev';
import { remapsTags, type StackedContext } from './derived.ts';
import { RemappingChannel } from './remapping-channel.ts';
import { StackedChannel } from './stacked-channel.ts';

/** The channel of a bdev that is a part of its base, and does nothing to I/O but to move it there. */
export function partChannel(base: BdevChannel, { context }: BdevDescription): StackedChannel {
  const { offset_blocks } = context as StackedContext;
  const remaps = remapsTags(base.device.description, offset_blocks);
  return remaps ? new RemappingChannel(base, offset_blocks) : new StackedChannel(base, offset_blocks);
}
