import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as admin from './admin-command.ts';
import * as copy from './copy-command.ts';
import * as dsm from './dsm-command.ts';
import { adminOpcode, nvmOpcode } from './opcodes.ts';
import * as rw from './rw-command.ts';
import { sglId, sglSubtype, sglSubtypeOf, sglType, sglTypeOf } from './sgl.ts';
import * as s from './sqe.ts';

const memory = new Uint8Array(256);
const view = new DataView(memory.buffer);
const AT = 9; // commands start anywhere in a receive area

test('a read as bytes', () => {
  memory.fill(0xee);
  s.beginSqe(view, AT, nvmOpcode.read, 0x1234, 7, s.psdt.sgl, s.fuse.first);
  s.setSqeSgl1(view, AT, sglId.transportDataBlock, 0, 0x2000);
  rw.setRwRange(view, AT, 0x1_0000_0002, 16, rw.rwFlag.fua);
  const bytes = [...memory.slice(AT, AT + 64)];
  const expected = Array(64).fill(0);
  expected[0] = 0x02; // opcode
  expected[1] = 0x41; // PSDT 01b, FUSE 01b
  expected[2] = 0x34;
  expected[3] = 0x12;
  expected[4] = 7; // NSID
  expected[33] = 0x20; // SGL length
  expected[39] = 0x5a; // SGL type 5h, subtype Ah
  expected[40] = 2; // SLBA
  expected[44] = 1;
  expected[48] = 15; // NLB, 0's based
  expected[51] = 0x40; // FUA
  expect(bytes).toEqual(expected);
  expect([memory[AT - 1], memory[AT + 64]]).toEqual([0xee, 0xee]);
});

test('every field survives a round trip', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const u64 = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(
      fc.record({
        opcode: fc.integer({ min: 0, max: 0xff }),
        cid: fc.integer({ min: 0, max: 0xffff }),
        nsid: u32,
        fuse: fc.integer({ min: 0, max: 3 }),
        psdt: fc.integer({ min: 0, max: 3 }),
        cdw2: u32,
        cdw3: u32,
        mptr: u64,
        prp1: u64,
        prp2: u64,
        cdw10: u32,
        cdw15: u32,
      }),
      (f) => {
        memory.fill(0xee);
        s.encodeSqe(view, AT, f);
        expect({
          opcode: s.sqeOpcode(view, AT),
          cid: s.sqeCid(view, AT),
          nsid: s.sqeNsid(view, AT),
          fuse: s.sqeFuse(view, AT),
          psdt: s.sqePsdt(view, AT),
          cdw2: s.sqeCdw(view, AT, 2),
          cdw3: s.sqeCdw(view, AT, 3),
          mptr: s.sqeMptr(view, AT),
          prp1: s.sqePrp1(view, AT),
          prp2: s.sqePrp2(view, AT),
          cdw10: s.sqeCdw(view, AT, 10),
          cdw15: s.sqeCdw(view, AT, 15),
        }).toEqual(f);
        expect(s.sqeCdw(view, AT, 12)).toBe(0);
      },
    ),
  );
});

test('SGL entry 1', () => {
  s.encodeSqe(view, AT, { opcode: 1, sgl1: { identifier: sglId.inCapsule, address: 2 ** 40, length: 512 } });
  expect(s.sqePsdt(view, AT)).toBe(s.psdt.sgl);
  expect(s.sqeSgl1Identifier(view, AT)).toBe(sglId.inCapsule);
  expect(s.sqeSgl1Address(view, AT)).toBe(2 ** 40);
  expect(s.sqeSgl1Length(view, AT)).toBe(512);
  expect(sglTypeOf(view, AT + s.sqeOffset.sgl1)).toBe(sglType.dataBlock);
  expect(sglSubtypeOf(view, AT + s.sqeOffset.sgl1)).toBe(sglSubtype.offset);
});

