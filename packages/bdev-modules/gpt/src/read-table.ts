import type { Logger } from '@spdk-ts/log';
import {
  arrayBlocks,
  GptError,
  type GptHeader,
  type GptPartition,
  hasProtectiveMbr,
  parseEntries,
  parseHeader,
} from './table.ts';

/** Fewest blocks that a disk with a GPT has: MBR, two headers, and the entries twice. */
const SMALLEST = 6;

export interface Disk {
  readonly name: string;
  readonly block_size: number;
  readonly num_blocks: number;
  read(offset_blocks: number, num_blocks: number): Promise<Uint8Array>;
}

export interface GptTable {
  readonly disk_guid: string;
  /** Those that lie where they may, in the order of their entries. */
  readonly partitions: readonly GptPartition[];
}

/**
 * The partition table of a disk: the primary one, or the backup if that is damaged; null if the disk has none, or
 * none that can be used. What is wrong is logged. Rejects if the disk cannot be read.
 */
export async function readTable(disk: Disk, log: Logger): Promise<GptTable | null> {
  if (disk.num_blocks < SMALLEST) return null;
  if (!hasProtectiveMbr(await disk.read(0, 1))) return null;
  const primary = await readCopy(disk, 1);
  if (!(primary instanceof GptError)) return usable(disk, primary, log);
  const backup = await readCopy(disk, disk.num_blocks - 1);
  if (backup instanceof GptError) {
    log.error(
      `bdev ${disk.name} has no partition table that can be used. Primary: ${primary.message}. Backup: ${backup.message}.`,
    );
    return null;
  }
  log.warn(
    `bdev ${disk.name}: the primary partition table is damaged (${primary.message}), the backup is used`,
  );
  return usable(disk, backup, log);
}

interface Copy {
  readonly header: GptHeader;
  readonly partitions: readonly GptPartition[];
}

async function readCopy(disk: Disk, lba: number): Promise<Copy | GptError> {
  const { block_size, num_blocks } = disk;
  const block = await disk.read(lba, 1);
  try {
    const header = parseHeader(block, lba, num_blocks);
    const bytes = await disk.read(header.partition_entry_lba, arrayBlocks(header, block_size));
    return { header, partitions: parseEntries(header, bytes) };
  } catch (error) {
    if (error instanceof GptError) return error;
    throw error;
  }
}

function usable(disk: Disk, { header, partitions }: Copy, log: Logger): GptTable {
  const { first_usable_lba, last_usable_lba, disk_guid } = header;
  const good: GptPartition[] = [];
  for (const partition of partitions) {
    const { number, first_lba, last_lba } = partition;
    const where = `bdev ${disk.name}: partition ${number} in blocks ${first_lba} to ${last_lba}`;
    const other = good.find((one) => first_lba <= one.last_lba && one.first_lba <= last_lba);
    if (first_lba > last_lba || first_lba < first_usable_lba || last_lba > last_usable_lba)
      log.warn(
        `${where} is not within the usable blocks ${first_usable_lba} to ${last_usable_lba}: left out`,
      );
    else if (other !== undefined) log.warn(`${where} overlaps partition ${other.number}: left out`);
    else good.push(partition);
  }
  return { disk_guid, partitions: good };
}
