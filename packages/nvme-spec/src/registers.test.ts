import fc from 'fast-check';
import { expect, test } from 'vitest';
import { capCrms, capCss, decodeCap, encodeCap } from './cap.ts';
import * as r from './registers.ts';

test('CAP of a Fabrics controller', () => {
  // MQES 127, CQR, TO 30 (15 s), CSS NVM, MPSMIN = MPSMAX = 0, CRMS.CRWMS
  const cap = encodeCap({ mqes: 127, cqr: true, to: 30, css: capCss.nvm, crms: capCrms.withMedia });
  expect(cap).toEqual({ lo: 0x1e01_007f, hi: 0x0800_0020 });
});

test('CAP: every bit survives, reserved ones (23:19, 63:61) do not', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.integer({ min: 0, max: 0xffff_ffff }),
      (lo, hi) => {
        expect(encodeCap(decodeCap(lo, hi))).toEqual({
          lo: (lo & 0xff07_ffff) >>> 0,
          hi: (hi & 0x1fff_ffff) >>> 0,
        });
      },
    ),
  );
});

test('CC as Linux writes it', () => {
  const cc = r.encodeCc({ en: true, css: r.ccCss.nvm, iosqes: 6, iocqes: 4 });
  expect(cc).toBe(0x0046_0001);
  expect(r.decodeCc(0x0046_4001)).toMatchObject({
    en: true,
    shn: r.shn.normal,
    iosqes: 6,
    iocqes: 4,
    mps: 0,
  });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) => {
      expect(r.encodeCc(r.decodeCc(value))).toBe((value & 0x01ff_fff1) >>> 0);
    }),
  );
});

test('CSTS, AQA, CRTO, VS', () => {
  expect(r.encodeCsts({ rdy: true, shst: r.shst.complete })).toBe(0x9);
  for (let value = 0; value < 64; value++) expect(r.encodeCsts(r.decodeCsts(value))).toBe(value);
  expect(r.encodeAqa(32, 4096)).toBe(0x0fff_001f);
  expect(r.decodeAqa(0x0fff_001f)).toEqual({ asqEntries: 32, acqEntries: 4096 });
  expect(r.decodeCrto(r.encodeCrto(30, 0xffff))).toEqual({ crwmt: 30, crimt: 0xffff });
  expect(r.version(1, 4)).toBe(0x0001_0400);
  expect(r.versionText(r.version(2, 0))).toBe('2.0');
  expect(r.versionText(r.version(1, 2, 1))).toBe('1.2.1');
});
