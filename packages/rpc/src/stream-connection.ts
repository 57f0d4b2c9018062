import type { Socket } from 'node:net';
import { ByteQueue } from './byte-queue.ts';
import { CloseCallbacks } from './close-callbacks.ts';
import { RpcError, rpcCode } from './errors.ts';
import { JsonScanError } from './json-scanner.ts';
import { limits } from './limits.ts';
import { newRequestScanner, toMessage } from './message.ts';
import { errorText, type RpcConnection, type RpcServer } from './server.ts';

/** Requests started at once: their answers may show that it is time to stop reading. */
const startsPerTurn = 32;
/** How long answers and the client may take after we decided to close. */
const linger_ms = 1000;
/** Unsent bytes above which no more requests are read. */
const outputPauseBytes = 1024 * 1024;

/**
 * One connection of a stream socket. Requests follow each other without any delimiter; every answer ends with a
 * newline and is sent as soon as it is there, whatever came before it. After bytes that cannot be JSON there is no
 * way to find the next request, so the connection is closed, as SPDK does.
 */
export class StreamConnection implements RpcConnection {
  readonly id: number;
  readonly transport = 'unix';
  readonly #server: RpcServer;
  readonly #socket: Socket;
  readonly #input = new ByteQueue();
  readonly #scanner = newRequestScanner();
  readonly #closing = new CloseCallbacks();
  #outstanding = 0;
  #ended = false;
  #broken = false;
  #isReadPlanned = false;

  constructor(id: number, server: RpcServer, socket: Socket) {
    this.id = id;
    this.#server = server;
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      if (this.#broken) return;
      this.#input.push(chunk);
      this.#read();
    });
    socket.on('end', () => {
      this.#ended = true;
      if (this.#scanner.started && !this.#broken) {
        this.#fail(rpcCode.parseError, 'Parse error: the connection ended inside a request; send it whole');
      }
      this.#finish();
    });
    socket.on('drain', () => this.#read());
    // The peer going away is no news to anybody.
    socket.on('error', () => {});
    socket.on('close', () => this.#closing.run());
  }

  onClose(callback: () => void): () => void {
    return this.#closing.add(callback);
  }

  /** Reads no more requests, and ends the connection when those in work are answered, or soon if they are not. */
  close(): void {
    this.#broken = true;
    this.#socket.resume();
    if (this.#outstanding === 0 && this.#socket.writableLength === 0) this.#socket.destroy();
    else {
      this.#finish();
      this.#destroyLater();
    }
  }

  destroy(): void {
    this.#broken = true;
    this.#socket.destroy();
  }

  /** Starts every request that is complete, while there is room for work and answers. */
  #read(): void {
    const input = this.#input;
    let starts = 0;
    while (!this.#broken && input.length > 0) {
      if (this.#outstanding >= limits.outstanding || this.#socket.writableLength > outputPauseBytes) {
        this.#socket.pause();
        return;
      }
      if (starts === startsPerTurn) {
        this.#socket.pause();
        this.#readSoon();
        return;
      }
      try {
        const length = this.#scanner.scan(input.bytes, input.start, input.end);
        const known = length < 0 ? input.length : length;
        if (this.#scanner.started && known > limits.requestBytes) {
          this.#fail(
            rpcCode.invalidRequest,
            `Invalid request: larger than ${limits.requestBytes} bytes; send several smaller requests`,
          );
          return;
        }
        if (length < 0) {
          if (!this.#scanner.started) this.#skip(input.length);
          break;
        }
        const message = toMessage(input.bytes.subarray(input.start, input.start + length), this.#scanner);
        this.#skip(length);
        this.#start(message);
        starts += 1;
      } catch (error) {
        if (!(error instanceof JsonScanError)) throw error;
        this.#fail(rpcCode.parseError, `Parse error: ${error.message}`);
        return;
      }
    }
    if (!this.#broken && this.#socket.isPaused()) this.#socket.resume();
  }

  #readSoon(): void {
    if (this.#isReadPlanned) return;
    this.#isReadPlanned = true;
    setImmediate(() => {
      this.#isReadPlanned = false;
      this.#read();
    });
  }

  #skip(count: number): void {
    this.#input.consume(count);
    this.#scanner.reset();
  }

  #start(message: Parameters<RpcServer['answer']>[0]): void {
    this.#outstanding += 1;
    void this.#server.answer(message, this).then((text) => {
      this.#outstanding -= 1;
      if (text !== undefined) this.#send(text);
      if (this.#input.length > 0) this.#readSoon();
      this.#finish();
    });
  }

  #send(text: string): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.write(`${text}\n`);
    if (this.#socket.writableLength > limits.outputBytes) {
      this.#server.log.warn(
        `RPC connection ${this.id} dropped: ${this.#socket.writableLength} bytes of answers wait and are not read`,
      );
      this.destroy();
    }
  }

  #fail(code: number, message: string): void {
    this.#server.log.debug(`RPC connection ${this.id}: ${message}`);
    this.#send(errorText('null', new RpcError(code, message)));
    this.#broken = true;
    this.#input.consume(this.#input.length);
    // What still comes in is thrown away; answers to earlier requests are still sent.
    this.#socket.resume();
    this.#finish();
  }

  /** Closes once nothing more can come in and everything is answered. */
  #finish(): void {
    const isOver = (this.#ended || this.#broken) && this.#outstanding === 0;
    if (!isOver || this.#socket.writableEnded || this.#socket.destroyed) return;
    this.#socket.end();
    // Destroyed at once, a client that is still sending might never see why.
    this.#destroyLater();
  }

  #destroyLater(): void {
    setTimeout(() => this.#socket.destroy(), linger_ms).unref();
  }
}
