import { Random } from '@spdk-ts/env';
import { setLogWriter } from '@spdk-ts/log';
import {
  crc32c,
  encodeCapsuleCmdHeader,
  encodeH2cData,
  encodeIcReq,
  encodeSqe,
  pduFlag,
  pduPlen,
  pduTtag,
  pduType,
  sglId,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mendDigest, mutateBytes } from '../../test-support/mutate.ts';
import { FakeGroup, FakeSocks, fakeOptions } from '../../test-support/tcp-fakes.ts';
import { defaultTcpTimeouts } from './limits.ts';
import { TcpState } from './tcp-qpair.ts';
import { TcpTransport } from './tcp-transport.ts';

const SEEDS = Number(process.env['NVMF_TCP_FUZZ_SEEDS'] ?? 150);
const FIRST_SEED = Number(process.env['NVMF_TCP_SEED'] ?? 1);
const STEPS = 80;

let before: (line: string) => void;
beforeAll(() => {
  before = setLogWriter(() => {});
});
afterAll(() => void setLogWriter(before));

/** Of so many PDUs one is changed, by a host that damages what it sends. */
const DAMAGE = 6;

/** A host that mostly keeps to the rules, and a controller that takes its time, in every order that chance finds. */
class Run {
  readonly random: Random;
  readonly group = new FakeGroup();
  readonly socks = new FakeSocks(this.group.regions);
  readonly transport = new TcpTransport(this.group.asGroup, fakeOptions, () => this.socks);
  readonly digests: number;
  /** Changes PDUs on their way, once the handshake is over. */
  private readonly damages: boolean;
  private cid = 0;
  /** What the target has asked for: CID, TTAG, bytes taken so far, length. */
  private readonly r2ts: { cid: number; ttag: number; at: number; length: number }[] = [];
  private lengths = new Map<number, number>();

  constructor(seed: number, damages: boolean) {
    this.random = new Random(seed);
    this.damages = damages;
    this.digests = this.random.below(4);
  }

  get sock() {
    return this.socks.socks[0]!;
  }
  get qpair() {
    return [...this.transport.qpairs][0];
  }

  private pdu(header: Uint8Array, flags: number, data: Uint8Array): Uint8Array {
    const end = header.length + (flags & pduFlag.hdgst ? 4 : 0);
    const ddgst = data.length > 0 && (flags & pduFlag.ddgst) !== 0;
    const out = new Uint8Array(end + data.length + (ddgst ? 4 : 0));
    out.set(header);
    if (flags & pduFlag.hdgst) viewOf(out).setUint32(header.length, crc32c(header), true);
    out.set(data, end);
    if (ddgst) viewOf(out).setUint32(end + data.length, crc32c(data) ^ (this.random.below(8) ? 0 : 1), true);
    return out;
  }

  private command(): Uint8Array {
    const kind = this.random.below(4);
    const most = this.random.below(4) > 0 ? 1024 : kind === 1 ? 2048 : 8192;
    const length = 4 * (1 + this.random.below(most));
    const data = new Uint8Array(kind === 1 ? length : 0);
    const header = new Uint8Array(72);
    const flags = data.length > 0 ? this.digests : this.digests & pduFlag.hdgst;
    const pdo = 72 + (flags & pduFlag.hdgst ? 4 : 0);
    const cid = this.cid++ & 0xffff;
    this.lengths.set(cid, length);
    encodeCapsuleCmdHeader(viewOf(header), 0, flags, data.length > 0 ? pdo : 0, data.length);
    encodeSqe(viewOf(header), 8, {
      ...{ cid, opcode: kind === 0 ? 0 : kind === 3 ? 2 : 1 },
      sgl1: { identifier: kind === 1 ? sglId.inCapsule : sglId.transportDataBlock, address: 0, length },
    });
    return this.pdu(header, flags, data);
  }

  private dataPdu(): Uint8Array | null {
    const r2t = this.r2ts[this.random.below(Math.max(1, this.r2ts.length))];
    if (r2t === undefined) return null;
    const length = Math.min(r2t.length - r2t.at, 4 * (1 + this.random.below(4000)));
    const header = new Uint8Array(24);
    const pdo = 24 + (this.digests & pduFlag.hdgst ? 4 : 0);
    const flags = this.digests | (r2t.at + length === r2t.length ? pduFlag.last : 0);
    encodeH2cData(viewOf(header), 0, flags, pdo, r2t.cid, r2t.ttag, r2t.at, length);
    r2t.at += length;
    if (r2t.at === r2t.length) this.r2ts.splice(this.r2ts.indexOf(r2t), 1);
    return this.pdu(header, flags, new Uint8Array(length));
  }

