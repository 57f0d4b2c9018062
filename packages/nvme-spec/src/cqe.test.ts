import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as cqe from './cqe.ts';
import { STATUS_DNR, status, statusCode, statusCrd, statusIsDnr, statusSc, statusSct } from './status.ts';
import * as codes from './status-codes.ts';
import { statusText } from './status-text.ts';

const memory = new Uint8Array(32);
const view = new DataView(memory.buffer);

test('a completion as bytes', () => {
  const invalidOpcode = status(codes.statusType.generic, codes.genericStatus.invalidOpcode, true);
  cqe.encodeCqe(view, 3, 0x0403_0201, 0x0807_0605, 0x0a09, 0x0c0b, 0x0e0d, invalidOpcode, 1);
  expect([...memory.slice(3, 19)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0x03, 0x80]);
});

test('every field survives a round trip', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const u16 = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(
      fc.tuple(u32, u32, u16, u16, u16, fc.integer({ min: 0, max: 0x7fff }), fc.integer({ min: 0, max: 1 })),
      (fields) => {
        cqe.encodeCqe(view, 1, ...fields);
        expect([
          cqe.cqeDw0(view, 1),
          cqe.cqeDw1(view, 1),
          cqe.cqeSqhd(view, 1),
          cqe.cqeSqid(view, 1),
          cqe.cqeCid(view, 1),
          cqe.cqeStatus(view, 1),
          cqe.cqePhase(view, 1),
        ]).toEqual(fields);
        expect(cqe.cqeResult64(view, 1)).toBe(fields[0] + fields[1] * 2 ** 32);
      },
    ),
  );
});

test('status fields', () => {
  const value = status(codes.statusType.media, codes.mediaStatus.compareFailure, true) | (2 << 11);
  expect(value).toBe(0x5285);
  expect(statusSct(value)).toBe(2);
  expect(statusSc(value)).toBe(0x85);
  expect(statusCrd(value)).toBe(2);
  expect(statusIsDnr(value)).toBe(true);
  expect(statusCode(value)).toBe(status(codes.statusType.media, codes.mediaStatus.compareFailure));
  expect(status(codes.statusType.generic, codes.genericStatus.success)).toBe(0);
  expect(STATUS_DNR << 1).toBe(0x8000);
});

test('every status has a name of its own within its type', () => {
  const tables: [number, Readonly<Record<string, number>>, boolean][] = [
    [codes.statusType.generic, codes.genericStatus, false],
    [codes.statusType.commandSpecific, codes.commandStatus, false],
    [codes.statusType.commandSpecific, codes.fabricsStatus, true],
    [codes.statusType.media, codes.mediaStatus, false],
    [codes.statusType.path, codes.pathStatus, false],
  ];
  for (const [sct, table, fabrics] of tables) {
    const texts = Object.values(table).map((sc) => statusText(sct, sc, fabrics));
    expect(new Set(texts).size).toBe(texts.length);
    for (const text of texts) expect(text).not.toMatch(/Unknown/);
  }
  expect(statusText(0, 0x80)).toBe('LBA Out of Range');
  expect(statusText(1, 0x82)).toBe('Attempted Write to Read Only Range');
  expect(statusText(1, 0x82, true)).toBe('Connect Invalid Parameters');
  expect(statusText(1, 0x09, true)).toBe('Invalid Log Page');
  expect(statusText(4, 0xf0)).toBe('Unknown Status (sct 4h, sc f0h)');
  expect(statusText(7, 0x01)).toBe('Vendor Specific Status 1h');
});
