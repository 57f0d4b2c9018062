/** One NVMe/TCP queue of a test host: commands out, completions back; R2T and digests served as agreed. */
import {
  authReceive,
  authSend,
  CAPSULE_ENTRY_OFFSET,
  type ConnectData,
  connectData,
  connectOffset,
  cqeCid,
  cqeDw0,
  cqeDw1,
  cqeSqhd,
  cqeStatus,
  crc32c,
  decodeIcResp,
  encodeCapsuleCmdHeader,
  encodeConnect,
  encodeH2cData,
  encodeIcReq,
  encodeSqe,
  fesText,
  type IcResp,
  pduCccid,
  pduDatal,
  pduDataOffset,
  pduDatao,
  pduFlag,
  pduHeaderLength,
  pduTtag,
  pduType,
  type SqeFields,
  sglId,
  statusSc,
  statusSct,
  statusText,
  termReqFei,
  termReqFes,
} from '@spdk-ts/nvme-spec';
import type { CommandQueue } from './command-queue.ts';
import type { AuthExchange } from './dhchap.ts';
import { type Pdu, PduStream, type TlsKey } from './pdu-stream.ts';

export interface QueueOptions {
  readonly port: number;
  readonly host?: string;
  /** TLS with this key. */
  readonly tls?: TlsKey;
  readonly digests?: number;
  readonly hpda?: number;
  /** R2Ts of one command that the host takes at once (1). */
  readonly maxr2t?: number;
  /** Entries of the submission queue. */
  readonly entries?: number;
  /** Gets every PDU that is sent. */
  readonly record?: Uint8Array[];
  /** Asks for no SQ flow control, so that reads may end without a CapsuleResp. */
  readonly disableSqFlowControl?: boolean;
}

export interface Completion {
  readonly cid: number;
  /** The 15-bit status; 0 is success. */
  readonly status: number;
  readonly dw0: number;
  readonly dw1: number;
  readonly sqhd: number;
  /** Data from the target. */
  readonly data: Buffer;
  /** True if a C2HData with SUCCESS took the place of a CapsuleResp. */
  readonly implicit: boolean;
}

interface Outstanding {
  readonly resolve: (completion: Completion) => void;
  readonly reject: (error: Error) => void;
  /** What goes to the target when it asks. */
  readonly data: Uint8Array | null;
  /** What has come from the target. */
  buffer: Buffer;
  filled: number;
}

/** A completion with another status than success, as an error. */
export class StatusError extends Error {
  readonly completion: Completion;
  constructor(what: string, completion: Completion) {
    super(`${what}: ${statusText(statusSct(completion.status), statusSc(completion.status))}`);
    this.completion = completion;
  }
}

/** A Connect in all its parts, for those that are to fail as well. */
export interface ConnectAttempt {
  readonly subnqn?: string;
  readonly hostnqn?: string;
  readonly hostid?: Uint8Array;
  /** Of the controller that an I/O queue is for, or FFFFh. */
  readonly cntlid?: number;
  readonly qid: number;
  readonly entries?: number;
  readonly cattr?: number;
  readonly katoMs?: number;
  readonly recfmt?: number;
  /** Sent in place of the data that the names and identifiers above make. */
  readonly data?: Uint8Array;
}

/** How long a target may take over ICResp: one that many hosts come to at once may let them wait. */
const IC_RESP_MS = 10_000;

const empty = Buffer.alloc(0);

function encodeStruct(fields: ConnectData): Uint8Array {
  const bytes = new Uint8Array(connectData.size);
  connectData.encode(fields, bytes);
  return bytes;
}

export class RawQueue implements CommandQueue {
  readonly stream: PduStream;
  readonly icResp: IcResp;
  readonly options: QueueOptions;
  /** Largest H2CData to send, bytes: at most what the target takes. */
  h2cMax: number;
  /** Data of the next capsule or H2CData goes out with a wrong digest. */
  spoilDataDigest = false;
  /** Sees every PDU that comes, before it is taken. */
  tap: ((pdu: Pdu) => void) | null = null;
  /** The test sends commands that nobody waits for: their answers are dropped. */
  lenient = false;
  cntlid = 0;
  /** Bytes of in-capsule data to use for I/O at most. */
  inCapsuleMax = 4096;
  private readonly outstanding = new Map<number, Outstanding>();
  private nextCid = 0;
  private termination: Pdu | null = null;

