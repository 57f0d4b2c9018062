import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkPduHeader, type PduRules, pduRules } from './tcp-check.ts';
import * as data from './tcp-data.ts';
import * as ic from './tcp-ic.ts';
import * as pdu from './tcp-pdu.ts';
import * as term from './tcp-term-req.ts';

const { pduFlag, pduHeaderLength, pduType } = pdu;
const memory = new Uint8Array(256);
const view = new DataView(memory.buffer);
const AT = 3;
const BOTH = pduFlag.hdgst | pduFlag.ddgst;

const controller: PduRules = {
  controller: true,
  digests: 0,
  alignment: 0,
  capsuleDataMax: 8192,
  dataMax: 131072,
};
const host: PduRules = { ...controller, controller: false };

/** FES and FEI of the verdict on a header, or 'ok'. */
function verdict(rules: PduRules, type: number, flags: number, hlen: number, pdo: number, plen: number) {
  pdu.encodePduHeader(view, AT, type, flags, hlen, pdo, plen);
  const error = checkPduHeader(view, AT, rules);
  return error === term.PDU_OK ? 'ok' : [term.pduErrorFes(error), term.pduErrorFei(error)];
}

test('ICReq and ICResp', () => {
  memory.fill(0xee);
  ic.encodeIcReq(view, AT, { pfv: 0, hpda: 3, dgst: BOTH, maxr2t: 1 });
  expect([...memory.slice(AT, AT + 17)]).toEqual([0, 0, 128, 0, 128, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0]);
  expect([memory[AT + 127], memory[AT + 128]]).toEqual([0, 0xee]);
  expect(ic.decodeIcReq(view, AT)).toEqual({ pfv: 0, hpda: 3, dgst: 3, maxr2t: 1 });
  expect(checkPduHeader(view, AT, controller)).toBe(0);
  expect(ic.checkIcReq(view, AT)).toBe(0);
  view.setUint8(AT + 10, 32);
  expect(ic.checkIcReq(view, AT)).toBe(term.pduError(term.fes.invalidHeaderField, 10));
  view.setUint16(AT + 8, 1, true);
  expect(ic.checkIcReq(view, AT)).toBe(term.pduError(term.fes.invalidHeaderField, 8));

  const resp = { pfv: 0, cpda: 0, dgst: pduFlag.hdgst, maxh2cdata: 131072 };
  ic.encodeIcResp(view, AT, resp);
  expect(ic.decodeIcResp(view, AT)).toEqual(resp);
  expect([...memory.slice(AT + 12, AT + 16)]).toEqual([0, 0, 2, 0]);
  expect(checkPduHeader(view, AT, host)).toBe(0);
  expect(ic.checkIcResp(view, AT, BOTH)).toBe(0);
  expect(term.pduErrorFei(ic.checkIcResp(view, AT, 0))).toBe(11);
  ic.encodeIcResp(view, AT, { ...resp, maxh2cdata: 4098 });
  expect(term.pduErrorFei(ic.checkIcResp(view, AT, BOTH))).toBe(12);
});

test('data PDUs and R2T as bytes', () => {
  memory.fill(0xee);
  data.encodeC2hData(view, AT, pduFlag.last | pduFlag.success, 24, 0x1234, 0, 4096);
  expect([...memory.slice(AT, AT + 25)]).toEqual([
    7, 0x0c, 24, 24, 0x18, 0x10, 0, 0, 0x34, 0x12, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0xee,
  ]);
  data.encodeR2t(view, AT, pduFlag.hdgst, 0xffff, 7, 512, 1024);
  expect([...memory.slice(AT, AT + 24)]).toEqual([
    9, 1, 24, 0, 28, 0, 0, 0, 0xff, 0xff, 7, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0,
  ]);
  data.encodeH2cData(view, AT, BOTH | pduFlag.last, 28, 5, 6, 512, 1000);
  expect(pdu.pduPlen(view, AT)).toBe(28 + 1000 + 4);
  expect([data.pduCccid(view, AT), data.pduTtag(view, AT)]).toEqual([5, 6]);
  expect([data.pduDatao(view, AT), data.pduDatal(view, AT)]).toEqual([512, 1000]);
  expect(pdu.pduDataLength(view, AT)).toBe(1000);
  expect(data.checkDataLength(view, AT)).toBe(0);
  view.setUint32(AT + 16, 999, true);
  expect(data.checkDataLength(view, AT)).toBe(term.pduError(term.fes.invalidHeaderField, 16));
});

