import type { Socket } from 'node:net';
import { createServer, type TLSSocket, connect as tlsConnect } from 'node:tls';

/** The suite that OpenSSL takes a pre-shared key without a certificate with, and the only one of Node.js. */
const SUITE = 'TLS_AES_128_GCM_SHA256';

/** Finds the key of an identity that a peer claims; null: there is none. */
export type PskLookup = (identity: string) => Uint8Array | null;

/** Told once how a handshake ended. */
export interface TlsHandshakeOwner {
  /** It succeeded: `socket` speaks plain bytes to its user, and the peer has proved to have the key of `identity`. */
  tlsSecured(socket: Socket, identity: string): void;
  /** It failed; the connection is closed. */
  tlsFailed(reason: string): void;
}

/**
 * Handshakes of the server's side of TLS 1.3 with pre-shared keys (RFC 8446, 2.2) on connections that somebody has
 * accepted. A connection is nobody's, and has no receive area, until its peer has proved itself.
 */
export class TlsHandshakes {
  private readonly lookup: PskLookup;
  private readonly timeout_ms: number;
  private readonly pending = new Set<Socket>();

  constructor(lookup: PskLookup, timeout_ms: number) {
    this.lookup = lookup;
    this.timeout_ms = timeout_ms;
  }

  /** Handshakes that are under way. */
  get size(): number {
    return this.pending.size;
  }

  /** Begins a handshake on a connection, whose end `owner` is told later. */
  start(raw: Socket, owner: TlsHandshakeOwner): void {
    let identity: string | null = null;
    let refusal = '';
    // One that listens nowhere, and is given this connection only: so its events are of this one.
    const server = createServer({
      ...{ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: SUITE, handshakeTimeout: this.timeout_ms },
      // The declaration wants a buffer view, and has no way to say no.
      pskCallback: ((_: TLSSocket, claimed: string): Uint8Array | null => {
        const key = this.lookup(claimed);
        if (key === null) refusal = this.refusal(claimed);
        else identity = claimed;
        return key;
      }) as (socket: TLSSocket, claimed: string) => Uint8Array,
    });
    server.once('secureConnection', (socket) => {
      this.pending.delete(raw);
      if (identity !== null) owner.tlsSecured(socket, identity);
      else {
        socket.destroy();
        owner.tlsFailed('the peer has not used a pre-shared key');
      }
    });
    server.once('tlsClientError', (error, socket) => {
      this.pending.delete(raw);
      socket.destroy();
      raw.destroy();
      owner.tlsFailed(refusal === '' ? error.message : refusal);
    });
    raw.on('error', () => {}); // the handshake ends with it
    this.pending.add(raw);
    server.emit('connection', raw);
  }

  private refusal(claimed: string): string {
    const shown = claimed.replace(/[^\x20-\x7e]/g, '?').slice(0, 300);
    if (/^NVMe[01][RG]02 /.test(claimed))
      return (
        `PSK identity "${shown}" is of TLS_AES_256_GCM_SHA384: the TLS of Node.js takes pre-shared keys with ${SUITE} ` +
        'only; give the host a key of 32 bytes (01)'
      );
    return `there is no key for PSK identity "${shown}"`;
  }

  /** Ends what is under way. */
  close(): void {
    for (const raw of [...this.pending]) raw.destroy();
  }
}

/** A pre-shared key, by the identity that the ClientHello names it with. */
export interface TlsKey {
  readonly identity: string;
  readonly key: Uint8Array;
}

/**
 * Connects, and begins the client's side of a TLS 1.3 handshake with a pre-shared key: 'secureConnect' follows once the peer has
 * proved to have that key too, 'error' if it has not, or answers with anything else, a certificate say.
 */
export function connectTls(
  traddr: string,
  trsvcid: number,
  { identity, key }: TlsKey,
  /** As {@link SockGroup.connect} has it. */
  from = '',
): Socket {
  return tlsConnect({
    ...(from !== '' && { localAddress: from }),
    ...{ host: traddr, port: trsvcid, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: SUITE },
    pskCallback: () => ({ identity, psk: key }),
    // Asked only where the key was not used.
    checkServerIdentity: () => new Error('the peer has not used the pre-shared key'),
  });
}
