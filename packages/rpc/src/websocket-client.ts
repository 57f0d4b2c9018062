// Runs in browsers too: nothing of Node here.
import { type RpcChannel, RpcClient, type RpcClientOptions, RpcConnectionError } from './client.ts';

/** The part of the WebSocket interface that is used; browsers, Node 22 and the package ws have it. */
export interface WebSocketLike {
  send(text: string): void;
  close(): void;
  addEventListener(type: 'open' | 'close' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
}
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

export interface WebSocketClientOptions extends RpcClientOptions {
  /** Secret of the server, unless the URL has it as `?token=`. */
  readonly token?: string;
  /** Implementation of WebSocket; the global one when absent. */
  readonly WebSocket?: WebSocketConstructor;
}

/** Connects to `ws://host:port/`. Rejects with an RpcConnectionError when the server refuses. */
export async function connectWebSocket(
  url: string,
  options: WebSocketClientOptions = {},
): Promise<RpcClient> {
  const Implementation = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (Implementation === undefined) {
    throw new RpcConnectionError(
      'there is no WebSocket here; give one as an option, such as that of the package ws',
    );
  }
  // In a protocol, because a page cannot set headers and addresses get logged.
  const protocols = options.token === undefined ? [] : ['spdk-rpc', `token.${options.token}`];
  const socket = new Implementation(url, protocols);
  const channel: RpcChannel = {
    send: (text) => socket.send(text),
    close: () => socket.close(),
    onMessage: () => {},
    onClose: () => {},
  };
  socket.addEventListener('message', ({ data }) => {
    if (typeof data === 'string') channel.onMessage(JSON.parse(data));
  });
  await new Promise<void>((resolve, reject) => {
    const refused = () =>
      reject(
        new RpcConnectionError(
          `cannot connect to ${url.replace(/\?.*/, '')}: is the server there, and the token right?`,
        ),
      );
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', refused);
    socket.addEventListener('close', () => {
      refused();
      channel.onClose();
    });
  });
  return new RpcClient(channel, options);
}