  /** Opens a connection and exchanges ICReq and ICResp. */
  static async open(options: QueueOptions): Promise<RawQueue> {
    const stream = await PduStream.open(options.port, options.host, options.tls);
    stream.record = options.record ?? null;
    const bytes = new Uint8Array(pduHeaderLength.icReq);
    const view = new DataView(bytes.buffer);
    encodeIcReq(view, 0, {
      pfv: 0,
      hpda: options.hpda ?? 0,
      dgst: options.digests ?? 0,
      maxr2t: options.maxr2t ?? 1,
    });
    stream.send(bytes);
    const answer = await stream.next(IC_RESP_MS);
    if (answer?.type !== pduType.icResp) throw new Error(`no ICResp, but ${answer?.type ?? 'the end'}`);
    return new RawQueue(stream, options, decodeIcResp(answer.view, 0));
  }

  private constructor(stream: PduStream, options: QueueOptions, icResp: IcResp) {
    this.stream = stream;
    this.options = options;
    this.icResp = icResp;
    this.h2cMax = icResp.maxh2cdata;
    stream.deliver((pdu) => this.take(pdu));
    void stream.closed.then(() => this.end());
  }

  get digests(): number {
    return this.icResp.dgst;
  }
  /** The connection is no more. */
  get ended(): boolean {
    return this.stream.ended;
  }

  /** The termination request that the target sent, if it did. */
  get terminated(): Pdu | null {
    return this.termination;
  }

  private end(): void {
    this.fail(new Error(`connection closed${this.stream.error ? `: ${this.stream.error.message}` : ''}`));
  }

  private fail(error: Error): void {
    for (const { reject } of this.outstanding.values()) reject(error);
    this.outstanding.clear();
  }

  private take(pdu: Pdu): void {
    this.tap?.(pdu);
    switch (pdu.type) {
      case pduType.capsuleResp:
        this.takeResponse(pdu);
        break;
      case pduType.c2hData:
        this.takeData(pdu);
        break;
      case pduType.r2t:
        this.answerR2t(pdu);
        break;
      case pduType.c2hTermReq:
        this.termination = pdu;
        this.fail(new Error(this.lastWords(pdu)));
        break;
      default:
        this.stream.socket.destroy(new Error(`unexpected PDU type ${pdu.type}`));
    }
  }

  private lastWords({ view }: Pdu): string {
    return `C2HTermReq: ${fesText(termReqFes(view, 0))}, FEI ${termReqFei(view, 0)}`;
  }

  /** The command that a PDU belongs to; one that is not outstanding ends the connection, unless that is expected. */
  private find(cid: number): Outstanding | undefined {
    const found = this.outstanding.get(cid);
    if (found === undefined && !this.lenient)
      this.stream.socket.destroy(new Error(`PDU for CID ${cid}, which is not outstanding`));
    return found;
  }

  private takeResponse({ view }: Pdu): void {
    const at = CAPSULE_ENTRY_OFFSET;
    const cid = cqeCid(view, at);
    const command = this.find(cid);
    if (command === undefined) return;
    this.outstanding.delete(cid);
    command.resolve({
      ...{ cid, status: cqeStatus(view, at), dw0: cqeDw0(view, at), dw1: cqeDw1(view, at) },
      ...{ sqhd: cqeSqhd(view, at), data: command.buffer.subarray(0, command.filled), implicit: false },
    });
  }

