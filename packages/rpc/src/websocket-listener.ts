import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage as HttpRequest, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { CloseCallbacks } from './close-callbacks.ts';
import { RpcError, rpcCode } from './errors.ts';
import { JsonScanError } from './json-scanner.ts';
import { limits } from './limits.ts';
import { parseMessage } from './message.ts';
import { errorText, type RpcConnection, type RpcServer } from './server.ts';

/** Name of the protocol inside the WebSocket, for clients that send their token as a second one. */
export const websocketProtocol = 'spdk-rpc';
const tokenPrefix = 'token.';
const pingInterval_ms = 30_000;

export interface WebSocketListenerOptions {
  /** `HOST:PORT`, `[V6]:PORT`, `:PORT` or `PORT`; without a host, 127.0.0.1. Port 0 takes a free one. */
  readonly address: string;
  /** Secret that clients must show; a random one when absent. */
  readonly token?: string;
  /** Origins whose web pages may connect, such as `http://127.0.0.1:8080`. None when absent. */
  readonly origins?: readonly string[];
}

export interface WebSocketListener {
  readonly host: string;
  readonly port: number;
  readonly token: string;
  /** Where to connect, with the token. */
  readonly url: string;
  readonly connections: number;
  close(): Promise<void>;
}

/** Splits the argument of --ws. Throws an Error that says what is accepted. */
export function parseListenAddress(address: string): { host: string; port: number } {
  const match = /^(?:(?:\[([^\]]+)\]|([^:]*)):)?(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    throw new Error(
      `WebSocket address "${address}": give HOST:PORT, [IPV6]:PORT or PORT, with a port up to 65535`,
    );
  }
  return { host: match[1] ?? (match[2] || '127.0.0.1'), port };
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Every place a client may put its token: Authorization, ?token=, or a protocol `token.…`. */
function tokenOf(request: HttpRequest): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '');
  if (bearer !== null) return bearer[1];
  const query = new URL(request.url ?? '/', 'ws://local').searchParams.get('token');
  if (query !== null) return query;
  const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return protocols.find((name) => name.startsWith(tokenPrefix))?.slice(tokenPrefix.length);
}

function refuse(socket: Duplex, status: number, text: string): void {
  const body = `${text}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}

class WebSocketConnection implements RpcConnection {
  readonly id: number;
  readonly transport = 'websocket';
  readonly socket: WebSocket;
  alive = true;
  readonly #server: RpcServer;
  readonly #closing = new CloseCallbacks();
  #outstanding = 0;

  constructor(id: number, server: RpcServer, socket: WebSocket) {
    this.id = id;
    this.#server = server;
    this.socket = socket;
    socket.on('message', (data: RawData) => this.#receive(bytesOf(data)));
    socket.on('pong', () => {
      this.alive = true;
    });
    socket.on('error', (error) => server.log.debug(`RPC WebSocket ${id}: ${error.message}`));
    socket.on('close', () => this.#closing.run());
  }

  onClose(callback: () => void): () => void {
    return this.#closing.add(callback);
  }

  push = (text: string): void => {
    if (this.socket.readyState !== this.socket.OPEN) return;
    this.socket.send(text);
    if (this.socket.bufferedAmount > limits.outputBytes) {
      this.#server.log.warn(`RPC WebSocket ${this.id} dropped: its answers are not read`);
      this.socket.terminate();
    }
  };

  #receive(bytes: Uint8Array): void {
    let message: ReturnType<typeof parseMessage>;
    try {
      message = parseMessage(bytes);
    } catch (error) {
      if (!(error instanceof JsonScanError)) throw error;
      this.push(errorText('null', new RpcError(rpcCode.parseError, `Parse error: ${error.message}`)));
      return;
    }
    this.#outstanding += 1;
    if (this.#outstanding >= limits.outstanding) this.socket.pause();
    void this.#server.answer(message, this).then((text) => {
      this.#outstanding -= 1;
      if (text !== undefined) this.push(text);
      if (this.socket.isPaused) this.socket.resume();
    });
  }
}

/** What listenWebSocket says. */
export async function openWebSocketListener(
  server: RpcServer,
  options: WebSocketListenerOptions,
): Promise<WebSocketListener> {
  const { host, port } = parseListenAddress(options.address);
  const token = options.token ?? randomBytes(24).toString('base64url');
  if (token === '') throw new Error('WebSocket token is empty; give one or leave it out for a random one');
  const expected = digest(token);
  const origins = new Set(options.origins);
  const connections = new Set<WebSocketConnection>();
  let nextId = 1;

  const http = createServer((_request, response) => {
    response.writeHead(426, { Connection: 'close', Upgrade: 'websocket', 'Content-Type': 'text/plain' });
    response.end('This is a WebSocket: connect with ws://, and with the token.\n');
  });
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: limits.requestBytes,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(websocketProtocol) ? websocketProtocol : false),
  });
  http.on('upgrade', (request: HttpRequest, socket: Duplex, head: Buffer) => {
    socket.on('error', () => {});
    const { origin } = request.headers;
    const shown = tokenOf(request);
    if (origin !== undefined && !origins.has(origin)) {
      server.log.warn(
        `RPC WebSocket refused a page of ${JSON.stringify(origin.slice(0, 200))}: its origin is not allowed`,
      );
      refuse(socket, 403, `Origin ${origin} is not allowed; add it to the allowed origins`);
    } else if (shown === undefined || !timingSafeEqual(digest(shown), expected)) {
      refuse(socket, 401, 'Token missing or wrong; give it as ?token= or as Authorization: Bearer');
    } else if (connections.size >= limits.connections) {
      refuse(socket, 503, `There are ${limits.connections} connections already; close one`);
    } else {
      sockets.handleUpgrade(request, socket, head, (ws) => {
        const connection = new WebSocketConnection(nextId++, server, ws);
        connections.add(connection);
        connection.onClose(() => connections.delete(connection));
      });
    }
  });

  await new Promise<void>((resolve, reject) => {
    http.once('error', (error) =>
      reject(
        new Error(
          `WebSocket address ${options.address} cannot be used (${error.message}). Give another with --ws.`,
        ),
      ),
    );
    http.listen(port, host, resolve);
  });
  const pings = setInterval(() => {
    for (const connection of connections) {
      if (!connection.alive) connection.socket.terminate();
      else {
        connection.alive = false;
        connection.socket.ping();
      }
    }
  }, pingInterval_ms);
  pings.unref();

  const bound = (http.address() as AddressInfo).port;
  const shownHost = host.includes(':') ? `[${host}]` : host;
  return {
    host,
    port: bound,
    token,
    url: `ws://${shownHost}:${bound}/?token=${encodeURIComponent(token)}`,
    get connections() {
      return connections.size;
    },
    async close() {
      clearInterval(pings);
      const closed = new Promise<void>((resolve) => http.close(() => resolve()));
      for (const { socket } of connections) {
        socket.close(1001);
        setTimeout(() => socket.terminate(), 1000).unref();
      }
      http.closeAllConnections();
      sockets.close();
      await closed;
    },
  };
}
