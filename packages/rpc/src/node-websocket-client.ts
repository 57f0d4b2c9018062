import { WebSocket } from 'ws';
import type { RpcClient } from './client.ts';
import {
  connectWebSocket as connectWith,
  type WebSocketClientOptions,
  type WebSocketConstructor,
} from './websocket-client.ts';

/** Connects to `ws://host:port/` with the WebSocket of the package ws, since that of Node is younger than Node 20. */
export function connectWebSocket(url: string, options: WebSocketClientOptions = {}): Promise<RpcClient> {
  return connectWith(url, { WebSocket: WebSocket as unknown as WebSocketConstructor, ...options });
}
