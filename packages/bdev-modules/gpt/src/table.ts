import { crc32 } from 'node:zlib';

/*
 * GUID partition tables as the UEFI specification has them (5.2.3 protective MBR, 5.3 GPT). Everything here is
 * pure: bytes in, tables or a GptError out. Blocks are logical blocks of the device, whatever their size.
 */

/** What is wrong with a table, in words. */
export class GptError extends Error {}

export interface GptHeader {
  readonly disk_guid: string;
  readonly first_usable_lba: number;
  readonly last_usable_lba: number;
  readonly partition_entry_lba: number;
  readonly num_partition_entries: number;
  readonly size_of_partition_entry: number;
  readonly partition_entry_array_crc32: number;
}

export interface GptPartition {
  /** Number of its entry, from 1. */
  readonly number: number;
  readonly type_guid: string;
  readonly unique_guid: string;
  readonly first_lba: number;
  readonly last_lba: number;
  readonly name: string;
}

const MBR_SIGNATURE = 0xaa55;
const MBR_ENTRIES = 446;
const MBR_ENTRY_BYTES = 16;
const PROTECTIVE = 0xee;

const SIGNATURE = 'EFI PART';
const HEADER_BYTES = 92;
const ENTRY_BYTES = 128;
const NAME_CHARACTERS = 36;
/** Far above what anybody uses: what is larger is taken for damage. */
const ENTRIES_MAX = 4096;
const ENTRY_BYTES_MAX = 4096;
export const UNUSED = '00000000-0000-0000-0000-000000000000';

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A GUID in its text form: the first three fields are little endian. */
export function guidText(bytes: Uint8Array, at: number): string {
  const view = viewOf(bytes);
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  const rest = [...bytes.subarray(at + 8, at + 16)].map((byte) => hex(byte, 2)).join('');
  return [
    hex(view.getUint32(at, true), 8),
    hex(view.getUint16(at + 4, true), 4),
    hex(view.getUint16(at + 6, true), 4),
    rest.slice(0, 4),
    rest.slice(4),
  ].join('-');
}

/** An LBA. One that a number cannot carry lies beyond every device: it becomes the largest. */
function lbaAt(view: DataView, at: number): number {
  const lba = view.getBigUint64(at, true);
  return lba > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(lba);
}

/** True if block 0 says that the disk has a GPT, and is not to be touched by those who do not know what that is. */
export function hasProtectiveMbr(block: Uint8Array): boolean {
  const view = viewOf(block);
  if (view.getUint16(510, true) !== MBR_SIGNATURE) return false;
  for (let entry = MBR_ENTRIES; entry < 510; entry += MBR_ENTRY_BYTES)
    if (block[entry + 4] === PROTECTIVE && view.getUint32(entry + 8, true) === 1) return true;
  return false;
}

/** The header in block `lba` of a device with so many blocks. Throws GptError. */
export function parseHeader(block: Uint8Array, lba: number, num_blocks: number): GptHeader {
  const view = viewOf(block);
  const signature = String.fromCharCode(...block.subarray(0, 8));
  if (signature !== SIGNATURE) throw new GptError(`block ${lba} does not begin with "${SIGNATURE}"`);
  const size = view.getUint32(12, true);
  if (size < HEADER_BYTES || size > block.length)
    throw new GptError(`its header has ${size} bytes, not ${HEADER_BYTES} to ${block.length}`);
  const copy = block.slice(0, size);
  copy.fill(0, 16, 20);
  checkCrc('header', view.getUint32(16, true), crc32(copy));
  const my_lba = lbaAt(view, 24);
  if (my_lba !== lba)
    throw new GptError(`its header says that it is in block ${my_lba}, but it is in ${lba}`);
  const header: GptHeader = {
    first_usable_lba: lbaAt(view, 40),
    last_usable_lba: lbaAt(view, 48),
    disk_guid: guidText(block, 56),
    partition_entry_lba: lbaAt(view, 72),
    num_partition_entries: view.getUint32(80, true),
    size_of_partition_entry: view.getUint32(84, true),
    partition_entry_array_crc32: view.getUint32(88, true),
  };
  checkHeader(header, num_blocks, block.length);
  return header;
}

function checkCrc(what: string, said: number, is: number): void {
  const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
  if (said !== is) throw new GptError(`the CRC of its ${what} is ${hex(is)}, but should be ${hex(said)}`);
}

function checkHeader(header: GptHeader, num_blocks: number, block_size: number): void {
  const { first_usable_lba: first, last_usable_lba: last, partition_entry_lba: at } = header;
  const { num_partition_entries: entries, size_of_partition_entry: size } = header;
  if (first > last || first < 2 || last >= num_blocks)
    throw new GptError(`its usable blocks ${first} to ${last} are not within 2 to ${num_blocks - 1}`);
  if (size < ENTRY_BYTES || size > ENTRY_BYTES_MAX || !Number.isInteger(Math.log2(size)))
    throw new GptError(
      `its entries have ${size} bytes, not a power of two from ${ENTRY_BYTES} to ${ENTRY_BYTES_MAX}`,
    );
  if (entries < 1 || entries > ENTRIES_MAX)
    throw new GptError(`it has ${entries} entries, not 1 to ${ENTRIES_MAX}`);
  const end = at + arrayBlocks(header, block_size);
  if (at < 2 || end > num_blocks || (at <= last && end > first))
    throw new GptError(
      `its entries in blocks ${at} to ${end - 1} are not on the disk, or among the usable blocks ${first} to ${last}`,
    );
}

/** How many blocks the array of entries takes. */
export function arrayBlocks(header: GptHeader, block_size: number): number {
  return Math.ceil((header.num_partition_entries * header.size_of_partition_entry) / block_size);
}

/** The partitions in use, from the bytes of the array's blocks. Throws GptError. */
export function parseEntries(header: GptHeader, bytes: Uint8Array): GptPartition[] {
  const { num_partition_entries: entries, size_of_partition_entry: size } = header;
  const array = bytes.subarray(0, entries * size);
  checkCrc('entries', header.partition_entry_array_crc32, crc32(array));
  const view = viewOf(array);
  const found: GptPartition[] = [];
  for (let index = 0; index < entries; index++) {
    const at = index * size;
    const type_guid = guidText(array, at);
    if (type_guid === UNUSED) continue;
    found.push({
      number: index + 1,
      type_guid,
      unique_guid: guidText(array, at + 16),
      first_lba: lbaAt(view, at + 32),
      last_lba: lbaAt(view, at + 40),
      name: nameAt(view, at + 56),
    });
  }
  return found;
}

/** A name in UTF-16, up to its first NUL. */
function nameAt(view: DataView, at: number): string {
  let name = '';
  for (let i = 0; i < NAME_CHARACTERS; i++) {
    const unit = view.getUint16(at + 2 * i, true);
    if (unit === 0) break;
    name += String.fromCharCode(unit);
  }
  return name;
}