  private takeData(pdu: Pdu): void {
    const cid = pduCccid(pdu.view, 0);
    const command = this.find(cid);
    if (command === undefined) return;
    const from = pduDatao(pdu.view, 0);
    if (from !== command.filled || from + pdu.data.length > command.buffer.length) {
      const what = `data ${from}+${pdu.data.length} of ${command.buffer.length}`;
      this.stream.socket.destroy(new Error(`${what} out of order`));
      return;
    }
    pdu.data.copy(command.buffer, from);
    command.filled += pdu.data.length;
    if (!(pdu.flags & pduFlag.success)) return;
    this.outstanding.delete(cid);
    command.resolve({ cid, status: 0, dw0: 0, dw1: 0, sqhd: 0, data: command.buffer, implicit: true });
  }

  private answerR2t({ view }: Pdu): void {
    const cid = pduCccid(view, 0);
    const data = this.find(cid)?.data ?? null;
    if (data === null) return; // the test answers itself
    const from = pduDatao(view, 0);
    const end = from + pduDatal(view, 0);
    for (let at = from; at < end; at += this.h2cMax) {
      const part = data.subarray(at, Math.min(end, at + this.h2cMax));
      this.stream.send(this.h2cData(cid, pduTtag(view, 0), at, part, at + part.length === end));
    }
  }

  private withDigests(
    header: Uint8Array,
    hlen: number,
    pdo: number,
    flags: number,
    data: Uint8Array,
  ): Uint8Array {
    const hdgst = (flags & pduFlag.hdgst) !== 0;
    const ddgst = (flags & pduFlag.ddgst) !== 0 && data.length > 0;
    const end = data.length > 0 ? pdo + data.length + (ddgst ? 4 : 0) : hlen + (hdgst ? 4 : 0);
    const out = new Uint8Array(end);
    const view = new DataView(out.buffer);
    out.set(header.subarray(0, hlen));
    if (hdgst) view.setUint32(hlen, crc32c(out, 0, hlen), true);
    out.set(data, data.length > 0 ? pdo : 0);
    if (ddgst) view.setUint32(pdo + data.length, crc32c(data) ^ (this.spoilDataDigest ? 1 : 0), true);
    if (ddgst) this.spoilDataDigest = false;
    return out;
  }

  /** An H2CData PDU. */
  h2cData(cid: number, ttag: number, from: number, data: Uint8Array, last: boolean): Uint8Array {
    const header = new Uint8Array(pduHeaderLength.h2cData);
    const pdo = pduDataOffset(header.length, this.digests, this.icResp.cpda);
    const flags = this.digests | (last ? pduFlag.last : 0);
    encodeH2cData(new DataView(header.buffer), 0, flags, pdo, cid, ttag, from, data.length);
    return this.withDigests(header, header.length, pdo, flags, data);
  }

  /** A CapsuleCmd PDU. */
  capsule(fields: SqeFields, data: Uint8Array = empty): Uint8Array {
    const header = new Uint8Array(pduHeaderLength.capsuleCmd);
    const view = new DataView(header.buffer);
    const flags = data.length > 0 ? this.digests : this.digests & pduFlag.hdgst;
    const pdo = data.length > 0 ? pduDataOffset(header.length, flags, this.icResp.cpda) : 0;
    encodeCapsuleCmdHeader(view, 0, flags, pdo, data.length);
    encodeSqe(view, CAPSULE_ENTRY_OFFSET, fields);
    return this.withDigests(header, header.length, pdo, flags, data);
  }

  /** A command identifier that is not outstanding. */
  newCid(): number {
    do this.nextCid = (this.nextCid + 1) & 0x7fff;
    while (this.outstanding.has(this.nextCid));
    return this.nextCid;
  }

  /** Waits for the completion of a command whose capsule the test sends. `length`: bytes it will get. */
  expect(cid: number, length = 0, data: Uint8Array | null = null): Promise<Completion> {
    const done = new Promise<Completion>((resolve, reject) => {
      if (this.stream.ended) reject(new Error('connection closed'));
      else if (this.termination !== null) reject(new Error(this.lastWords(this.termination)));
      else this.outstanding.set(cid, { resolve, reject, data, buffer: Buffer.alloc(length), filled: 0 });
    });
    // Whoever waits is told; that nobody does is no failure.
    done.catch(() => {});
    return done;
  }

