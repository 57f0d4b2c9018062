import { IoStatus } from '@spdk-ts/bdev';
import { setLogWriter } from '@spdk-ts/log';
import { afterEach, describe, expect, it } from 'vitest';
import malloc from '../../malloc/src/index.ts';
import mallocReactor from '../../malloc/src/reactor.ts';
import { ModuleBed } from '../../test/bed.ts';
import { againstModel, Ends } from '../../test/stack.ts';
import { Image, type ImageOptions } from '../test/image.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const SPDK = '6527994e-2c5a-4eec-9613-8f5944074e8b';
const LEGACY = '7c5222bd-8f5d-4087-9c00-bf9843c7b58c';
const LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4';
const unique = (n: number): string => `aaaaaaaa-0001-0002-0304-0506070809${n.toString(16).padStart(2, '0')}`;

const start = (): Promise<ModuleBed> =>
  ModuleBed.startAll(
    [
      [malloc, mallocReactor],
      [control, reactorHalf],
    ],
    // The table is written before the disk is looked at.
    { options: { bdev_auto_examine: false } },
  );

let lines: string[] = [];
let before: ((line: string) => void) | null = null;
function listen(): void {
  lines = [];
  before = setLogWriter((line) => lines.push(line));
}
afterEach(() => {
  if (before !== null) setLogWriter(before);
  before = null;
});

async function write(bed: ModuleBed, name: string, image: Image): Promise<void> {
  const channel = bed.channel(name);
  const { region, bytes } = bed.host.local[0]!.buffers;
  const piece = 64 * 1024;
  for (let at = 0; at < image.bytes.length; at += piece) {
    const part = image.bytes.subarray(at, at + piece);
    bytes.set(part);
    const ends = new Ends();
    const { block_size } = image;
    expect(channel.writeBlocks(region, 0, at / block_size, part.length / block_size, ends)).toBe(0);
    await bed.poll();
    expect(ends.statuses).toEqual([IoStatus.SUCCESS]);
  }
  channel.put();
}

/** A bed with a disk M of that image, examined. */
async function examined(image: Image, bed?: ModuleBed, name = 'M'): Promise<ModuleBed> {
  const used = bed ?? (await start());
  const { block_size, num_blocks } = image;
  await used.rpc.call('bdev_malloc_create', { name, block_size, num_blocks });
  await write(used, name, image);
  await used.rpc.call('bdev_examine', { name });
  await used.until(used.rpc.call('bdev_wait_for_examine'));
  return used;
}

const names = (bed: ModuleBed): string[] => bed.bdevs.list().map(({ name }) => name);
const two: ImageOptions['partitions'] = [
  { type: SPDK, unique: unique(1), first: 64, last: 127, name: 'one' },
  { type: SPDK, unique: unique(2), first: 128, last: 255, name: 'two' },
];

