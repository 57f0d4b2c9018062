import { type BdevIo, getBdevService, IoStatus, IoType } from '@spdk-ts/bdev';
import type { Reactor } from '@spdk-ts/reactor';

/** The part of a bdev that is to be filled: from its first block. */
export interface ZeroFillParams {
  readonly bdev_id: number;
  readonly num_blocks: number;
}

/**
 * Writes zeroes to a bdev. Memory that nobody has written is one page of zeroes to the kernel, always in the
 * cache: reads of it would be measured faster than reads of anything else. Rejects with an Error if it fails.
 */
export function zeroFill(reactor: Reactor, { bdev_id, num_blocks }: ZeroFillParams): Promise<void> {
  const thread = reactor.createThread('bdevperf_fill');
  return new Promise<void>((resolve, reject) => {
    thread.send(() => {
      const channel = getBdevService(reactor).getChannel(bdev_id, thread);
      const end = (status: number): void => {
        thread.send(() => {
          channel.put();
          thread.exit(() => {});
          if (status === IoStatus.SUCCESS) resolve();
          else reject(new Error(`writing zeroes to all of bdev ${bdev_id} failed with status ${status}`));
        });
      };
      const io = channel.getIo()!;
      io.type = IoType.WRITE_ZEROES;
      io.offset_blocks = 0;
      io.num_blocks = num_blocks;
      io.owner = {
        bdevIoDone(done: BdevIo) {
          const status = done.status;
          done.free();
          end(status);
        },
      };
      const result = channel.submit(io);
      if (result === 0) return;
      io.free();
      end(result);
    });
  });
}
