/** A queue pair over a socket whose peer is the test, and what a host sends and gets: for tests only. */
import { setLogWriter } from '@spdk-ts/log';
import {
  cqeCid,
  cqeSqhd,
  cqeStatus,
  crc32c,
  encodeCapsuleCmdHeader,
  encodeH2cData,
  encodeIcReq,
  encodeSqe,
  pduDataLength,
  pduFlag,
  pduFlags,
  pduHlen,
  pduPdo,
  pduPlen,
  pduType,
  type SqeFields,
  sglId,
  termReqFei,
  termReqFes,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { type TcpQpair, TcpState } from '../src/tcp/tcp-qpair.ts';
import { TcpTransport } from '../src/tcp/tcp-transport.ts';
import { FakeGroup, type FakeSock, FakeSocks, fakeOptions } from './tcp-fakes.ts';

export const READ = 0x02;
export const WRITE = 0x01;
export const FLUSH = 0x00;

export let group: FakeGroup;
export let socks: FakeSocks;
export let transport: TcpTransport;
export let qpair: TcpQpair;
export let sock: FakeSock;

export async function setUp(options = fakeOptions): Promise<void> {
  group = new FakeGroup();
  socks = new FakeSocks(group.regions);
  transport = new TcpTransport(group.asGroup, options, () => socks);
  await transport.listen({ trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: '4420' });
  socks.connectFrom(100);
  sock = socks.socks[0]!;
  qpair = [...transport.qpairs][0]!;
}

export interface Pdu {
  type: number;
  flags: number;
  bytes: Uint8Array;
  view: DataView;
  data: Uint8Array;
}

/** What the qpair has sent, as PDUs, digests verified. */
export function sent(done = true): Pdu[] {
  transport.poll();
  transport.flush();
  const bytes = sock.take(done);
  const pdus: Pdu[] = [];
  for (let at = 0; at < bytes.length; ) {
    const all = viewOf(bytes);
    const plen = pduPlen(all, at);
    const pdu = bytes.slice(at, at + plen);
    const view = viewOf(pdu);
    const flags = pduFlags(view, 0);
    const hlen = pduHlen(view, 0);
    if (flags & pduFlag.hdgst) expect(view.getUint32(hlen, true)).toBe(crc32c(pdu, 0, hlen));
    const length = pduDataLength(view, 0);
    const data = length > 0 ? pdu.slice(pduPdo(view, 0), pduPdo(view, 0) + length) : new Uint8Array(0);
    if (flags & pduFlag.ddgst) expect(view.getUint32(plen - 4, true)).toBe(crc32c(data));
    pdus.push({ type: pdu[0]!, flags, bytes: pdu, view, data });
    at += plen;
  }
  return pdus;
}

export function icReq(digests = 0, hpda = 0, pfv = 0): Uint8Array {
  const bytes = new Uint8Array(128);
  encodeIcReq(viewOf(bytes), 0, { pfv, hpda, dgst: digests, maxr2t: 1 });
  return bytes;
}

export function initialize(digests = 0, hpda = 0): void {
  sock.feed(icReq(digests, hpda));
  expect(sent().map((pdu) => pdu.type)).toEqual([pduType.icResp]);
}

export const align = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

export function withData(
  header: Uint8Array,
  hlen: number,
  pdo: number,
  data: Uint8Array,
  digests: number,
): Uint8Array {
  const out = new Uint8Array(pdo + data.length + (digests & pduFlag.ddgst ? 4 : 0));
  out.set(header.subarray(0, hlen));
  if (digests & pduFlag.hdgst) viewOf(out).setUint32(hlen, crc32c(out, 0, hlen), true);
  out.set(data, pdo);
  if (digests & pduFlag.ddgst) viewOf(out).setUint32(pdo + data.length, crc32c(data), true);
  return out;
}

export function capsule(
  fields: SqeFields,
  data: Uint8Array = new Uint8Array(0),
  digests = 0,
  alignment = 0,
): Uint8Array {
  const header = new Uint8Array(72);
  const end = 72 + (digests & pduFlag.hdgst ? 4 : 0);
  const pdo = data.length > 0 ? align(end, (alignment + 1) * 4) : 0;
  const flags = data.length > 0 ? digests : digests & pduFlag.hdgst;
  encodeCapsuleCmdHeader(viewOf(header), 0, flags, pdo, data.length);
  encodeSqe(viewOf(header), 8, fields);
  if (data.length > 0) return withData(header, 72, pdo, data, flags);
  return withData(header, 72, end, data, flags);
}

export function h2cData(
  cid: number,
  ttag: number,
  from: number,
  data: Uint8Array,
  last: boolean,
  digests = 0,
): Uint8Array {
  const header = new Uint8Array(24);
  const pdo = 24 + (digests & pduFlag.hdgst ? 4 : 0);
  const flags = digests | (last ? pduFlag.last : 0);
  encodeH2cData(viewOf(header), 0, flags, pdo, cid, ttag, from, data.length);
  return withData(header, 24, pdo, data, digests);
}

export const transportSgl = (length: number) => ({
  identifier: sglId.transportDataBlock,
  address: 0,
  length,
});
export const capsuleSgl = (length: number, address = 0) => ({ identifier: sglId.inCapsule, address, length });
export const pattern = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff);

export function responseOf(pdus: Pdu[]): { cid: number; status: number; sqhd: number } {
  const response = pdus.find((pdu) => pdu.type === pduType.capsuleResp)!;
  expect(response).toBeDefined();
  const { view } = response;
  return { cid: cqeCid(view, 8), status: cqeStatus(view, 8), sqhd: cqeSqhd(view, 8) };
}

export function expectTermReq(status: number, information?: number): void {
  const pdus = sent();
  const last = pdus.at(-1)!;
  expect(last.type).toBe(pduType.c2hTermReq);
  expect(termReqFes(last.view, 0)).toBe(status);
  if (information !== undefined) expect(termReqFei(last.view, 0)).toBe(information);
  expect(qpair.state).toBe(TcpState.TERMINATING);
  expect(group.closing).toEqual([qpair]);
  // Whatever follows is ignored.
  sock.feed(capsule({ opcode: FLUSH, cid: 99 }));
  expect(sent()).toEqual([]);
  expect(sock.rxEnd - sock.rxStart).toBe(0);
}

/** The request that executes now, alone. */
export function executing() {
  expect(group.executed.length).toBe(1);
  return group.executed[0]!;
}

/** Each test of the file gets a target with one connection, {@link sock}, and what is logged is dropped. */
export function useQpair(): void {
  let logWriter: (line: string) => void;
  beforeAll(() => {
    logWriter = setLogWriter(() => {});
  });
  afterAll(() => void setLogWriter(logWriter));
  beforeEach(() => setUp());
}