describe('gpt', () => {
  it.each([512, 4096])(
    'makes bdevs of partitions that are meant for it, blocks of %i bytes',
    async (block_size) => {
      const bed = await examined(
        new Image({
          block_size,
          partitions: [
            ...two,
            { type: LINUX, unique: unique(3), first: 256, last: 299 },
            { type: LEGACY, unique: unique(4), first: 300, last: 399, number: 100 },
          ],
        }),
      );
      expect(names(bed)).toEqual(['M', 'Mp1', 'Mp2', 'Mp100']);
      const [base] = await bed.rpc.call('bdev_get_bdevs', { name: 'M' });
      expect(base).toMatchObject({ claimed: true, claim_type: 'exclusive_write' });
      const [info] = await bed.rpc.call('bdev_get_bdevs', { name: 'Mp2' });
      expect(info).toMatchObject({
        product_name: 'GPT Disk',
        block_size,
        num_blocks: 128,
        uuid: unique(2),
        driver_specific: {
          gpt: {
            base_bdev: 'M',
            offset_blocks: 128,
            partition_table_guid: '11111111-2222-3333-4444-555555555555',
            partition_type_guid: SPDK,
            unique_partition_guid: unique(2),
            partition_name: 'two',
          },
        },
      });
      expect(bed.bdevs.get('Mp100')!.num_blocks).toBe(99);
      // Found again by examination, so not saved.
      expect(bed.bdevs.config().map(({ method }) => method)).not.toContain('bdev_gpt_set_options');
      expect(bed.bdevs.config().filter(({ method }) => method.endsWith('create'))).toHaveLength(1);
      await againstModel(bed, bed.channel('Mp1'), { numRuns: 5, max_blocks: 8 });
    },
  );

  it('leaves disks without a table, or without partitions for it, alone and silent', async () => {
    listen();
    const bed = await examined(new Image({ partitions: [] }));
    const plain = new Image({ partitions: two });
    plain.bytes.fill(0, 0, 512);
    await examined(plain, bed, 'N');
    await examined(new Image({ partitions: [{ ...two[0]!, type: LINUX }] }), bed, 'O');
    await bed.rpc.call('bdev_malloc_create', { name: 'tiny', block_size: 512, num_blocks: 1 });
    await bed.rpc.call('bdev_examine', { name: 'tiny' });
    await bed.until(bed.bdevs.waitForExamine());
    expect(names(bed)).toEqual(['M', 'N', 'O', 'tiny']);
    expect((await bed.rpc.call('bdev_get_bdevs', {})).map(({ claimed }) => claimed)).toEqual(
      Array(4).fill(false),
    );
    expect(lines).toEqual([]);
  });

  it('shows partitions of any type if it is told to', async () => {
    const bed = await start();
    expect(await bed.rpc.call('bdev_gpt_set_options', { all_types: true })).toBe(true);
    await examined(new Image({ partitions: [{ ...two[0]!, type: LINUX }] }), bed);
    expect(names(bed)).toEqual(['M', 'Mp1']);
    expect(bed.bdevs.config()[2]).toEqual({ method: 'bdev_gpt_set_options', params: { all_types: true } });
    await bed.rpc.call('bdev_enable_histogram', { name: 'Mp1', enable: true });
    const calls = bed.bdevs.config().map(({ method }) => method);
    expect(calls.slice(-3)).toEqual([
      ...['bdev_wait_for_examine', 'bdev_enable_histogram', 'bdev_wait_for_examine'],
    ]);
  });

  it('takes the backup if the primary table is damaged, and says so', async () => {
    const damages: [string, (image: Image) => void][] = [
      ['does not begin with "EFI PART"', (image) => image.bytes.fill(0, 512, 520)],
      ['the CRC of its header', (image) => image.bytes.fill(1, 600, 601)],
      ['the CRC of its entries', (image) => image.bytes.fill(1, 1100, 1101)],
    ];
    for (const [text, damage] of damages) {
      const image = new Image({ partitions: two });
      damage(image);
      listen();
      const bed = await examined(image);
      expect(names(bed)).toEqual(['M', 'Mp1', 'Mp2']);
      expect(lines.join('')).toMatch(/vbdev_gpt: \*WARNING\*: bdev M: the primary .* is damaged/);
      expect(lines.join('')).toContain(text);
    }
  });

  it('says what is wrong with both tables, and does nothing else', async () => {
    const image = new Image({ partitions: two });
    image.view.setUint32(512 + 12, 4000, true);
    image.bytes.fill(0, 4095 * 512, 4095 * 512 + 1);
    listen();
    const bed = await examined(image);
    expect(names(bed)).toEqual(['M']);
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'M' }))[0]!.claimed).toBe(false);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /ERROR.*bdev M has no partition table that can be used. Primary: its header has 4000 bytes, not 92 to 512. Backup: block 4095 does not begin with "EFI PART"/,
    );
  });

  it('leaves out partitions that lie where they may not, or whose identity is taken', async () => {
    listen();
    const bed = await examined(
      new Image({
        partitions: [
          { type: SPDK, unique: unique(1), first: 64, last: 127 },
          { type: SPDK, unique: unique(2), first: 100, last: 200 },
          { type: SPDK, unique: unique(3), first: 20, last: 40 },
          { type: SPDK, unique: unique(4), first: 300, last: 299 },
          { type: SPDK, unique: unique(5), first: 4000, last: 4090 },
          { type: SPDK, unique: unique(1), first: 400, last: 410 },
          { type: SPDK, unique: unique(7), first: 420, last: 420 },
        ],
      }),
    );
    expect(names(bed)).toEqual(['M', 'Mp1', 'Mp7']);
    const text = lines.join('');
    expect(text).toContain('partition 2 in blocks 100 to 200 overlaps partition 1');
    for (const part of ['3 in blocks 20 to 40', '4 in blocks 300 to 299', '5 in blocks 4000 to 4090'])
      expect(text).toContain(`partition ${part} is not within the usable blocks 34 to 4062`);
    expect(text).toContain('partition Mp6 was not made: File exists');
  });

  it('goes with its disk, and comes back with it', async () => {
    const image = new Image({ partitions: two });
    const bed = await examined(image);
    const channel = bed.channel('Mp2');
    const removal = bed.rpc.call('bdev_malloc_delete', { name: 'M' });
    await bed.poll();
    await bed.poll();
    channel.put();
    await bed.until(removal);
    expect(names(bed)).toEqual([]);
    await examined(image, bed);
    expect(names(bed)).toEqual(['M', 'Mp1', 'Mp2']);
    await bed.until(bed.bdevs.stop());
    expect(names(bed)).toEqual([]);
  });

  it('reads the table again when the disk has grown', async () => {
    const bed = await examined(new Image({ num_blocks: 2048, partitions: two }));
    // Somebody who has the disk itself writes the table for the larger disk.
    await write(
      bed,
      'M',
      new Image({
        num_blocks: 2048,
        partitions: [
          two[0]!,
          { ...two[1]!, last: 511 },
          { type: SPDK, unique: unique(3), first: 600, last: 699 },
        ],
      }),
    );
    await bed.rpc.call('bdev_malloc_resize', { name: 'M', new_size: 2 });
    for (let i = 0; i < 200 && bed.bdevs.get('Mp3') === undefined; i++) await bed.poll();
    for (let i = 0; i < 20; i++) await bed.poll();
    expect(names(bed)).toEqual(['M', 'Mp1', 'Mp2', 'Mp3']);
    expect(['Mp1', 'Mp2', 'Mp3'].map((name) => bed.bdevs.get(name)!.num_blocks)).toEqual([64, 384, 100]);
  });
});
