import {
  type BdevDescription,
  type BdevInstance,
  type BdevIo,
  type BdevReactorModule,
  getBdevService,
  IoStatus,
  IoType,
  IoVec,
  type ModuleChannel,
  registerReactorModule,
  ZERO_BYTES,
} from '@spdk-ts/bdev';
import type { Reactor, ReactorPlugin } from '@spdk-ts/reactor';

/** Forgets what is written. A read leaves its buffer alone; one without a buffer is shown zeroes. */
class NullChannel implements ModuleChannel {
  private readonly zeroRegion: number;

  constructor(zeroRegion: number) {
    this.zeroRegion = zeroRegion;
  }

  submit(io: BdevIo): void {
    if (io.type === IoType.READ && io.region < 0 && io.iovs === null) this.showZeroes(io);
    io.complete(IoStatus.SUCCESS);
  }

  private showZeroes(io: BdevIo): void {
    if (io.length > ZERO_BYTES) {
      io.iovs = zeroPieces(this.zeroRegion, io.length);
      return;
    }
    io.region = this.zeroRegion;
    io.offset = 0;
  }

  destroy(): void {}
}

function zeroPieces(region: number, length: number): IoVec {
  const pieces = new IoVec(Math.ceil(length / ZERO_BYTES));
  for (let left = length; left > 0; left -= ZERO_BYTES) pieces.push(region, 0, Math.min(left, ZERO_BYTES));
  return pieces;
}

const module: BdevReactorModule = {
  name: 'null',
  instantiate(_description: BdevDescription, reactor: Reactor): BdevInstance {
    const { zeroRegion } = getBdevService(reactor);
    return { createChannel: () => new NullChannel(zeroRegion) };
  },
};

const plugin: ReactorPlugin = {
  name: 'bdev_null',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
