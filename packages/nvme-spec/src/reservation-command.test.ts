import { expect, test } from 'vitest';
import * as r from './reservation-command.ts';

test('dword 10 of the commands, as in their figures', () => {
  expect(r.encodeReservationFields({ action: 2, iekey: true, cptpl: r.reservationCptpl.set })).toBe(
    0xc000_000a,
  );
  expect(r.encodeReservationFields({ action: 1, rtype: 6 })).toBe(0x601);
  expect(r.decodeReservationFields(0x8000_050b)).toEqual({ action: 3, iekey: true, rtype: 5, cptpl: 2 });
});

test('keys are 64 bits, little-endian', () => {
  const data = r.encodeReservationKeys(0x0102_0304_0506_0708n, 0xffff_ffff_ffff_fffen);
  expect([...data.slice(0, 9)]).toEqual([8, 7, 6, 5, 4, 3, 2, 1, 0xfe]);
  expect(r.reservationKey(data, 8)).toBe(0xffff_ffff_ffff_fffen);
});

test('the extended reservation status at the offsets of its figures', () => {
  const hostid = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i);
  const status: r.ReservationStatus = {
    ...{ generation: 0x0102_0304, rtype: r.reservationType.exclusiveAccess, ptpls: 1 },
    registered: [
      { cntlid: 0xffff, holder: true, rkey: 0x1122_3344_5566_7788n, hostid },
      { cntlid: 0x0102, holder: false, rkey: 5n, hostid: hostid.toReversed() },
    ],
  };
  const bytes = r.encodeReservationStatus(status);
  expect(bytes).toHaveLength(192);
  expect([...bytes.slice(0, 12)]).toEqual([4, 3, 2, 1, 2, 2, 0, 0, 0, 1, 0, 0]);
  expect([...bytes.slice(64, 82)]).toEqual([
    ...[0xff, 0xff, 1, 0, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xa0, 0xa1],
  ]);
  expect([...bytes.slice(128, 131)]).toEqual([2, 1, 0]);
  expect(r.decodeReservationStatus(bytes)).toEqual(status);
  expect(() => r.decodeReservationStatus(bytes.subarray(0, 191))).toThrow('cut off');
});