test('ranges of logical blocks', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      fc.integer({ min: 1, max: 65536 }),
      fc.boolean(),
      fc.integer({ min: 0, max: 15 }),
      (slba, blocks, fua, prinfo) => {
        s.beginSqe(view, AT, nvmOpcode.write, 1, 1, 0, 0);
        rw.setRwRange(view, AT, slba, blocks, (fua ? rw.rwFlag.fua : 0) | (prinfo << 26));
        expect(rw.rwSlba(view, AT)).toBe(slba);
        expect(rw.rwBlocks(view, AT)).toBe(blocks);
        expect(rw.rwFua(view, AT)).toBe(fua);
        expect(rw.rwPrinfo(view, AT)).toBe(prinfo);
        expect([rw.rwLr(view, AT), rw.rwDeac(view, AT), rw.rwStc(view, AT)]).toEqual([false, false, false]);
      },
    ),
  );
});

test('an LBA above 2^53 stays above every namespace', () => {
  s.encodeSqe(view, AT, { opcode: nvmOpcode.read, cdw10: 0xffff_ffff, cdw11: 0xffff_ffff });
  expect(rw.rwSlba(view, AT)).toBeGreaterThan(Number.MAX_SAFE_INTEGER);
});

test('flags, tags and directives where the figures put them', () => {
  s.encodeSqe(view, AT, {
    opcode: nvmOpcode.writeZeroes,
    cdw12: 0xbf20_ffff,
    cdw13: 0xabcd_0000,
    cdw14: 0x1122_3344,
    cdw15: 0xaaaa_bbbb,
  });
  expect(rw.rwBlocks(view, AT)).toBe(65536);
  expect([rw.rwLr(view, AT), rw.rwFua(view, AT), rw.rwDeac(view, AT), rw.rwStc(view, AT)]).toEqual([
    true,
    false,
    true,
    true,
  ]);
  expect(rw.rwPrinfo(view, AT)).toBe(0xf);
  expect(rw.rwDtype(view, AT)).toBe(2);
  expect(rw.rwDspec(view, AT)).toBe(0xabcd);
  expect(rw.rwReferenceTag(view, AT)).toBe(0x1122_3344);
  expect(rw.rwApplicationTag(view, AT)).toBe(0xbbbb);
  expect(rw.rwApplicationTagMask(view, AT)).toBe(0xaaaa);
});

test('Dataset Management', () => {
  s.encodeSqe(view, AT, { opcode: nvmOpcode.datasetManagement, cdw10: 255, cdw11: 0x4 });
  expect(dsm.dsmRanges(view, AT)).toBe(dsm.DSM_MAX_RANGES);
  expect(dsm.dsmAttributes(view, AT)).toBe(dsm.dsmAttribute.deallocate);
  dsm.encodeDsmRange(view, 100, 2 ** 50 + 3, 0xffff_ffff, 0x0102_0304);
  expect([...memory.slice(100, 116)]).toEqual([4, 3, 2, 1, 255, 255, 255, 255, 3, 0, 0, 0, 0, 0, 4, 0]);
  expect(dsm.dsmRangeSlba(view, 100)).toBe(2 ** 50 + 3);
  expect(dsm.dsmRangeBlocks(view, 100)).toBe(0xffff_ffff);
  expect(dsm.dsmRangeContext(view, 100)).toBe(0x0102_0304);
});

