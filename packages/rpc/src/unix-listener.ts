import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { limits } from './limits.ts';
import { type HeldLock, type LockFile, lockWithPid } from './lock-file.ts';
import type { RpcServer } from './server.ts';
import { StreamConnection } from './stream-connection.ts';

export const defaultSocketPath = '/var/tmp/spdk.sock';
/** Bytes of sun_path in struct sockaddr_un, less the NUL. */
const maxPathBytes = 107;

export interface UnixListenerOptions {
  /** `/var/tmp/spdk.sock` when absent. */
  readonly path?: string;
  /** Who may connect: permission bits of the socket, 0600 when absent, so that only the same user may. */
  readonly mode?: number;
  /** Takes `<path>.lock`; by default a file with the process id. The application hands in flock(2) where it has it. */
  readonly lockFile?: LockFile;
}

export interface UnixListener {
  readonly path: string;
  /** Open connections. */
  readonly connections: number;
  /** Stops listening, ends the connections when their answers are sent, removes the socket and its lock. */
  close(): Promise<void>;
}

function removeStaleSocket(path: string): void {
  let stat: ReturnType<typeof lstatSync>;
  try {
    stat = lstatSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (!stat.isSocket()) {
    throw new Error(
      `RPC socket path ${path} exists and is not a socket. Move it away or give another path with -r.`,
    );
  }
  unlinkSync(path);
}

function takeLock(path: string, lockFile: LockFile): HeldLock {
  let lock: HeldLock | null;
  try {
    lock = lockFile(`${path}.lock`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`RPC lock file ${path}.lock cannot be taken (${reason}). Give another path with -r.`);
  }
  if (lock === null) throw new Error(`RPC Unix domain socket path ${path} in use. Specify another.`);
  return lock;
}

/**
 * Listens on a unix socket and hands requests to `server`. 64 connections are served at once; more wait until one
 * closes. Rejects with an Error for the user when the path is in use, too long, or may not be written.
 */
export async function listenUnix(
  server: RpcServer,
  options: UnixListenerOptions = {},
): Promise<UnixListener> {
  const path = options.path ?? defaultSocketPath;
  if (Buffer.byteLength(path) > maxPathBytes) {
    throw new Error(
      `RPC socket path ${path} has more than ${maxPathBytes} bytes. Give a shorter one with -r.`,
    );
  }
  const lock = takeLock(path, options.lockFile ?? lockWithPid);
  const connections = new Set<StreamConnection>();
  const waiting: Socket[] = [];
  let nextId = 1;

  const serve = (socket: Socket) => {
    const connection = new StreamConnection(nextId++, server, socket);
    connections.add(connection);
    connection.onClose(() => {
      connections.delete(connection);
      const next = waiting.shift();
      if (next !== undefined) serve(next);
    });
    socket.resume();
  };
  const accept = (socket: Socket) => {
    if (connections.size < limits.connections) serve(socket);
    else if (waiting.length < limits.waitingConnections) {
      socket.on('error', () => {});
      waiting.push(socket);
    } else socket.destroy();
  };

  const net = createServer({ pauseOnConnect: true, allowHalfOpen: true }, accept);
  try {
    removeStaleSocket(path);
    await listen(net, path, options.mode ?? 0o600);
  } catch (error) {
    lock.release();
    throw error;
  }
  return {
    path,
    get connections() {
      return connections.size;
    },
    async close() {
      const closed = new Promise<void>((resolve) => net.close(() => resolve()));
      for (const socket of waiting.splice(0)) socket.destroy();
      const ends = [...connections].map((each) => new Promise<void>((resolve) => each.onClose(resolve)));
      for (const connection of connections) connection.close();
      await Promise.all([closed, ...ends]);
      lock.release();
    },
  };
}

function listen(net: Server, path: string, mode: number): Promise<void> {
  return new Promise((resolve, reject) => {
    net.once('error', (error) =>
      reject(new Error(`RPC socket ${path} cannot be opened (${error.message}). Give another path with -r.`)),
    );
    net.listen(path, 512, () => {
      try {
        chmodSync(path, mode);
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
}
