/**
 * One TCP connection that PDUs come out of and any bytes go into: for hosts that misbehave as well as for those
 * that do not. Knows PDUs by their lengths only; digests are verified where they are.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { crc32c, PDU_DIGEST_LENGTH, pduDataLength, pduFlag, pduHeaderLength } from '@spdk-ts/nvme-spec';

export interface Pdu {
  readonly type: number;
  readonly flags: number;
  readonly hlen: number;
  /** The whole PDU. */
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Its data, without padding and digest. */
  readonly data: Buffer;
}

/** A pre-shared key for TLS 1.3. */
export interface TlsKey {
  readonly identity: string;
  readonly key: Uint8Array;
}

function openTls(port: number, host: string, { identity, key }: TlsKey): Socket {
  const options: ConnectionOptions = {
    ...{ port, host, minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' },
    pskCallback: () => ({ identity, psk: key }),
    // There is no certificate whose name could be checked.
    checkServerIdentity: () => undefined,
  };
  return connectTls(options);
}

/** PDUs longer than this mean that the stream is not understood any more. */
const PLEN_MAX = 8 * 1024 * 1024;

export class PduStream {
  readonly socket: Socket;
  /** Bytes received in all. */
  received = 0;
  /** True once the target has ended its side, or the connection broke. */
  ended = false;
  error: Error | null = null;
  /** Gets whatever is sent, in the parts in which it was given. */
  record: Uint8Array[] | null = null;
  readonly closed: Promise<void>;
  private chunks: Buffer[] = [];
  private held = 0;
  private readonly pdus: Pdu[] = [];
  private waiter: (() => void) | null = null;
  private onPdu: ((pdu: Pdu) => void) | null = null;

  /** With `tls`, rejects if the handshake fails. */
  static async open(port: number, host = '127.0.0.1', tls?: TlsKey): Promise<PduStream> {
    const socket = tls === undefined ? connect({ port, host }) : openTls(port, host, tls);
    socket.setNoDelay(true);
    await once(socket, tls === undefined ? 'connect' : 'secureConnect');
    return new PduStream(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    socket.on('error', (error) => {
      this.error ??= error;
    });
    const end = (): void => {
      this.ended = true;
      this.wake();
    };
    socket.on('end', end);
    socket.on('close', end);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => resolve());
    });
  }

  /** Gives PDUs to `handler` as they come, instead of keeping them for {@link next}. */
  deliver(handler: (pdu: Pdu) => void): void {
    this.onPdu = handler;
    for (const pdu of this.pdus.splice(0)) handler(pdu);
  }

  private take(chunk: Buffer): void {
    this.received += chunk.length;
    this.chunks.push(chunk);
    this.held += chunk.length;
    for (;;) {
      if (this.held < pduHeaderLength.common) break;
      if (this.chunks[0]!.length < pduHeaderLength.common) this.chunks = [Buffer.concat(this.chunks)];
      const plen = this.chunks[0]!.readUInt32LE(4);
      if (plen < pduHeaderLength.common || plen > PLEN_MAX) {
        this.fail(new Error(`target sent a PDU of ${plen} bytes`));
        return;
      }
      if (this.held < plen) break;
      let all = this.chunks[0]!;
      if (all.length < plen) all = Buffer.concat(this.chunks);
      else if (this.chunks.length > 1 && all.length === plen) {
        this.chunks.shift();
        this.held -= plen;
        this.add(all);
        continue;
      }
      const rest = all === this.chunks[0] ? this.chunks.slice(1) : [];
      const left = all.subarray(plen);
      this.chunks = left.length > 0 ? [left, ...rest] : rest;
      this.held -= plen;
      this.add(all.subarray(0, plen));
    }
    this.wake();
  }

  private add(bytes: Buffer): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const flags = bytes[1]!;
    const hlen = bytes[2]!;
    let data = bytes.subarray(0, 0);
    if (bytes[0]! >= 4) {
      if (flags & pduFlag.hdgst && view.getUint32(hlen, true) !== crc32c(bytes, 0, hlen))
        this.fail(new Error('target sent a wrong header digest'));
      const length = pduDataLength(view, 0);
      const pdo = bytes[3]!;
      if (length > 0) data = bytes.subarray(pdo, pdo + length);
      if (
        length > 0 &&
        flags & pduFlag.ddgst &&
        view.getUint32(bytes.length - PDU_DIGEST_LENGTH, true) !== crc32c(data)
      )
        this.fail(new Error('target sent a wrong data digest'));
    } else if (bytes[0]! >= 2) data = bytes.subarray(hlen);
    const pdu: Pdu = { type: bytes[0]!, flags, hlen, bytes, view, data };
    if (this.onPdu !== null) this.onPdu(pdu);
    else this.pdus.push(pdu);
  }

  private fail(error: Error): void {
    this.error ??= error;
    this.socket.destroy();
  }

  private wake(): void {
    const waiter = this.waiter;
    this.waiter = null;
    waiter?.();
  }

  send(...parts: Uint8Array[]): void {
    this.record?.push(...parts.map((part) => part.slice()));
    this.socket.cork();
    for (const part of parts) this.socket.write(part);
    this.socket.uncork();
  }

  /** Sends bytes torn into pieces that the network will not join. */
  async sendTorn(bytes: Uint8Array, sizes: () => number): Promise<void> {
    for (let at = 0; at < bytes.length && !this.ended; ) {
      const end = Math.min(bytes.length, at + Math.max(1, sizes()));
      this.socket.write(bytes.subarray(at, end));
      at = end;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The next PDU, or null if the target closed first. Rejects after `ms`. */
  async next(ms = 5000): Promise<Pdu | null> {
    const end = performance.now() + ms;
    while (this.pdus.length === 0 && !this.ended) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`no PDU and no end within ${ms} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiter = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.pdus.shift() ?? null;
  }

  /** Everything until the target closes. Rejects after `ms`. */
  async untilClosed(ms = 5000): Promise<Pdu[]> {
    const pdus: Pdu[] = [];
    const end = performance.now() + ms;
    for (;;) {
      const pdu = await this.next(Math.max(1, end - performance.now()));
      if (pdu === null) return pdus;
      pdus.push(pdu);
    }
  }

  /** Closes at once. */
  destroy(): void {
    this.socket.destroy();
  }
}
