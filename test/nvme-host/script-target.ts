/**
 * A target in the test's own thread that is correct, unless a script says otherwise: every PDU passes through {@link Script.send}
 * before it leaves. It has one namespace of zeroes and ones that tell their place.
 */
import { createServer, type Server, type Socket } from 'node:net';
import {
  adminOpcode,
  CAPSULE_ENTRY_OFFSET,
  cns,
  connectSuccess,
  encodeC2hData,
  encodeCapsuleRespHeader,
  encodeCqe,
  encodeIcResp,
  encodeNamespaceList,
  encodeNumberOfQueues,
  encodeR2t,
  FABRICS_OPCODE,
  fabricsType,
  fid,
  identifyCns,
  identifyController,
  identifyNamespace,
  nvmOpcode,
  pduFlag,
  pduHeaderLength,
  pduType,
  register,
  sglId,
  sqeCdw,
  sqeCid,
  sqeNsid,
  sqeOpcode,
  sqeSgl1Identifier,
  sqeSgl1Length,
  viewOf,
} from '@spdk-ts/nvme-spec';

const PDO = 24;
export const SCRIPT_NQN = 'nqn.2026-11.io.spdk-ts:script';
export const SCRIPT_BLOCKS = 4096;
const BLOCK = 512;

/** What the block at an LBA reads as, until it is written. */
export function blockOf(lba: number): Uint8Array {
  return Uint8Array.from({ length: BLOCK }, (_, i) => (lba * 7 + i * 13 + (i >> 8)) & 0xff);
}

export interface Sent {
  /** Of `pduType`. */
  readonly type: number;
  readonly qid: number;
  /** Opcode of the command that it belongs to; -1: none. */
  readonly opcode: number;
  readonly bytes: Uint8Array;
}

export interface Answer {
  readonly status?: number;
  readonly dw0?: number;
  readonly data?: Uint8Array;
}

/** Says what leaves in place of a PDU. */
export interface Script {
  send?(pdu: Sent): readonly Uint8Array[];
  /** The answer to a command, in place of the target's own, or null. `data` came in its capsule. */
  answer?(command: { qid: number; opcode: number; sqe: Uint8Array; data: Uint8Array }): Answer | null;
  /** True: the command gets no answer at all. */
  swallow?(qid: number, opcode: number): boolean;
}

export class ScriptTarget {
  script: Script = {};
  readonly disk = new Uint8Array(SCRIPT_BLOCKS * BLOCK);
  /** Opcodes of commands that came, as `queue:opcode`. */
  readonly commands: string[] = [];
  /** Termination requests that hosts sent. */
  terminated = 0;
  connections = 0;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  static async start(): Promise<ScriptTarget> {
    const target = new ScriptTarget();
    await new Promise<void>((resolve) => target.server.listen(0, '127.0.0.1', resolve));
    return target;
  }