  /** Commands without data, with CIDs of the test's own. */
  post(...commands: readonly SqeFields[]): void {
    this.stream.send(...commands.map((fields) => this.capsule(fields)));
  }

  /** A command whose data, if it brings any, is in its capsule. */
  submit(fields: SqeFields, data: Uint8Array = empty): Promise<Completion> {
    const cid = this.newCid();
    const sgl1 = fields.sgl1 ?? { identifier: sglId.inCapsule, address: 0, length: data.length };
    const done = this.expect(cid);
    this.stream.send(this.capsule({ ...fields, cid, sgl1 }, data));
    return done;
  }

  /** Such commands, their capsules in one piece. */
  together(...commands: readonly (readonly [SqeFields, Uint8Array])[]): Promise<Completion>[] {
    const sent = commands.map(([fields, data]) => {
      const cid = this.newCid();
      const sgl1 = { identifier: sglId.inCapsule, address: 0, length: data.length };
      return { done: this.expect(cid), bytes: this.capsule({ ...fields, cid, sgl1 }, data) };
    });
    this.stream.send(...sent.map(({ bytes }) => bytes));
    return sent.map(({ done }) => done);
  }

  /** A command whose data the target asks for. */
  submitR2t(fields: SqeFields, data: Uint8Array): Promise<Completion> {
    const cid = this.newCid();
    const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: data.length };
    const done = this.expect(cid, 0, data);
    this.stream.send(this.capsule({ ...fields, cid, sgl1 }));
    return done;
  }

  /** A command that gets `length` bytes. */
  submitRead(fields: SqeFields, length: number): Promise<Completion> {
    const cid = this.newCid();
    const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length };
    const done = this.expect(cid, length);
    this.stream.send(this.capsule({ ...fields, cid, sgl1 }));
    return done;
  }

  /** Connect. Resolves to its completion, whatever its status; a success is remembered. */
  connect(subnqn: string, hostnqn: string, hostid: Uint8Array, qid: number, katoMs = 0): Promise<Completion> {
    return this.connectWith({
      ...{ subnqn, hostnqn, hostid, qid, katoMs },
      cntlid: qid === 0 ? 0xffff : this.cntlid,
      cattr: this.options.disableSqFlowControl ? 4 : 0,
    });
  }

  /** Connect as it is asked for, in order or not. A success is remembered. */
  async connectWith(attempt: ConnectAttempt): Promise<Completion> {
    const { subnqn = '', hostnqn = '', hostid = new Uint8Array(16), cntlid = 0xffff } = attempt;
    const { qid, katoMs = 0, cattr = 0, recfmt = 0 } = attempt;
    const cid = this.newCid();
    const data = attempt.data ?? encodeStruct({ hostid, subnqn, hostnqn, cntlid });
    const header = new Uint8Array(pduHeaderLength.capsuleCmd);
    const view = new DataView(header.buffer);
    const pdo = pduDataOffset(header.length, this.digests, this.icResp.cpda);
    encodeCapsuleCmdHeader(view, 0, this.digests, pdo, data.length);
    encodeConnect(view, CAPSULE_ENTRY_OFFSET, {
      ...{ cid, qid, katoMs, cattr, entries: attempt.entries ?? this.options.entries ?? 32 },
      sgl1: { identifier: sglId.inCapsule, address: 0, length: data.length },
    });
    view.setUint16(CAPSULE_ENTRY_OFFSET + connectOffset.recfmt, recfmt, true);
    const done = this.expect(cid);
    this.stream.send(this.withDigests(header, header.length, pdo, this.digests, data));
    const completion = await done;
    if (completion.status === 0) this.cntlid = completion.dw0 & 0xffff;
    return completion;
  }

  /** Authentication commands of this queue. */
  get authentication(): AuthExchange {
    return {
      send: (message) => this.submit(authSend(message.length), message),
      receive: (length) => this.submitRead(authReceive(length), length),
    };
  }

  close(): void {
    this.stream.destroy();
  }
}
