import { type BdevIo, IoStatus, IoType } from '@spdk-ts/bdev';
import { fillContent, holdsContent } from '../content.ts';
import { plain } from '../scratch.ts';
import { type Check, same } from './check.ts';

/** I/Os that want to write the same blocks at once, and how often. */
const RIVALS = 12;
const ROUNDS = 25;

/** Compare and write: of many that expect the same, one finds it. */
const compareAndWrite: Check = {
  title: 'compares and writes as one, whoever else does the same at once',
  unneeded: ({ subject, description }) => {
    if (!subject.promises.data) return 'it forgets what is written';
    return description.md_size > 0 ? 'its data are given without metadata here' : '';
  },
  async run(trial) {
    const harness = trial.harness();
    if (!harness.channels[0]!.supports(IoType.COMPARE_AND_WRITE)) return;
    const { block_size, acwu } = trial.description;
    const blocks = Math.max(1, acwu);
    const bytes = blocks * block_size;
    const at = harness.area.first;
    const data = (content: number): Uint8Array => {
      const words = new Int32Array(bytes / 4);
      for (let i = 0; i < blocks; i++) fillContent(words, (i * block_size) / 4, block_size / 4, content);
      return new Uint8Array(words.buffer);
    };
    // Each has what it expects, and behind it what it wants to write.
    const places = Array.from({ length: RIVALS }, (_, i) => harness.scratch[i % 2]!.take(2 * bytes, plain)!);
    const [first] = places;
    let content = 1;
    const plainIo = async (type: number): Promise<void> => {
      let done = false;
      const owner = {
        bdevIoDone(io: BdevIo): void {
          same('status', io.status, IoStatus.SUCCESS);
          io.free();
          done = true;
        },
      };
      const call = type === IoType.READ ? 'readBlocks' : 'writeBlocks';
      same('errno', harness.channels[0]![call](first!.region, first!.offset, at, blocks, owner), 0);
      await trial.bench.until('the I/O to end', () => done);
    };
    first!.bytes.set(data(content), first!.offset);
    await plainIo(IoType.WRITE);
    for (let round = 0; round < ROUNDS; round++) {
      const statuses: number[] = [];
      let ended = 0;
      places.forEach((place, i) => {
        place.bytes.set(data(content), place.offset);
        place.bytes.set(data(content + 1 + i), place.offset + bytes);
        const owner = {
          bdevIoDone(io: BdevIo): void {
            statuses[i] = io.status;
            ended++;
            io.free();
          },
        };
        const { region, offset } = place;
        const channel = harness.channels[i % 2]!;
        same(
          'errno of a compare and write',
          channel.compareAndWriteBlocks(region, offset, offset + bytes, at, blocks, owner),
          0,
        );
        if (trial.random.below(3) === 0) trial.bench.step();
      });
      await trial.bench.until('compare and write to end', () => ended === RIVALS);
      const winners = statuses.flatMap((status, i) => (status === IoStatus.SUCCESS ? [i] : []));
      same('how many found what they expected', winners.length, 1);
      content += 1 + winners[0]!;
      await plainIo(IoType.READ);
      const read = new Int32Array(first!.bytes.slice(first!.offset, first!.offset + bytes).buffer);
      for (let i = 0; i < blocks; i++)
        same(
          'that the winner has written',
          holdsContent(read, (i * block_size) / 4, block_size / 4, content),
          true,
        );
      content += RIVALS;
      first!.bytes.set(data(content), first!.offset);
      await plainIo(IoType.WRITE);
    }
    places.forEach((place, i) => void harness.scratch[i % 2]!.give(place));
  },
};

export const atomicChecks: readonly Check[] = [compareAndWrite];
