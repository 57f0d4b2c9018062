import { type BdevModule, type BdevSpec, IoType, ioTypeMask, registerReactorModule } from '@spdk-ts/bdev';
import type { Random } from '@spdk-ts/env';
import { FileChannel, type FileContext } from '@spdk-ts/file-io';
import { Logger } from '@spdk-ts/log';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import { SECTOR, type SimDisk } from './disk.ts';
import { DiskEngine, type EngineTraits } from './disk-engine.ts';

const MODULE = 'sim_disk';

/**
 * A bdev module whose bdevs are file channels over one simulated disk: what `file` and `uring` do with a file, they
 * do with the disk. Also a base for whatever keeps state on a bdev.
 */
export class DiskBdev {
  readonly disk: SimDisk;
  private readonly traits: EngineTraits;
  private readonly random: Random;
  private readonly engines: DiskEngine[] = [];

  constructor(disk: SimDisk, traits: EngineTraits, random: Random) {
    this.disk = disk;
    this.traits = traits;
    this.random = random;
  }

  /** The reactor half. */
  get plugin(): ReactorPlugin {
    return {
      name: MODULE,
      start: (reactor) => {
        registerReactorModule(reactor, {
          name: MODULE,
          instantiate: (description) => ({
            createChannel: (thread) =>
              new FileChannel(description, new Logger('bdev_file'), (owner) => {
                const unit = this.traits.direct ? description.block_size : SECTOR;
                const engine = new DiskEngine(this.disk, this.traits, unit, this.random, thread, owner);
                this.engines.push(engine);
                return engine;
              }),
          }),
        });
        return {};
      },
    };
  }

  /** The control half. */
  readonly module: BdevModule = { name: MODULE, destroy: () => {}, config: () => [] };

  spec(name: string, block_size: number): BdevSpec {
    const context: FileContext = {
      ...{
        filename: `/sim/${name}`,
        fd: -1,
        readonly: false,
        blockDevice: false,
        direct: this.traits.direct,
      },
      flushFailed: new SharedArrayBuffer(4),
      noHoles: new SharedArrayBuffer(4),
      noZeroRange: new SharedArrayBuffer(4),
      zones: null,
    };
    const { READ, WRITE, FLUSH, RESET, ABORT, WRITE_ZEROES, UNMAP } = IoType;
    return {
      ...{ name, product_name: 'Simulated disk', block_size, num_blocks: this.disk.bytes / block_size },
      io_types: ioTypeMask(READ, WRITE, FLUSH, RESET, ABORT, WRITE_ZEROES, UNMAP),
      context,
    };
  }

  /** The power goes: everything that runs is to be left as it is, and never polled again. */
  crash(random: Random): void {
    this.disk.crash(
      random,
      this.engines.flatMap((engine) => engine.stop()),
    );
  }
}
