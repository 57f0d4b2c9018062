/**
 * A TCP relay between guest and target that understands as much of NVMe/TCP (PDU headers, Connect) as it takes to
 * see what the two agreed on, and to damage a chosen PDU on its way.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { address } from './target.ts';

const IC_REQ = 0;
const IC_RESP = 1;
export const H2C_TERM_REQ = 2;
export const C2H_TERM_REQ = 3;
const CAPSULE_CMD = 4;
const CAPSULE_RESP = 5;
const H2C_DATA = 6;
const C2H_DATA = 7;
const HEADER_DIGEST = 1;
const DATA_DIGEST = 2;
const FABRICS = 0x7f;

/** What can be damaged, on queues other than the admin queue. */
export type Victim = 'data in a capsule' | 'H2C data' | 'C2H data' | 'a command' | 'a response';

/** What was seen of one connection. */
export interface Seen {
  qid: number;
  /** Digests that the host asked for and the target agreed to: 1 header, 2 data. */
  asked: number;
  agreed: number;
  /** PDUs after the handshake by type, and of these the ones flagged to have a digest. */
  pdus: number[];
  withHeaderDigest: number[];
  withDataDigest: number[];
  /** PDUs with data by type. */
  withData: number[];
}

export class Relay {
  readonly port: number;
  connections: Seen[] = [];
  /** Damages done since `damage` was last called. */
  damaged = 0;
  #server: Server;
  #sockets = new Set<Socket>();
  #targets = new Set<Socket>();
  #victim: Victim | undefined;

  private constructor(port: number, targetPort: number) {
    this.port = port;
    this.#server = createServer((host) => this.#relay(host, connect(targetPort, address)));
  }

  static async start(port: number, targetPort: number): Promise<Relay> {
    const relay = new Relay(port, targetPort);
    await new Promise<void>((resolve, reject) => {
      relay.#server.once('error', reject);
      relay.#server.listen(port, address, resolve);
    });
    return relay;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Takes nothing from the target until `release`: what it sends waits at its end, as for a slow host. */
  hold(): void {
    for (const target of this.#targets) target.pause();
  }

  release(): void {
    for (const target of this.#targets) target.resume();
  }

  /** Flips a bit in the next PDU of this kind. */
  damage(victim: Victim): void {
    this.#victim = victim;
    this.damaged = 0;
  }

  #relay(host: Socket, target: Socket): void {
    const seen: Seen = {
      qid: -1,
      asked: 0,
      agreed: 0,
      pdus: Array(16).fill(0),
      withHeaderDigest: Array(16).fill(0),
      withDataDigest: Array(16).fill(0),
      withData: Array(16).fill(0),
    };
    this.connections.push(seen);
    this.#targets.add(target);
    target.on('close', () => this.#targets.delete(target));
    for (const [from, to] of [
      [host, target],
      [target, host],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      let rest: Buffer = Buffer.alloc(0);
      from.on('data', (chunk: Buffer) => {
        rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
        let at = 0;
        while (rest.length - at >= 8) {
          const length = rest.readUInt32LE(at + 4);
          if (rest.length - at < length) break;
          this.#look(rest.subarray(at, at + length), seen);
          at += length;
        }
        if (at > 0) to.write(Buffer.from(rest.subarray(0, at)));
        rest = Buffer.from(rest.subarray(at));
      });
      from.on('error', () => {});
      from.on('end', () => to.end());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }

  #look(pdu: Buffer, seen: Seen): void {
    const type = pdu[0]!;
    const flags = pdu[1]!;
    const dataAt = pdu[3]!;
    if (type === IC_REQ) seen.asked = pdu[11]!;
    if (type === IC_RESP) seen.agreed = pdu[11]!;
    if (type === IC_REQ || type === IC_RESP) return;
    if (seen.qid < 0 && type === CAPSULE_CMD && pdu[8] === FABRICS) seen.qid = pdu.readUInt16LE(8 + 42);
    const digests = (flags & HEADER_DIGEST ? 4 : 0) + (flags & DATA_DIGEST ? 4 : 0);
    const hasData = dataAt > 0 && pdu.length > pdu[2]! + digests;
    seen.pdus[type]!++;
    if (flags & HEADER_DIGEST) seen.withHeaderDigest[type]!++;
    if (flags & DATA_DIGEST) seen.withDataDigest[type]!++;
    if (hasData) seen.withData[type]!++;
    if (!this.#victim || seen.qid < 1 || (type === CAPSULE_CMD && pdu[8] === FABRICS)) return;
    // in a header: reserved bytes, so that nothing but the digest can tell
    const where: Record<Victim, number> = {
      'data in a capsule': type === CAPSULE_CMD && hasData ? dataAt : 0,
      'H2C data': type === H2C_DATA ? dataAt : 0,
      'C2H data': type === C2H_DATA ? dataAt : 0,
      'a command': type === CAPSULE_CMD ? 8 + 8 : 0,
      'a response': type === CAPSULE_RESP ? 8 + 4 : 0,
    };
    const at = where[this.#victim];
    if (at === 0) return;
    pdu[at]! ^= 0x10;
    this.damaged++;
    this.#victim = undefined;
  }
}
