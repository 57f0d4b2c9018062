import { BdevError, Errno, registerReactorModule } from '@spdk-ts/bdev';
import { allocateSharedMemory, attachSharedMemory, releaseSharedMemory } from '@spdk-ts/env';
import type { Reactor, ReactorPlugin } from '@spdk-ts/reactor';
import { ErrorDevice } from './device.ts';

const BYTE_VALUES = 256;

/** Memory outside of the heap, as for any I/O. */
function addEveryByte(reactor: Reactor): number {
  const memory = allocateSharedMemory(BYTE_VALUES);
  const bytes = attachSharedMemory(memory);
  for (let value = 0; value < BYTE_VALUES; value++) bytes[value] = value;
  releaseSharedMemory(memory);
  return reactor.regions.addLocal(bytes).id;
}

const plugin: ReactorPlugin = {
  name: 'bdev_error',
  start(reactor) {
    const everyByte = addEveryByte(reactor);
    const devices = new Map<number, ErrorDevice>();
    const found = (id: number): ErrorDevice => {
      const device = devices.get(id);
      if (device === undefined)
        throw new BdevError(Errno.ENODEV, `there is no error bdev with id ${id} on reactor ${reactor.index}`);
      return device;
    };
    registerReactorModule(reactor, {
      name: 'error',
      instantiate: (description) => new ErrorDevice(description, reactor, everyByte, devices),
    });
    return {
      resume: ({ id }: { id: number }) => found(id).resume(),
      counts: ({ id }: { id: number }) => found(id).rules.counts,
    };
  },
};
export default plugin;
