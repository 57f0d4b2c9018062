import { expect, test } from 'vitest';
import * as c from './connect.ts';
import { DISCOVERY_NQN } from './nqn.ts';
import { dataTransfer, fabricsType, opcodeDataTransfer } from './opcodes.ts';
import * as p from './property.ts';
import { register } from './registers.ts';
import { sglId } from './sgl.ts';
import { sqeCid, sqeOpcode, sqePsdt, sqeSgl1Length } from './sqe.ts';

const memory = new Uint8Array(80);
const view = new DataView(memory.buffer);

test('Connect', () => {
  c.encodeConnect(view, 5, {
    cid: 0xffff,
    qid: 3,
    entries: 128,
    cattr: c.connectAttribute.disableSqFlowControl,
    katoMs: 10_000,
    sgl1: { identifier: sglId.inCapsule, address: 0, length: 1024 },
  });
  expect([...memory.slice(5, 10)]).toEqual([0x7f, 0x40, 0xff, 0xff, 0x01]);
  expect([...memory.slice(5 + 40, 5 + 52)]).toEqual([0, 0, 3, 0, 127, 0, 4, 0, 0x10, 0x27, 0, 0]);
  expect(sqeOpcode(view, 5)).toBe(0x7f);
  expect(c.sqeFctype(view, 5)).toBe(fabricsType.connect);
  expect(sqeCid(view, 5)).toBe(0xffff);
  expect(sqeSgl1Length(view, 5)).toBe(1024);
  expect(c.connectRecfmt(view, 5)).toBe(0);
  expect(c.connectQid(view, 5)).toBe(3);
  expect(c.connectEntries(view, 5)).toBe(128);
  expect(c.connectCattr(view, 5)).toBe(4);
  expect(c.connectKato(view, 5)).toBe(10_000);
});

test('Connect data', () => {
  const data = {
    hostid: Uint8Array.from({ length: 16 }, (_, i) => i),
    cntlid: c.CNTLID_DYNAMIC,
    subnqn: DISCOVERY_NQN,
    hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:f4d7a5b2-1d0f-4e58-9c5e-5d1a3c0a5a11',
  };
  const out = new Uint8Array(1024);
  c.connectData.encode(data, out);
  expect(c.connectData.decode(out)).toEqual(data);
  expect([out[16], out[17], out[18]]).toEqual([0xff, 0xff, 0]);
  expect(String.fromCharCode(...out.slice(256, 260))).toBe('nqn.');
  expect(out[512 + data.hostnqn.length]).toBe(0);
});

test('results of Connect', () => {
  expect(c.connectSuccess(1, c.connectAuthreq.atr)).toBe(0x0002_0001);
  expect(c.connectInvalidParameter(c.connectData.offsets.subnqn, true)).toBe(0x0001_0100);
  expect(c.connectInvalidParameter(c.connectOffset.sqsize, false)).toBe(44);
});

test('Property Get and Set', () => {
  p.encodePropertyGet(view, 1, 7, register.cap, p.propertySize.bytes8);
  expect(c.sqeFctype(view, 1)).toBe(fabricsType.propertyGet);
  expect(sqePsdt(view, 1)).toBe(1);
  expect(p.propertySizeOf(view, 1)).toBe(p.propertySize.bytes8);
  expect(p.propertyOffset(view, 1)).toBe(0);
  p.encodePropertySet(view, 1, 7, register.cc, p.propertySize.bytes4, 0x0046_0001);
  expect([...memory.slice(1 + 40, 1 + 56)]).toEqual([0, 0, 0, 0, 0x14, 0, 0, 0, 1, 0, 0x46, 0, 0, 0, 0, 0]);
  expect(p.propertyValueLo(view, 1)).toBe(0x0046_0001);
  expect(p.propertyValueHi(view, 1)).toBe(0);
});

test('direction of data', () => {
  expect(opcodeDataTransfer(0x02)).toBe(dataTransfer.controllerToHost);
  expect(opcodeDataTransfer(0x01)).toBe(dataTransfer.hostToController);
  expect(opcodeDataTransfer(0x7f, fabricsType.connect)).toBe(dataTransfer.hostToController);
  expect(opcodeDataTransfer(0x7f, fabricsType.propertyGet)).toBe(dataTransfer.none);
  expect(opcodeDataTransfer(0x7f, fabricsType.authenticationReceive)).toBe(dataTransfer.controllerToHost);
});
