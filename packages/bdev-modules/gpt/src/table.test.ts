import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Image } from '../test/image.ts';
import { arrayBlocks, GptError, guidText, hasProtectiveMbr, parseEntries, parseHeader } from './table.ts';

const hex = (text: string, length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  bytes.set(Buffer.from(text, 'hex'));
  return bytes;
};

/** What sfdisk 2.38 wrote to a disk of 4096 blocks of 512 bytes. */
const sfdisk = {
  primary:
    '4546492050415254000001005c000000e018627c000000000100000000000000ff0f0000000000002200000000000000' +
    'de0f0000000000001111111122223333444455555555555502000000000000008000000080000000304cc852',
  backup:
    '4546492050415254000001005c000000223f1a8b00000000ff0f00000000000001000000000000002200000000000000' +
    'de0f00000000000011111111222233334444555555555555df0f0000000000008000000080000000304cc852',
  entries: [
    '4e9927655a2cec4e96138f5944074e8baaaaaaaa0100020003040506070809aa400000000000000027040000000000000000000000000000' +
      '64006100740061002000e900',
    'af3dc60f838472478e793d69d8477de4bbbbbbbb0100020003040506070809bb4c040000000000003f060000000000000000000000000000' +
      '6c0069006e0075007800',
    'bd22527c5d8f87409c00bf9843c7b58ccccccccc0100020003040506070809cca40600000000000008070000000000000000000000000000' +
      '6f006c006400',
  ],
};

describe('a GUID partition table', () => {
  it('is read as sfdisk wrote it, from either end of the disk', () => {
    const array = new Uint8Array(128 * 128);
    sfdisk.entries.forEach((entry, index) => {
      array.set(hex(entry, 128), index * 128);
    });
    for (const [text, lba, entries] of [
      [sfdisk.primary, 1, 2],
      [sfdisk.backup, 4095, 4063],
    ] as const) {
      const header = parseHeader(hex(text, 512), lba, 4096);
      expect(header).toMatchObject({
        disk_guid: '11111111-2222-3333-4444-555555555555',
        first_usable_lba: 34,
        last_usable_lba: 4062,
        partition_entry_lba: entries,
        num_partition_entries: 128,
        size_of_partition_entry: 128,
      });
      expect(arrayBlocks(header, 512)).toBe(32);
      expect(parseEntries(header, array)).toEqual([
        {
          number: 1,
          type_guid: '6527994e-2c5a-4eec-9613-8f5944074e8b',
          unique_guid: 'aaaaaaaa-0001-0002-0304-0506070809aa',
          first_lba: 64,
          last_lba: 1063,
          name: 'data é',
        },
        {
          number: 2,
          type_guid: '0fc63daf-8483-4772-8e79-3d69d8477de4',
          unique_guid: 'bbbbbbbb-0001-0002-0304-0506070809bb',
          first_lba: 1100,
          last_lba: 1599,
          name: 'linux',
        },
        {
          number: 3,
          type_guid: '7c5222bd-8f5d-4087-9c00-bf9843c7b58c',
          unique_guid: 'cccccccc-0001-0002-0304-0506070809cc',
          first_lba: 1700,
          last_lba: 1800,
          name: 'old',
        },
      ]);
    }
  });

  it('is announced by a protective MBR', () => {
    const block = new Uint8Array(512);
    block.set(Buffer.from('00000200eeffffff01000000ff0f0000', 'hex'), 446);
    expect(hasProtectiveMbr(block)).toBe(false);
    block.set([0x55, 0xaa], 510);
    expect(hasProtectiveMbr(block)).toBe(true);
    // In any of the four entries, but not from any block.
    block.copyWithin(494, 446, 462);
    block.fill(0, 446, 494);
    expect(hasProtectiveMbr(block)).toBe(true);
    block[494 + 8] = 2;
    expect(hasProtectiveMbr(block)).toBe(false);
    block[494 + 8] = 1;
    block[494 + 4] = 0x83;
    expect(hasProtectiveMbr(block)).toBe(false);
  });

  it('has GUIDs whose first three fields are little endian', () => {
    expect(
      guidText(
        Uint8Array.from({ length: 16 }, (_, i) => i),
        0,
      ),
    ).toBe('03020100-0504-0706-0809-0a0b0c0d0e0f');
  });

  it('with any damage is read right or refused with a GptError', () => {
    const partitions = [
      {
        type: '6527994e-2c5a-4eec-9613-8f5944074e8b',
        unique: 'aaaaaaaa-0001-0002-0304-0506070809aa',
        first: 64,
        last: 99,
      },
    ];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(511), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (damage, seal) => {
          const image = new Image({ num_blocks: 256, partitions });
          for (const [at, value] of damage) image.bytes[512 + at] = value;
          const size = image.view.getUint32(512 + 12, true);
          if (seal && size <= 512) image.sealHeader(1);
          try {
            const header = parseHeader(image.bytes.slice(512, 1024), 1, 256);
            const blocks = arrayBlocks(header, 512);
            expect(header.partition_entry_lba + blocks).toBeLessThanOrEqual(256);
            const at = header.partition_entry_lba * 512;
            parseEntries(header, image.bytes.slice(at, at + blocks * 512));
          } catch (error) {
            expect(error).toBeInstanceOf(GptError);
            expect((error as Error).message.length).toBeGreaterThan(10);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