  private take(): void {
    this.transport.poll();
    const bytes = this.sock.take(this.random.below(3) > 0);
    if (this.sock.pieces.length > 0) return;
    const view = viewOf(bytes);
    for (let at = 0; at < bytes.length; at += pduPlen(view, at)) {
      if (bytes[at] !== pduType.r2t) continue;
      const cid = view.getUint16(at + 8, true);
      this.r2ts.push({ cid, ttag: pduTtag(view, at), at: 0, length: view.getUint32(at + 16, true) });
    }
  }

  async run(): Promise<void> {
    await this.transport.listen({ trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: '1' });
    this.socks.connectFrom(5);
    const { random, group } = this;
    const qpair = this.qpair!;
    const icReq = new Uint8Array(128);
    encodeIcReq(viewOf(icReq), 0, { pfv: 0, hpda: 0, dgst: this.digests, maxr2t: 1 });
    if (random.below(10) === 0) this.feed(Uint8Array.from({ length: 200 }, () => random.below(256)));
    if (random.below(20) > 0) this.feed(icReq);
    if (random.below(2) === 0) qpair.qid = 1;
    for (let step = 0; step < STEPS && !this.sock.closed; step++) {
      const choice = random.below(20);
      if (choice < 7 && qpair.requests.used < 8) this.feed(this.damaged(this.command()));
      else if (choice < 12) {
        const pdu = this.dataPdu();
        if (pdu !== null) this.feed(this.damaged(pdu));
      } else if (choice < 15 && group.executed.length > 0) {
        const request = group.executed[random.below(group.executed.length)]!;
        if (request.region < 0) {
          request.region = 0;
          request.offset = 0;
        }
        group.complete(request, random.below(3) ? 0 : 0x4002);
      } else if (choice < 17) this.take();
      else if (choice === 17) group.memory.poll();
      else if (choice === 18 && random.below(4) === 0) {
        const found = qpair.findRequest(random.below(this.cid + 1));
        if (found !== null) qpair.abortHeld(found);
      } else if (choice === 19 && random.below(3) === 0) {
        (group.reactor as { now: number }).now += random.below(defaultTcpTimeouts.memory * 2);
        group.pollers.get('nvmf_tcp_deadlines')!();
      }
      if (random.below(150) === 0)
        this.feed(Uint8Array.from({ length: random.below(300) }, () => random.below(256)));
      if (random.below(200) === 0) qpair.disconnect('chance');
    }
    this.end();
  }

  private damaged(pdu: Uint8Array): Uint8Array {
    const { random } = this;
    if (!this.damages || random.below(DAMAGE) > 0) return pdu;
    const changed = mutateBytes(random, pdu);
    return random.below(2) === 0 ? changed : mendDigest(changed);
  }

  private feed(bytes: Uint8Array): void {
    if (!this.sock.closed) this.sock.feed(bytes, 1 + this.random.below(bytes.length + 20));
  }

  /** The host goes, and then what executes completes: nothing may be left. */
  private end(): void {
    const { group } = this;
    const qpair = this.qpair!;
    this.sock.end();
    for (const request of [...group.executed]) group.complete(request);
    group.memory.poll();
    expect(qpair.state).toBe(TcpState.ENDED);
    expect([qpair.requests.used, qpair.outstanding]).toEqual([0, 0]);
    expect([group.buffers.smallFree, group.buffers.largeFree, group.memory.length]).toEqual([4, 4, 0]);
    expect([group.removed.length, group.closing.length, this.transport.qpairs.size]).toEqual([1, 1, 0]);
  }
}

it.each([
  ['made by chance', false],
  ['that damage what they send', true],
])(`survives ${SEEDS} hosts %s (first seed ${FIRST_SEED})`, async (_, damages) => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    try {
      await new Run(seed, damages).run();
    } catch (error) {
      throw new Error(`NVMF_TCP_SEED=${seed}: ${(error as Error).stack}`);
    }
  }
});
