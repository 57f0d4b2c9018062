import { registerReactorModule } from '@spdk-ts/bdev';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import { StackedChannel, type StackedContext, stackedReactorModule } from '@spdk-ts/vbdev';

const module = stackedReactorModule(
  'split',
  (base, { description }) => new StackedChannel(base, (description.context as StackedContext).offset_blocks),
);

const plugin: ReactorPlugin = {
  name: 'bdev_split',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
