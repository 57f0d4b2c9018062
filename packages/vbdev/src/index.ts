/** What bdevs that stack on other bdevs have in common: both halves of a stacked module. */
export { DelayLine } from './delay-line.ts';
export { derivedSpec, type StackedContext } from './derived.ts';
export { partChannel } from './part-channel.ts';
export { Stack } from './stack-control.ts';
export { StackedChannel } from './stacked-channel.ts';
export { StackedDevice, stackedReactorModule } from './stacked-device.ts';
export { type StackedKind, StackedModule } from './stacked-module-control.ts';