test('capsules', () => {
  data.encodeCapsuleCmdHeader(view, AT, 0, 0, 0);
  expect([...memory.slice(AT, AT + 8)]).toEqual([4, 0, 72, 0, 72, 0, 0, 0]);
  expect(pdu.pduDataLength(view, AT)).toBe(0);
  data.encodeCapsuleCmdHeader(view, AT, BOTH, 76, 4096);
  expect([pdu.pduPdo(view, AT), pdu.pduPlen(view, AT), pdu.pduDataLength(view, AT)]).toEqual([
    76, 4176, 4096,
  ]);
  data.encodeCapsuleRespHeader(view, AT, pduFlag.hdgst);
  expect([...memory.slice(AT, AT + 8)]).toEqual([5, 1, 24, 0, 28, 0, 0, 0]);
});

test('where data starts', () => {
  expect(pdu.pduDataOffset(24, 0, 0)).toBe(24);
  expect(pdu.pduDataOffset(24, pduFlag.hdgst, 0)).toBe(28);
  expect(pdu.pduDataOffset(24, pduFlag.hdgst, 3)).toBe(32);
  expect(pdu.pduDataOffset(72, 0, 3)).toBe(80);
  expect(pdu.pduDataOffset(72, 0, 31)).toBe(128);
});

test('headers that are in order', () => {
  expect(verdict(controller, pduType.capsuleCmd, 0, 72, 0, 72)).toBe('ok');
  expect(verdict(controller, pduType.capsuleCmd, 0, 72, 72, 72 + 8192)).toBe('ok');
  expect(verdict(controller, pduType.h2cData, pduFlag.last, 24, 24, 24 + 512)).toBe('ok');
  expect(verdict(controller, pduType.h2cTermReq, 0, 24, 0, 152)).toBe('ok');
  expect(verdict(host, pduType.capsuleResp, 0, 24, 0, 24)).toBe('ok');
  expect(verdict(host, pduType.r2t, 0, 24, 0, 24)).toBe('ok');
  expect(verdict(host, pduType.c2hData, pduFlag.last | pduFlag.success, 24, 24, 25)).toBe('ok');
  const digests = { ...controller, digests: BOTH };
  expect(verdict(digests, pduType.capsuleCmd, pduFlag.hdgst, 72, 0, 76)).toBe('ok');
  expect(verdict(digests, pduType.capsuleCmd, BOTH, 72, 76, 76 + 512 + 4)).toBe('ok');
  // PDO counts only where there is data; ICReq and termination requests never have digests.
  expect(verdict(controller, pduType.capsuleCmd, 0, 72, 13, 72)).toBe('ok');
  expect(verdict(digests, pduType.h2cTermReq, 0, 24, 0, 24 + 76)).toBe('ok');
  expect(pduRules(true, 8192, 131072)).toEqual(controller);
});

test('headers that are not, and where', () => {
  const invalid = term.fes.invalidHeaderField;
  const digests = { ...controller, digests: BOTH };
  expect(verdict(controller, pduType.capsuleResp, 0, 24, 0, 24)).toEqual([invalid, 0]);
  expect(verdict(controller, 0x08, 0, 24, 0, 24)).toEqual([invalid, 0]);
  expect(verdict(controller, 0xff, 0, 24, 0, 24)).toEqual([invalid, 0]);
  expect(verdict(host, pduType.icReq, 0, 128, 0, 128)).toEqual([invalid, 0]);
  expect(verdict(digests, pduType.capsuleCmd, 0, 72, 0, 72)).toEqual([invalid, 1]);
  expect(verdict(controller, pduType.capsuleCmd, pduFlag.hdgst, 72, 0, 76)).toEqual([invalid, 1]);
  expect(verdict(digests, pduType.h2cData, pduFlag.hdgst, 24, 28, 28 + 512)).toEqual([invalid, 1]);
  expect(verdict(controller, pduType.capsuleCmd, 0, 71, 0, 72)).toEqual([invalid, 2]);
  expect(verdict(controller, pduType.icReq, 0, 120, 0, 128)).toEqual([invalid, 2]);
  expect(verdict(controller, pduType.h2cData, 0, 24, 20, 24 + 512)).toEqual([invalid, 3]);
  expect(verdict(controller, pduType.h2cData, 0, 24, 26, 24 + 512)).toEqual([invalid, 3]);
  expect(verdict({ ...controller, alignment: 3 }, pduType.capsuleCmd, 0, 72, 72, 600)).toEqual([invalid, 3]);
  expect(verdict(controller, pduType.icReq, 0, 128, 0, 129)).toEqual([invalid, 4]);
  expect(verdict(controller, pduType.h2cTermReq, 0, 24, 0, 153)).toEqual([invalid, 4]);
  expect(verdict(controller, pduType.capsuleCmd, 0, 72, 0, 71)).toEqual([invalid, 4]);
  expect(verdict(controller, pduType.capsuleCmd, 0, 72, 80, 80)).toEqual([invalid, 4]);
  expect(verdict(digests, pduType.h2cData, BOTH, 24, 28, 28 + 4)).toEqual([invalid, 4]);
  expect(verdict(host, pduType.r2t, 0, 24, 0, 28)).toEqual([invalid, 4]);
  const limit = term.fes.dataTransferLimitExceeded;
  expect(verdict(controller, pduType.capsuleCmd, 0, 72, 72, 72 + 8193)).toEqual([limit, 4]);
  expect(verdict(controller, pduType.h2cData, 0, 24, 24, 0xffff_ffff)).toEqual([limit, 4]);
});

