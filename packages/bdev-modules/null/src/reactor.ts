import {
  type BdevDescription,
  type BdevInstance,
  type BdevIo,
  type BdevReactorModule,
  difChecks,
  difOf,
  difStatus,
  difTagsOf,
  getBdevService,
  IoStatus,
  IoType,
  IoVec,
  type ModuleChannel,
  piecesOfIo,
  registerReactorModule,
  ZERO_BYTES,
  ZonedChannel,
} from '@spdk-ts/bdev';
import { type Dif, DifFailure, type DifTags, Pieces } from '@spdk-ts/dif';
import type { RegionTable } from '@spdk-ts/env';
import type { Reactor, ReactorPlugin } from '@spdk-ts/reactor';
import type { NullContext } from './context.ts';

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

/**
 * A null bdev with protection information: checks it in what is written, and makes it for what is read, whatever data
 * the buffer holds.
 */
class NullProtectedChannel extends NullChannel {
  private readonly description: BdevDescription;
  private readonly regions: RegionTable;
  private readonly dif: Dif;
  private readonly data = new Pieces();
  private readonly tags: DifTags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
  private readonly failure = new DifFailure();

  constructor(zeroRegion: number, description: BdevDescription, regions: RegionTable) {
    super(zeroRegion);
    this.description = description;
    this.regions = regions;
    this.dif = difOf(description);
  }

  override submit(io: BdevIo): void {
    const reads = io.type === IoType.READ;
    if (reads || io.type === IoType.WRITE) {
      piecesOfIo(this.data, this.regions, io, 0, io.num_blocks * this.description.block_size);
      const tags = difTagsOf(this.description, io, 0, this.tags);
      const checks = difChecks(this.description, io);
      if (reads) this.dif.generate(this.data, null, io.num_blocks, tags);
      else if (!this.dif.verify(this.data, null, io.num_blocks, tags, checks, this.failure)) {
        io.complete(difStatus(io, this.failure));
        return;
      }
    }
    super.submit(io);
  }
}

const module: BdevReactorModule = {
  name: 'null',
  instantiate(description: BdevDescription, reactor: Reactor): BdevInstance {
    const { memory, zeroRegion } = getBdevService(reactor);
    const { dif_type } = description;
    const { zones } = description.context as NullContext;
    return {
      createChannel(thread) {
        if (dif_type > 0) return new NullProtectedChannel(zeroRegion, description, reactor.regions);
        const channel = new NullChannel(zeroRegion);
        return zones === null ? channel : new ZonedChannel(thread, memory, channel, zones, null, 0);
      },
    };
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
