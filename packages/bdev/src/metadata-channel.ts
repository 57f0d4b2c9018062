import type { BdevIo } from './bdev-io.ts';
import { BdevChannel } from './channel.ts';

/**
 * The channel of a bdev with metadata. Fields of an I/O that only such bdevs look at are cleared here, when it is
 * taken, so that the I/O of others does not pay for it.
 */
export class MetadataChannel extends BdevChannel {
  override getIo(): BdevIo | null {
    const io = super.getIo();
    if (io !== null) io.clearMetadata();
    return io;
  }
  override getIoBeyond(): BdevIo {
    const io = super.getIoBeyond();
    io.clearMetadata();
    return io;
  }
  override takeSpare(): BdevIo {
    const io = super.takeSpare();
    io.clearMetadata();
    return io;
  }
}
