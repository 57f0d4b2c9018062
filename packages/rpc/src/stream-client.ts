import { connect, type Socket } from 'node:net';
import { ByteQueue } from './byte-queue.ts';
import { type RpcChannel, RpcClient, type RpcClientOptions, RpcConnectionError } from './client.ts';
import { JsonScanError, JsonScanner } from './json-scanner.ts';

const decoder = new TextDecoder();

/** Makes a channel of a connected stream. Answers are told apart by their JSON, not by lines. */
function streamChannel(socket: Socket): RpcChannel {
  const input = new ByteQueue();
  const scanner = new JsonScanner({ details: false });
  let reason: Error | undefined;
  const channel: RpcChannel = {
    send: (text) => socket.write(text),
    close: () => socket.destroy(),
    onMessage: () => {},
    onClose: () => {},
  };
  socket.on('data', (chunk: Buffer) => {
    input.push(chunk);
    try {
      while (input.length > 0) {
        const length = scanner.scan(input.bytes, input.start, input.end);
        if (length < 0) return;
        const text = decoder.decode(input.bytes.subarray(input.start, input.start + length));
        input.consume(length);
        scanner.reset();
        channel.onMessage(JSON.parse(text));
      }
    } catch (error) {
      if (!(error instanceof JsonScanError)) throw error;
      reason = new RpcConnectionError(`the answer is not JSON: ${error.message}; is this an RPC server?`);
      socket.destroy();
    }
  });
  socket.on('error', (error) => {
    reason ??= new RpcConnectionError(error.message);
  });
  socket.on('close', () => {
    const partial = scanner.started
      ? new RpcConnectionError('the connection closed inside an answer')
      : undefined;
    channel.onClose(reason ?? partial);
  });
  return channel;
}

function open(target: { path: string } | { host: string; port: number }, options: RpcClientOptions) {
  return new Promise<RpcClient>((resolve, reject) => {
    const socket = connect(target);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      resolve(new RpcClient(streamChannel(socket), options));
    });
  });
}

/** Connects to a unix socket. Rejects with the error of node:net. */
export function connectUnix(path: string, options: RpcClientOptions = {}): Promise<RpcClient> {
  return open({ path }, options);
}

/** Connects to a TCP address that is forwarded to an RPC socket. Rejects with the error of node:net. */
export function connectTcp(host: string, port: number, options: RpcClientOptions = {}): Promise<RpcClient> {
  return open({ host, port }, options);
}
