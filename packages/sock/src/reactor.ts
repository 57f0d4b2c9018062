import type { ReactorPlugin } from '@spdk-ts/reactor';
import { setSockImplementation } from './create-group.ts';

/** The reactor half: remembers which implementation new groups get. */
const plugin: ReactorPlugin = {
  name: 'sock',
  start(reactor) {
    return { setImplementation: (name: string) => setSockImplementation(reactor, name) };
  },
};
export default plugin;
