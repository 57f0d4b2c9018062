import { Batch, Random, RegionTable } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import {
  crc32c,
  pduCccid,
  pduDataLength,
  pduFlag,
  pduFlags,
  pduPdo,
  pduPlen,
  pduType,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { describe, expect, it } from 'vitest';
import { FakeSock } from '../../test-support/tcp-fakes.ts';
import type { NvmfQpair } from '../qpair.ts';
import { NvmfRequest, Transfer } from '../request.ts';
import { NO_ANSWER, NO_REQUEST, TcpSender } from './tcp-send.ts';

const seed = Number(process.env['NVMF_SEND_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`NVMF_SEND_SEED=${seed}`);

const DEPTH = 128;
/** Region of the data that is sent: a block for each command, which is damaged as soon as it may be. */
const DATA = 1;
const BLOCK = 4096;
const owner = { sockReadable: () => {}, sockSent: () => {}, sockClosed: () => {} };

/** A socket that takes bytes when it likes: up to then they must stay as they are. */
class SlowSock extends FakeSock {
  readonly out: number[] = [];

  /** Takes up to `count` bytes. */
  sendSome(count: number): void {
    let left = count;
    while (left > 0 && this.pieces.length > 0) {
      const piece = this.pieces[0]!;
      const taken = Math.min(left, piece.end - piece.start);
      for (let i = 0; i < taken; i++) this.out.push(piece.bytes[piece.start + i]!);
      piece.start += taken;
      left -= taken;
      this.txDone += taken;
      if (piece.start === piece.end) this.pieces.shift();
    }
  }
}

interface Answer {
  readonly cid: number;
  readonly crc: number;
  readonly length: number;
}

/** Lays out answers of random sizes, for a host that takes them at random, and looks at what has arrived. */
class Run {
  readonly regions = new RegionTable();
  readonly data = new Uint8Array(DEPTH * BLOCK);
  readonly copies: Batch | null;
  readonly sock: SlowSock;
  readonly sender: TcpSender;
  readonly random: Random;
  readonly digests: number;
  readonly expected: Answer[] = [];
  private readonly requests: NvmfRequest[] = [];
  /** Requests that may be used: also those whose answers are on their way. */
  private readonly free: NvmfRequest[] = [];
  private readonly laidOut: NvmfRequest[] = [];
  private unsent = 0;
  private cids = 0;
  /** Requests that were free before their answer had left. */
  early = 0;

  /** `ids`: region ids that are left to it. */
  constructor(at: number, copying: boolean, ids = 1e6) {
    this.random = new Random(at);
    while (this.regions.localLeft > ids) this.regions.addLocal(new Uint8Array(0));
    this.regions.add(DATA, this.data);
    this.copies = copying ? new Batch(this.regions) : null;
    this.sock = new SlowSock(this.regions, owner);
    this.digests = this.random.below(4);
    const hpda = this.random.below(2) * 31;
    this.sender = new TcpSender(this.sock, this.regions, this.copies, this.digests, hpda, DEPTH);
    for (let i = 0; i < DEPTH; i++)
      this.requests.push(new NvmfRequest({} as NvmfQpair, i, new Uint8Array(64)));
    this.free.push(...this.requests);
  }

  private fill(request: NvmfRequest): void {
    const at = request.index * BLOCK;
    for (let i = 0; i < request.length; i++) this.data[at + i] = this.random.below(256);
  }

  answer(): void {
    const request = this.free.pop()!;
    request.cid = this.cids++ & 0xffff;
    request.transfer = Transfer.CONTROLLER_TO_HOST;
    request.length = [0, 1, 16, 511, 512, 513, 1023, 1024, 1025, BLOCK][this.random.below(10)]!;
    request.region = request.length === 0 ? -1 : DATA;
    request.offset = request.index * BLOCK;
    this.fill(request);
    const crc = crc32c(this.data, request.offset, request.offset + request.length);
    this.expected.push({ cid: request.cid, crc, length: request.length });
    if (!this.sender.dataOf(request, this.random.below(2) === 0)) this.sender.response(request, 0);
    if (!this.sender.answered(request)) this.laidOut.push(request);
    this.unsent++;
  }

  flush(): void {
    this.sender.push();
    this.copies?.run();
    for (const request of this.laidOut.splice(0)) {
      this.fill(request);
      this.free.push(request);
      this.early++;
    }
  }

  reap(): void {
    for (let index = this.sender.reap(); index !== NO_ANSWER; index = this.sender.reap()) {
      this.unsent--;
      if (index === NO_REQUEST) continue;
      const request = this.requests[index]!;
      this.fill(request);
      this.free.push(request);
    }
  }

  run(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      for (let more = this.random.below(40); more > 0 && this.unsent < DEPTH; more--) this.answer();
      this.flush();
      this.sock.sendSome(this.random.below(3) === 0 ? 1 << 30 : this.random.below(30_000));
      this.reap();
    }
    this.sock.sendSome(1 << 30);
    this.reap();
    expect(this.unsent).toBe(0);
  }

  /** What the host has received: the answers in order, with the data that they had when they were given. */
  check(): void {
    const bytes = Uint8Array.from(this.sock.out);
    const view = viewOf(bytes);
    let answers = 0;
    for (let at = 0; at < bytes.length; at += pduPlen(view, at)) {
      if (bytes[at] === pduType.capsuleResp) continue;
      while (this.expected[answers]!.length === 0) answers++;
      const { cid, crc, length } = this.expected[answers++]!;
      const from = at + pduPdo(view, at);
      expect([pduCccid(view, at), pduDataLength(view, at)]).toEqual([cid, length]);
      expect(crc32c(bytes, from, from + length)).toBe(crc);
      if (pduFlags(view, at) & pduFlag.ddgst) expect(view.getUint32(from + length, true)).toBe(crc);
    }
    while (this.expected[answers]?.length === 0) answers++;
    expect(answers).toBe(this.expected.length);
  }
}

describe.each([
  ['from where they lie', false],
  ['with copies of small ones', true],
] as const)('data sent %s', (_how, copying) => {
  it.skipIf(copying && native === null).each([0, 1, 2, 3, 4, 5, 6, 7])(
    'arrive as they were, however slowly the host takes them (run %i)',
    (n) => {
      const run = new Run(seed + n, copying);
      run.run(150);
      run.check();
      expect(run.expected.length).toBeGreaterThan(300);
      expect(run.early).toBeGreaterThan(0);
    },
  );
});

it.skipIf(native === null)('makes the copies that are due before their memory is gone', () => {
  const run = new Run(seed, true);
  for (let i = 0; i < 50; i++) run.answer();
  expect(run.copies!.pending).toBeGreaterThan(0);
  run.sender.end();
  expect(run.copies!.pending).toBe(0);
});

it.skipIf(native === null)('copies nothing where too few ids of regions are left', () => {
  const run = new Run(seed, true, 8192);
  const { localLeft } = run.regions;
  run.run(100);
  run.check();
  expect(run.copies!.pending).toBe(0);
  run.sender.end();
  expect(run.regions.localLeft).toBe(localLeft);
  const other = new Run(seed, true);
  const left = other.regions.localLeft;
  other.sender.end();
  expect(other.regions.localLeft).toBe(left + 1);
});