  private constructor() {
    for (let lba = 0; lba < SCRIPT_BLOCKS; lba++) this.disk.set(blockOf(lba), lba * BLOCK);
    this.server = createServer((socket) => {
      this.connections++;
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => this.sockets.delete(socket));
      new Connection(this, socket);
    });
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }
  get open(): number {
    return this.sockets.size;
  }

  /** Ends all connections at once. */
  drop(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.drop();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** One connection. */
class Connection {
  private readonly target: ScriptTarget;
  private readonly socket: Socket;
  private received: Buffer = Buffer.alloc(0);
  private qid = -1;
  private enabled = 0;
  /** Writes whose data is due, by CID. */
  private readonly writes = new Map<number, { lba: number; length: number; got: number }>();

  constructor(target: ScriptTarget, socket: Socket) {
    this.target = target;
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk as Buffer]);
      while (this.received.length >= 8) {
        const plen = this.received.readUInt32LE(4);
        if (this.received.length < plen) return;
        const pdu = this.received.subarray(0, plen);
        this.received = this.received.subarray(plen);
        this.take(pdu);
      }
    });
  }

  private send(type: number, opcode: number, bytes: Uint8Array): void {
    const { script } = this.target;
    const all = script.send?.({ type, qid: this.qid, opcode, bytes }) ?? [bytes];
    for (const one of all) if (one.length > 0) this.socket.write(one);
  }

  private take(pdu: Buffer): void {
    const view = viewOf(pdu);
    switch (pdu[0]) {
      case pduType.icReq: {
        const bytes = new Uint8Array(pduHeaderLength.icResp);
        encodeIcResp(viewOf(bytes), 0, { pfv: 0, cpda: 0, dgst: 0, maxh2cdata: 8192 });
        this.send(pduType.icResp, -1, bytes);
        break;
      }
      case pduType.capsuleCmd:
        this.command(pdu, view);
        break;
      case pduType.h2cData:
        this.takeData(pdu, view);
        break;
      default:
        this.target.terminated++;
    }
  }

  private respond(opcode: number, cid: number, dw0 = 0, dw1 = 0, status = 0): void {
    const bytes = new Uint8Array(pduHeaderLength.capsuleResp);
    const view = viewOf(bytes);
    encodeCapsuleRespHeader(view, 0, 0);
    encodeCqe(view, CAPSULE_ENTRY_OFFSET, dw0, dw1, 0, 0, cid, status, 0);
    this.send(pduType.capsuleResp, opcode, bytes);
  }

  private data(opcode: number, cid: number, data: Uint8Array): void {
    const bytes = new Uint8Array(PDO + data.length);
    encodeC2hData(viewOf(bytes), 0, pduFlag.last, PDO, cid, 0, data.length);
    bytes.set(data, PDO);
    this.send(pduType.c2hData, opcode, bytes);
  }

  private command(pdu: Buffer, view: DataView): void {
    const sqe = CAPSULE_ENTRY_OFFSET;
    const opcode = sqeOpcode(view, sqe);
    const cid = sqeCid(view, sqe);
    if (opcode === FABRICS_OPCODE && sqeNsid(view, sqe) === fabricsType.connect)
      this.qid = sqeCdw(view, sqe, 10) >>> 16;
    this.target.commands.push(`${this.qid}:${opcode}`);
    if (this.target.script.swallow?.(this.qid, opcode) === true) return;
    const { qid } = this;
    const own = this.target.script.answer?.({ qid, opcode, sqe: pdu.slice(8, 72), data: pdu.slice(72) });
    if (own) {
      if (own.data !== undefined) this.data(opcode, cid, own.data);
      this.respond(opcode, cid, own.dw0, 0, own.status);
    } else if (opcode === FABRICS_OPCODE) this.fabrics(view, sqe, cid);
    else if (this.qid === 0) this.admin(view, sqe, opcode, cid);
    else this.io(pdu, view, sqe, opcode, cid);
  }

  private fabrics(view: DataView, sqe: number, cid: number): void {
    const type = sqeNsid(view, sqe);
    const offset = sqeCdw(view, sqe, 11);
    if (type === fabricsType.connect) this.respond(FABRICS_OPCODE, cid, connectSuccess(1));
    else if (type === fabricsType.propertySet) {
      if (offset === register.cc) this.enabled = sqeCdw(view, sqe, 12);
      this.respond(FABRICS_OPCODE, cid);
    } else if (offset === register.cap) this.respond(FABRICS_OPCODE, cid, 127 | (1 << 24), 1 << 5);
    else if (offset === register.vs) this.respond(FABRICS_OPCODE, cid, 0x20000);
    else if (offset === register.cc) this.respond(FABRICS_OPCODE, cid, this.enabled);
    else this.respond(FABRICS_OPCODE, cid, (this.enabled & 1) | ((this.enabled & 0x4000) !== 0 ? 8 : 0));
  }

  private admin(view: DataView, sqe: number, opcode: number, cid: number): void {
    if (opcode === adminOpcode.asyncEventRequest) return;
    if (opcode === adminOpcode.identify) {
      this.data(opcode, cid, this.identify(identifyCns(view, sqe), sqeNsid(view, sqe)));
      this.respond(opcode, cid);
    } else if (opcode === adminOpcode.setFeatures && (sqeCdw(view, sqe, 10) & 0xff) === fid.numberOfQueues)
      this.respond(opcode, cid, encodeNumberOfQueues(4, 4));
    else this.respond(opcode, cid);
  }

  private identify(structure: number, nsid: number): Uint8Array {
    const data = new Uint8Array(4096);
    if (structure === cns.controller)
      identifyController.encode(
        { mdts: 5, kas: 1, cntlid: 1, ioccsz: 4 + 64, nn: 1, subnqn: SCRIPT_NQN },
        data,
      );
    else if (structure === cns.activeNamespaceList) encodeNamespaceList(nsid === 0 ? [1] : [], data);
    else if (structure === cns.namespace)
      identifyNamespace.encode(
        { nsze: SCRIPT_BLOCKS, ncap: SCRIPT_BLOCKS, lbaf: [{ ms: 0, lbads: 9, rp: 0 }] },
        data,
      );
    return data;
  }

  private io(pdu: Buffer, view: DataView, sqe: number, opcode: number, cid: number): void {
    const lba = sqeCdw(view, sqe, 10);
    const length = sqeSgl1Length(view, sqe);
    if (opcode === nvmOpcode.read) {
      this.data(opcode, cid, this.target.disk.subarray(lba * BLOCK, lba * BLOCK + length));
      this.respond(opcode, cid);
    } else if (opcode !== nvmOpcode.write) this.respond(opcode, cid);
    else if (sqeSgl1Identifier(view, sqe) === sglId.inCapsule) {
      this.target.disk.set(pdu.subarray(72, 72 + length), lba * BLOCK);
      this.respond(opcode, cid);
    } else {
      this.writes.set(cid, { lba, length, got: 0 });
      const bytes = new Uint8Array(pduHeaderLength.r2t);
      encodeR2t(viewOf(bytes), 0, 0, cid, 77, 0, length);
      this.send(pduType.r2t, opcode, bytes);
    }
  }

  private takeData(pdu: Buffer, view: DataView): void {
    const cid = view.getUint16(8, true);
    const write = this.writes.get(cid);
    if (write === undefined) return;
    const data = pdu.subarray(PDO);
    this.target.disk.set(data, write.lba * BLOCK + view.getUint32(12, true));
    write.got += data.length;
    if (write.got < write.length) return;
    this.writes.delete(cid);
    this.respond(nvmOpcode.write, cid);
  }
}