test('whatever passes is bounded, and its data lies within it', () => {
  const noise = fc.uint8Array({ minLength: 8, maxLength: 8 });
  const flags = fc.integer({ min: 0, max: 3 });
  fc.assert(
    fc.property(
      noise,
      fc.boolean(),
      flags,
      fc.nat(31),
      fc.nat(9),
      (bytes, asController, digests, alignment, type) => {
        bytes[0] = type;
        bytes[2] = [128, 128, 24, 24, 72, 24, 24, 24, 0, 24][type] as number;
        bytes[6] = bytes[7] = 0;
        const rules = { controller: asController, digests, alignment, capsuleDataMax: 4096, dataMax: 65536 };
        const header = new DataView(bytes.buffer);
        if (checkPduHeader(header, 0, rules) !== term.PDU_OK || type < pduType.capsuleCmd) return;
        const length = pdu.pduDataLength(header, 0);
        expect(length).toBeGreaterThanOrEqual(0);
        expect(length).toBeLessThanOrEqual(65536);
        const end = pdu.pduHlen(header, 0) + (pdu.pduFlags(header, 0) & 1 ? 4 : 0);
        const tail = pdu.pduFlags(header, 0) & 2 ? 4 : 0;
        if (length === 0) expect(pdu.pduPlen(header, 0)).toBe(end);
        else expect(pdu.pduPdo(header, 0) + length + tail).toBe(pdu.pduPlen(header, 0));
      },
    ),
    { numRuns: 2000 },
  );
});

test('what the encoders write passes the checks', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 3 }),
      fc.nat(31),
      fc.integer({ min: 1, max: 8192 }),
      (digests, alignment, n) => {
        const rules = { ...controller, digests, alignment };
        data.encodeCapsuleCmdHeader(view, AT, digests, pdu.pduDataOffset(72, digests, alignment), n);
        expect(checkPduHeader(view, AT, rules)).toBe(0);
        expect(pdu.pduDataLength(view, AT)).toBe(n);
        data.encodeH2cData(view, AT, digests, pdu.pduDataOffset(24, digests, alignment), 1, 2, 3, n);
        expect(checkPduHeader(view, AT, rules)).toBe(0);
        expect(data.checkDataLength(view, AT)).toBe(0);
        data.encodeC2hData(view, AT, digests, pdu.pduDataOffset(24, digests, alignment), 1, 3, n);
        expect(checkPduHeader(view, AT, { ...rules, controller: false })).toBe(0);
        data.encodeR2t(view, AT, digests & pduFlag.hdgst, 1, 2, 3, n);
        expect(checkPduHeader(view, AT, { ...rules, controller: false })).toBe(0);
      },
    ),
  );
});

test('termination requests', () => {
  const bad = Uint8Array.from({ length: 200 }, (_, i) => i);
  const out = new Uint8Array(term.TERM_REQ_PLEN_MAX).fill(0xee);
  const { c2hTermReq } = pduType;
  expect(
    term.encodeTermReq(out, c2hTermReq, term.fes.invalidHeaderField, 2, bad, 8, pduHeaderLength.capsuleCmd),
  ).toBe(24 + 72);
  expect([...out.slice(0, 16)]).toEqual([3, 0, 24, 0, 96, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0]);
  expect([out[24], out[95], out[96]]).toEqual([8, 79, 0xee]);
  const read = new DataView(out.buffer);
  expect(term.termReqFes(read, 0)).toBe(1);
  expect(term.termReqFei(read, 0)).toBe(2);
  expect(checkPduHeader(read, 0, host)).toBe(0);
  expect(term.encodeTermReq(out, c2hTermReq, 2, 0, bad, 0, 200)).toBe(term.TERM_REQ_PLEN_MAX);
  expect(term.encodeTermReq(out, c2hTermReq, 2, 0, bad, 196, 72)).toBe(28);
  expect(term.fesText(term.fes.headerDigestError)).toBe('Header Digest Error');
  expect(term.fesText(99)).toBe('Unknown (99)');
});
