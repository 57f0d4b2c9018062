import type { ReactorPlugin } from '@spdk-ts/reactor';
import { setSockImplementation, setSockOptions } from './create-group.ts';
import type { SockOptions } from './sock.ts';

/** The reactor half: remembers which implementation and options new groups get. */
const plugin: ReactorPlugin = {
  name: 'sock',
  start(reactor) {
    return {
      setImplementation: (name: string) => setSockImplementation(reactor, name),
      setOptions: (options: Partial<SockOptions>) => setSockOptions(reactor, options),
    };
  },
};
export default plugin;