test('Copy', () => {
  s.beginSqe(view, AT, nvmOpcode.copy, 1, 1, 0, 0);
  copy.setCopyDestination(
    view,
    AT,
    2 ** 33,
    3,
    copy.copyFormat.format1,
    rw.rwFlag.fua | (0xa << 12) | (0x5 << 26),
  );
  expect(copy.copySdlba(view, AT)).toBe(2 ** 33);
  expect(copy.copyRanges(view, AT)).toBe(3);
  expect(copy.copyDescriptorFormat(view, AT)).toBe(1);
  expect(copy.copyPrinfor(view, AT)).toBe(0xa);
  expect(copy.copyPrinfow(view, AT)).toBe(0x5);
  expect(copy.copyFua(view, AT)).toBe(true);
  expect([0, 1, 2].map(copy.copyRangeSize)).toEqual([32, 40, 0]);
  memory.fill(0xee);
  copy.encodeCopyRange(view, 100, copy.copyFormat.format0, 0x99, 65536);
  expect(copy.copyRangeSlba(view, 100)).toBe(0x99);
  expect(copy.copyRangeBlocks(view, 100)).toBe(65536);
  expect([memory[108], memory[116], memory[117], memory[131], memory[132]]).toEqual([
    0x99, 0xff, 0xff, 0, 0xee,
  ]);
});

test('Identify, Get Log Page and features', () => {
  s.encodeSqe(view, AT, { opcode: adminOpcode.identify, ...admin.identifyDwords(0x06, 2, 0xfffe) });
  expect([admin.identifyCns(view, AT), admin.identifyCsi(view, AT), admin.identifyCntid(view, AT)]).toEqual([
    0x06, 2, 0xfffe,
  ]);

  const dwords = admin.logPageDwords(0x70, 2 ** 18 + 4, 2 ** 40 + 1024, {
    lsp: 0x41,
    rae: true,
    lsi: 9,
    csi: 2,
  });
  expect(dwords.cdw10).toBe(0x0000_c170);
  s.encodeSqe(view, AT, { opcode: adminOpcode.getLogPage, ...dwords });
  expect(admin.logPageLid(view, AT)).toBe(0x70);
  expect(admin.logPageLsp(view, AT)).toBe(0x41);
  expect(admin.logPageRae(view, AT)).toBe(true);
  expect(admin.logPageLength(view, AT)).toBe(2 ** 18 + 4);
  expect(admin.logPageOffset(view, AT)).toBe(2 ** 40 + 1024);
  expect(admin.logPageLsi(view, AT)).toBe(9);
  expect(admin.logPageCsi(view, AT)).toBe(2);
  expect(admin.logPageOt(view, AT)).toBe(false);
  s.setSqeCdw(view, AT, 14, 0x80_0000);
  expect(admin.logPageOt(view, AT)).toBe(true);
  s.setSqeCdw(view, AT, 10, 0xffff_0002);
  s.setSqeCdw(view, AT, 11, 0xffff);
  expect(admin.logPageLength(view, AT)).toBe(2 ** 34);

  s.encodeSqe(view, AT, { opcode: adminOpcode.setFeatures, cdw10: 0x8000_030b });
  expect([admin.featureFid(view, AT), admin.featureSel(view, AT), admin.featureSv(view, AT)]).toEqual([
    0x0b,
    admin.featureSelect.supportedCapabilities,
    true,
  ]);
});

test('Abort and the creation of queues', () => {
  s.encodeSqe(view, AT, { opcode: adminOpcode.abort, cdw10: 0x1234_0005 });
  expect([admin.abortSqid(view, AT), admin.abortCid(view, AT)]).toEqual([5, 0x1234]);
  s.encodeSqe(view, AT, { opcode: adminOpcode.createIoSq, cdw10: 0xffff_0003, cdw11: 0x0004_0005 });
  expect(admin.queueQid(view, AT)).toBe(3);
  expect(admin.queueEntries(view, AT)).toBe(65536);
  expect([admin.queuePc(view, AT), admin.queueQprio(view, AT), admin.queueCqid(view, AT)]).toEqual([
    true,
    2,
    4,
  ]);
  s.encodeSqe(view, AT, { opcode: adminOpcode.createIoCq, cdw10: 0x000f_0001, cdw11: 0x0007_0003 });
  expect([admin.queueIen(view, AT), admin.queueIv(view, AT)]).toEqual([true, 7]);
});
