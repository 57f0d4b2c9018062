/**
 * Targets for the guests: started by pid on a socket and in a folder of their own, spoken to over JSON-RPC.
 *
 * The command is ours unless the environment names another, which must take SPDK's options and methods:
 *   SPDK_TS_TARGET       command and its first arguments, split at spaces
 *   SPDK_TS_TARGET_MASK  its reactors (0x3)
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, ftruncateSync, openSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ours = fileURLToPath(new URL('../../apps/spdk-ts/bin/spdk-ts.js', import.meta.url));
const [program, ...firstArguments] = process.env['SPDK_TS_TARGET']?.split(/\s+/).filter(Boolean) ?? [
  process.execPath,
  ours,
  'tgt',
];
const mask = process.env['SPDK_TS_TARGET_MASK'] ?? '0x3';

export const address = '127.0.0.1';

// biome-ignore lint/suspicious/noExplicitAny: results are looked into where they are expected
export type Json = any;

/** An error that the target answered with. */
export class RpcError extends Error {
  readonly code: number;
  constructor(method: string, params: unknown, error: { code: number; message: string }) {
    super(`${method} ${JSON.stringify(params ?? {})}: ${error.message} (${error.code})`);
    this.code = error.code;
  }
}

/** One request on a connection of its own; resolves to the result. */
export function call(socket: string, method: string, params?: object, seconds = 20): Promise<Json> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket);
    let text = '';
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      connection.destroy();
      settle();
    };
    const timer = setTimeout(
      () => end(() => reject(new Error(`${method}: no answer within ${seconds} s; got so far: ${text}`))),
      seconds * 1000,
    );
    connection.on('connect', () =>
      connection.write(JSON.stringify({ jsonrpc: '2.0', id: 1, method, ...(params && { params }) })),
    );
    connection.on('data', (chunk) => {
      text += chunk;
      let answer: Json;
      try {
        answer = JSON.parse(text);
      } catch {
        return; // not all of it yet
      }
      end(() => (answer.error ? reject(new RpcError(method, params, answer.error)) : resolve(answer.result)));
    });
    connection.on('error', (error) => end(() => reject(new Error(`${method}: ${error.message}`))));
    connection.on('close', () =>
      end(() => reject(new Error(`${method}: closed without an answer; got: ${text}`))),
    );
  });
}

