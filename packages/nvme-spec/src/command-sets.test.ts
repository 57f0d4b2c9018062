import { expect, test } from 'vitest';
import { identifyControllerZns, identifyNamespaceZns, ZONES_UNLIMITED } from './identify-zns.ts';
import { decodeKvList, identifyNamespaceKv, kvKeyDwords } from './kv-command.ts';
import { decodeZoneReport, encodeZoneDescriptor, encodeZoneReportHeader, zoneState } from './zone-command.ts';

const hex = (bytes: Uint8Array, from: number, to: number) =>
  Buffer.from(bytes.subarray(from, to)).toString('hex');

test('Identify Namespace of zoned namespaces, at its offsets', () => {
  const out = new Uint8Array(4096).fill(0xff);
  identifyNamespaceZns.encode(
    {
      zoc: 1,
      ozcs: 2,
      mar: 3,
      mor: ZONES_UNLIMITED,
      rrl: 5,
      frl: 6,
      lbafe: [{ zsze: 0x1_0000_0002, zdes: 4 }],
    },
    out,
  );
  expect(hex(out, 0, 20)).toBe('0100020003000000ffffffff0500000006000000');
  expect(hex(out, 2816, 2816 + 32)).toBe('020000000100000004'.padEnd(64, '0'));
  expect(identifyNamespaceZns.decode(out)).toMatchObject({ mor: ZONES_UNLIMITED });
  expect(identifyNamespaceZns.decode(out).lbafe[0]).toEqual({ zsze: 0x1_0000_0002, zdes: 4 });
  identifyControllerZns.encode({ zasl: 7 }, out);
  expect(hex(out, 0, 4)).toBe('07000000');
});

test('Identify Namespace of key value namespaces, at its offsets', () => {
  const out = new Uint8Array(4096);
  identifyNamespaceKv.encode(
    {
      ...{ nsze: 0x11, nuse: 0x22, nsfeat: 3, nkvf: 4, nmic: 5, rescap: 6, fpi: 7, kvfc: 8, novg: 0x99 },
      ...{ anagrpid: 0xaa, nsattr: 1, nvmsetid: 0xbb, endgid: 0xcc },
      nguid: Uint8Array.from({ length: 16 }, (_, i) => i),
      eui64: new Uint8Array(8).fill(0xee),
      kvf: [{ kvkml: 16, kvvml: 0x1234_5678, mnks: 9 }],
    },
    out,
  );
  expect(hex(out, 0, 32)).toBe(`11${'0'.repeat(14)}${'0'.repeat(16)}22${'0'.repeat(14)}0304050607080000`);
  expect(hex(out, 32, 48)).toBe('99000000aa00000000000001bb00cc00');
  expect(hex(out, 48, 72)).toBe('000102030405060708090a0b0c0d0e0feeeeeeeeeeeeeeee');
  expect(hex(out, 72, 88)).toBe('10000000785634120900000000000000');
});

test('a report of zones', () => {
  const bytes = new Uint8Array(64 * 3).fill(0xff);
  const view = new DataView(bytes.buffer);
  encodeZoneReportHeader(view, 0, 5);
  const open = { zs: zoneState.explicitlyOpened, zcap: 0x30, zslba: 0x40, wp: 0x51 };
  const full = { zs: zoneState.full, zcap: 0x30, zslba: 0x80, wp: null };
  encodeZoneDescriptor(view, 64, open);
  encodeZoneDescriptor(view, 128, full);
  expect(hex(bytes, 0, 64)).toBe('05'.padEnd(128, '0'));
  expect(hex(bytes, 64, 128)).toBe(
    `02300000${'0'.repeat(8)}30${'0'.repeat(14)}40${'0'.repeat(14)}51`.padEnd(128, '0'),
  );
  expect(hex(bytes, 128, 160)).toBe(
    `02e00000${'0'.repeat(8)}30${'0'.repeat(14)}80${'0'.repeat(14)}${'f'.repeat(16)}`,
  );
  expect(decodeZoneReport(bytes)).toEqual({ zones: 5, descriptors: [open, full] });
});

test('keys in commands and lists', () => {
  const key = (text: string) => new TextEncoder().encode(text);
  expect(kvKeyDwords(key('abcdefghijklmnop'))).toEqual({
    ...{ cdw2: 0x6463_6261, cdw3: 0x6867_6665, cdw14: 0x6c6b_6a69, cdw15: 0x706f_6e6d },
  });
  expect(kvKeyDwords(key('abcde'))).toEqual({ cdw2: 0x6463_6261, cdw3: 0x65, cdw14: 0, cdw15: 0 });
  expect(() => kvKeyDwords(new Uint8Array(17))).toThrow('17 bytes');
  const list = Uint8Array.from(
    Buffer.from('02000000' + '0100' + '61' + '00' + '0400' + '62636465' + '0000', 'hex'),
  );
  expect(decodeKvList(list)).toEqual([key('a'), key('bcde')]);
  expect(() => decodeKvList(list.subarray(0, 11))).toThrow('cut off');
});
