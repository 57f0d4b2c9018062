import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  ADMIN_QUEUE_MIN_ENTRIES,
  CAPSULE_ENTRY_OFFSET,
  CNTLID_DYNAMIC,
  connectData,
  encodeCapsuleCmdHeader,
  encodeConnect,
  encodeIcReq,
  pduHeaderLength,
  pduType,
} from '@spdk-ts/nvme-spec';
import { ADDRESS, SUBSYSTEM_NQN } from './listen-address.ts';

/*
 * Hosts that connect and then do nothing: one admin queue each, without keep-alive.
 */

const CONNECT_DATA_LENGTH = 1024;
/** Status Field of a completion entry, phase bit included; the entry's last two bytes. */
const STATUS_OFFSET = CAPSULE_ENTRY_OFFSET + 14;
const ANSWER_MS_MAX = 10_000;
/** SGL identifier of data in the capsule: Data Block descriptor, offset from its start. */
const SGL_IN_CAPSULE = 0x01;

/** Opens connections until there are `count`. Throws an Error if the target refuses one. */
export async function openIdleConnections(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  try {
    for (let i = 0; i < count; i++) sockets.push(await openOne(port, i));
  } catch (error) {
    for (const socket of sockets) socket.destroy();
    throw new Error(`idle connection ${sockets.length + 1} of ${count}: ${(error as Error).message}`);
  }
  return sockets;
}

async function openOne(port: number, index: number): Promise<Socket> {
  const socket = connect(port, ADDRESS);
  try {
    await once(socket, 'connect');
    const answers = new Answers(socket);
    socket.write(icReq());
    await answers.pdu(pduType.icResp, pduHeaderLength.icResp);
    socket.write(connectCapsule(index));
    const answer = await answers.pdu(pduType.capsuleResp, pduHeaderLength.capsuleResp);
    const status = answer.readUInt16LE(STATUS_OFFSET) >> 1;
    if (status !== 0) throw new Error(`Connect was refused with status 0x${status.toString(16)}`);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function icReq(): Buffer {
  const pdu = Buffer.alloc(pduHeaderLength.icReq);
  encodeIcReq(viewOf(pdu), 0, { pfv: 0, hpda: 0, dgst: 0, maxr2t: 1 });
  return pdu;
}

function connectCapsule(index: number): Buffer {
  const header = pduHeaderLength.capsuleCmd;
  const pdu = Buffer.alloc(header + CONNECT_DATA_LENGTH);
  encodeCapsuleCmdHeader(viewOf(pdu), 0, 0, header, CONNECT_DATA_LENGTH);
  encodeConnect(viewOf(pdu), CAPSULE_ENTRY_OFFSET, {
    ...{ qid: 0, entries: ADMIN_QUEUE_MIN_ENTRIES, katoMs: 0 },
    sgl1: { identifier: SGL_IN_CAPSULE, address: 0, length: CONNECT_DATA_LENGTH },
  });
  const hostid = Buffer.alloc(16);
  hostid.writeUInt32BE(0xb0000000 + index, 12);
  const hostnqn = `nqn.2026-11.io.spdk-ts.bench:idle${index}`;
  const fields = { hostid, cntlid: CNTLID_DYNAMIC, subnqn: SUBSYSTEM_NQN, hostnqn };
  connectData.encode(fields, pdu, header);
  return pdu;
}

const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** Reads PDUs of known type and length from a socket. */
class Answers {
  readonly #socket: Socket;
  constructor(socket: Socket) {
    this.#socket = socket;
  }

  async pdu(type: number, length: number): Promise<Buffer> {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    for (;;) {
      const bytes = this.#socket.read(length) as Buffer | null;
      if (bytes !== null) {
        if (bytes.length < length) throw new Error('the target closed the connection');
        if (bytes[0] !== type) throw new Error(`PDU of type ${bytes[0]} in place of ${type}`);
        return bytes;
      }
      if (this.#socket.readableEnded || this.#socket.destroyed)
        throw new Error('the target closed the connection');
      await Promise.race([once(this.#socket, 'readable', { signal }), once(this.#socket, 'end', { signal })]);
    }
  }
}