/** Resolves to what `probe` returns as soon as that is neither false nor undefined nor an exception. */
export async function eventually<T>(
  seconds: number,
  what: string,
  probe: () => T | Promise<T>,
): Promise<NonNullable<T>> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    let last: unknown;
    try {
      const value = await probe();
      if (value !== false && value !== undefined && value !== null) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s (${last})`);
    await sleep(50);
  }
}

let nextPort = 4600 + (process.pid % 1000) * 16;

/** A port that nobody listens on, below those that the kernel gives to outgoing connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = nextPort++;
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.on('error', () => resolve(false));
      server.listen(port, address, () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

export interface TargetOptions {
  readonly folder?: string;
  readonly config?: Json;
  /** Further arguments of the program, and of Node.js itself (ours only). */
  readonly args?: readonly string[];
  readonly nodeArgs?: readonly string[];
  readonly env?: Record<string, string>;
  /** A command that runs another, which it is started by. */
  readonly under?: readonly string[];
}

/** What still runs ends with this process: where tests are left out, nothing runs that comes after them. */
const running = new Set<ChildProcess>();
const endAll = (): void => running.forEach((child) => void child.kill('SIGKILL'));
process.once('exit', endAll);
process.once('SIGTERM', () => process.exit(143));

/** One target process. Several may follow each other in one folder, as after a crash. */
export class Target {
  /** Resolves when the process is gone: its exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  readonly folder: string;
  /** Everything that it wrote to standard output and standard error. */
  output = '';
  #child: ChildProcess;
  #running = true;
  #keepFolder = false;
  readonly #env: Record<string, string>;

  private constructor(folder: string, args: string[], options: TargetOptions) {
    this.folder = folder;
    this.#env = options.env ?? {};
    const nodeArgs = program === process.execPath ? (options.nodeArgs ?? []) : [];
    const command = [...nodeArgs, ...firstArguments, '-r', this.socket, '-m', mask, ...args];
    this.output = `$ ${program} ${command.join(' ')}\n`;
    const env = { ...process.env, ...options.env };
    const [file, ...rest] = [...(options.under ?? []), program!, ...command];
    this.#child = spawn(file!, rest, { stdio: ['ignore', 'pipe', 'pipe'], cwd: folder, env });
    this.#child.stdout!.on('data', (chunk) => {
      this.output += chunk;
    });
    this.#child.stderr!.on('data', (chunk) => {
      this.output += chunk;
    });
    running.add(this.#child);
    this.exited = new Promise((resolve) => {
      this.#child.on('error', (error) => {
        this.output += `${error}\n`;
        this.#running = false;
        resolve(127);
      });
      this.#child.on('close', (code, signal) => {
        this.#running = false;
        running.delete(this.#child);
        resolve(code ?? signal!);
      });
    });
  }

  get socket(): string {
    return join(this.folder, 'rpc.sock');
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get running(): boolean {
    return this.#running;
  }

  /** Starts a target and waits until it is ready for requests; with `config`, until that is loaded. */
  static async start(options: TargetOptions = {}): Promise<Target> {
    if (program === process.execPath && !existsSync(new URL('../dist/main.js', `file://${ours}`)))
      throw new Error('the target is not built: npm run build');
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'spdk-ts-guest-')));
    const args: string[] = [...(options.args ?? [])];
    if (options.config !== undefined) {
      await writeFile(join(folder, 'config.json'), JSON.stringify(options.config));
      args.push('--json', join(folder, 'config.json'));
    }
    const target = new Target(folder, args, options);
    try {
      await eventually(30, 'the target answers', async () => {
        if (!target.running) return true;
        await call(target.socket, 'framework_wait_init');
        return true;
      });
      if (!target.running) throw new Error('the target ended at once');
    } catch (error) {
      await target.kill();
      await target.dispose();
      throw new Error(`${(error as Error).message}\n${target.output}`);
    }
    return target;
  }

  rpc(method: string, params?: object): Promise<Json> {
    return call(this.socket, method, params);
  }

  /** What `save_config` writes. */
  async config(): Promise<Json> {
    const subsystems: Json[] = [];
    for (const { subsystem } of await this.rpc('framework_get_subsystems'))
      subsystems.push({ subsystem, config: await this.rpc('framework_get_config', { name: subsystem }) });
    return { subsystems };
  }

  /** Asks it to end, and returns how it did. */
  async stop(seconds = 10): Promise<number | NodeJS.Signals | 'still running'> {
    this.#child.kill('SIGTERM');
    const timer = new AbortController();
    const end = await Promise.race([
      this.exited,
      sleep(seconds * 1000, 'still running' as const, { signal: timer.signal }),
    ]);
    timer.abort();
    return end;
  }

  /** Ends it without a chance to tidy up. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  /** Kills it and starts another with `config` in the same folder, which from now on belongs to that one. */
  async replaceBy(config: Json): Promise<Target> {
    await this.kill();
    this.#keepFolder = true;
    const next = await Target.start({ folder: this.folder, config, env: this.#env });
    next.output = `${this.output}(killed)\n${next.output}`;
    return next;
  }

  /** Ends it if it still runs, and removes its folder. */
  async dispose(): Promise<void> {
    if (this.#running) await this.kill();
    if (!this.#keepFolder) await rm(this.folder, { recursive: true, force: true });
  }

  async has(method: string): Promise<boolean> {
    return (await this.rpc('rpc_get_methods')).includes(method);
  }

  /** How many reactors share the connections: one, where a connection cannot be handed to another. */
  async servingReactors(): Promise<number> {
    if (await this.has('framework_get_capabilities')) {
      const { capabilities } = await this.rpc('framework_get_capabilities');
      if (!capabilities.find((c: Json) => c.name === 'connection_spreading').available) return 1;
    }
    return (await this.rpc('framework_get_reactors')).reactors.length;
  }

  /** A bdev in a regular file of the target's folder, whose path is returned. */
  async createFileBdev(name: string, bytes: number, blockSize: number): Promise<string> {
    const filename = join(this.folder, `${name}.img`);
    if (await this.has('bdev_file_create')) {
      await this.rpc('bdev_file_create', { name, filename, size: bytes, block_size: blockSize });
    } else {
      // SPDK's way: the file is there already
      const file = openSync(filename, 'w');
      ftruncateSync(file, bytes);
      closeSync(file);
      await this.rpc('bdev_aio_create', { name, filename, block_size: blockSize, fallocate: true });
    }
    return filename;
  }

  createMalloc(name: string, bytes: number, blockSize = 512): Promise<string> {
    return this.rpc('bdev_malloc_create', { name, num_blocks: bytes / blockSize, block_size: blockSize });
  }

  /** The transport with its defaults, unless it is there. */
  async createTransport(): Promise<void> {
    if ((await this.rpc('nvmf_get_transports')).length === 0)
      await this.rpc('nvmf_create_transport', { trtype: 'TCP' });
  }

  /** A subsystem open to any host, with these bdevs as namespaces 1, 2, … and a listener on `port`. */
  async export(nqn: string, bdevs: string[], port: number, serial = 'SPDKTS0000000000001'): Promise<void> {
    await this.createTransport();
    await this.rpc('nvmf_create_subsystem', { nqn, allow_any_host: true, serial_number: serial });
    for (const bdev_name of bdevs) await this.rpc('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name } });
    await this.rpc('nvmf_subsystem_add_listener', { nqn, listen_address: listenAddress(port) });
  }

  /** Controllers that hosts have, in all subsystems. */
  async controllers(): Promise<Json[]> {
    const all: Json[] = [];
    for (const { nqn } of await this.rpc('nvmf_get_subsystems'))
      all.push(...(await this.rpc('nvmf_subsystem_get_controllers', { nqn })));
    return all;
  }
}

export const listenAddress = (port: number) => ({
  trtype: 'TCP',
  adrfam: 'IPv4',
  traddr: address,
  trsvcid: String(port),
});
