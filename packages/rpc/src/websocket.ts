/**
 * WebSockets in Node.js, with the package ws, since what Node has of its own is younger than Node 20. That and node:http are
 * loaded when one is wanted: few are, and they take as long to load as much of the rest.
 */
import type { RpcClient } from './client.ts';
import type { RpcServer } from './server.ts';
import { connectWebSocket as connectWith, type WebSocketClientOptions } from './websocket-client.ts';
import type { WebSocketListener, WebSocketListenerOptions } from './websocket-listener.ts';

/** Connects to `ws://host:port/`. Rejects with an RpcConnectionError when the server refuses. */
export async function connectWebSocket(
  url: string,
  options: WebSocketClientOptions = {},
): Promise<RpcClient> {
  const { WebSocket } = await import('ws');
  return connectWith(url, { WebSocket, ...options });
}

/**
 * Serves the same methods over WebSocket: one request or batch a message. A client must show the token, and a web
 * page must come from an allowed origin, so that a page somebody happens to open cannot drive the application.
 * Rejects with an Error for the user when the address cannot be listened on.
 */
export async function listenWebSocket(
  server: RpcServer,
  options: WebSocketListenerOptions,
): Promise<WebSocketListener> {
  const { openWebSocketListener } = await import('./websocket-listener.ts');
  return openWebSocketListener(server, options);
}
