import { createServer } from 'node:net';
import { defaultUring } from '@spdk-ts/reactor';
import { Application } from './application.ts';
import { bdevPlugin, nvmfPlugin } from './builtin-plugins.ts';

/** A namespace in memory. */
export interface TargetNamespace {
  /** A multiple of the block size. */
  readonly size_bytes: number;
  /** 512 unless given. */
  readonly block_size?: number;
}

export interface CreateTargetOptions {
  /** Namespaces 1, 2, … ; one of 64 MiB unless given. */
  readonly namespaces?: readonly TargetNamespace[];
  readonly subnqn?: string;
  /** Cores, one reactor for each. */
  readonly cores?: readonly number[];
  /** Options of nvmf_create_transport. */
  readonly transport?: Readonly<Record<string, unknown>>;
}

/** A target in this process, on reactors of its own. */
export interface RunningTarget extends AsyncDisposable {
  readonly app: Application;
  readonly subnqn: string;
  readonly port: number;
  /** Where hosts connect to. */
  readonly transportId: string;
  /** Calls an RPC of the target's. Rejects with its error. */
  rpc(method: string, params?: Record<string, unknown>): Promise<unknown>;
  stop(): Promise<void>;
}

const ADDRESS = '127.0.0.1';
const ATTEMPTS = 16;
const DEFAULT_NQN = 'nqn.2026-11.io.spdk-ts:in-process';
const DEFAULT_NAMESPACE: TargetNamespace = { size_bytes: 64 * 1024 * 1024 };

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, ADDRESS, () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/**
 * Starts a target in this process, for programs and tests: namespaces in memory, one subsystem that any host may connect to, on a
 * free port of 127.0.0.1. No RPC socket is opened. Rejects with an Error that says what is wrong.
 */
export async function createTarget(options: CreateTargetOptions = {}): Promise<RunningTarget> {
  const { namespaces = [DEFAULT_NAMESPACE], subnqn = DEFAULT_NQN, cores = [0], transport = {} } = options;
  const app = await Application.start(
    {
      ...{ name: 'spdk-ts target', rpcSocket: null, rpcsAllowed: [], webSocket: null, webSocketToken: null },
      ...{ webSocketOrigins: [], waitForRpc: false, configFile: null, ignoreInitErrors: false },
      ...{ cores, mode: 'adaptive', seed: 1, uring: defaultUring, pidFile: null, plugins: [], explained: [] },
      shareableBuffers: false,
    },
    [await bdevPlugin({ plugins: [] }), nvmfPlugin],
  );
  try {
    const rpc = (method: string, params?: Record<string, unknown>): Promise<unknown> =>
      app.rpc.call(method as never, params as never);
    await rpc('nvmf_create_transport', { trtype: 'TCP', ...transport });
    await rpc('nvmf_create_subsystem', { nqn: subnqn, allow_any_host: true });
    for (const [index, { size_bytes, block_size = 512 }] of namespaces.entries()) {
      const name = `Memory${index + 1}`;
      await rpc('bdev_malloc_create', { name, num_blocks: size_bytes / block_size, block_size });
      await rpc('nvmf_subsystem_add_ns', { nqn: subnqn, namespace: { bdev_name: name, nsid: index + 1 } });
    }
    const port = await listen(rpc, subnqn);
    const stop = (): Promise<void> => app.stop();
    return {
      ...{ app, subnqn, port, rpc, stop },
      transportId: `trtype:TCP adrfam:IPv4 traddr:${ADDRESS} trsvcid:${port} subnqn:${subnqn}`,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await app.stop();
    throw error;
  }
}

/** Listens at a free port: another program may be faster. */
async function listen(rpc: RunningTarget['rpc'], nqn: string): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const listen_address = { trtype: 'TCP', adrfam: 'IPv4', traddr: ADDRESS, trsvcid: String(port) };
    try {
      await rpc('nvmf_subsystem_add_listener', { nqn, listen_address });
      return port;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
    }
  }
}
