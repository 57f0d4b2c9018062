import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectUnix, type RpcClient } from '@spdk-ts/rpc';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The programs, as npx starts them. */
export const programs = {
  spdkTs: join(root, 'apps/spdk-ts/bin/spdk-ts.js'),
  rpc: join(root, 'apps/rpc/bin/rpc.js'),
  bdevperf: join(root, 'apps/bdevperf/bin/bdevperf.js'),
};

/** How a process ended, and what it said. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that was started: ended by {@link AppProcess.stop} or {@link cleanUp} at the latest. */
export class AppProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  private over: Ended | null = null;

  constructor(program: string, args: readonly string[], cwd?: string) {
    const stdio: ('ignore' | 'pipe')[] = ['ignore', 'pipe', 'pipe'];
    this.child = spawn(process.execPath, [program, ...args], { stdio, ...(cwd !== undefined && { cwd }) });
    this.child.stdout!.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.child.stderr!.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        this.over = { code, signal, stdout: this.stdout, stderr: this.stderr };
        resolve(this.over);
      });
    });
    running.add(this);
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Resolves when it has said something on either stream. Rejects if it ends before that. */
  async says(text: string): Promise<void> {
    for (let waited = 0; !`${this.stdout}${this.stderr}`.includes(text); waited += 10) {
      if (this.over !== null || waited > 20_000)
        throw new Error(`"${text}" was not said:\n${this.stdout}${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    if (this.over === null) this.child.kill(signal);
    return await this.ended;
  }
}

const running = new Set<AppProcess>();
const directories: string[] = [];
const clients: RpcClient[] = [];

/** A directory that {@link cleanUp} removes. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'spdk-ts-test-'));
  directories.push(directory);
  return directory;
}

/** Runs a program in a folder to its end. */
export const runIn = (cwd: string, program: string, ...args: string[]): Promise<Ended> =>
  new AppProcess(program, args, cwd).ended;

/** Runs a program to its end. */
export const run = (program: string, ...args: string[]): Promise<Ended> =>
  new AppProcess(program, args).ended;

/** Starts a target whose RPC is at `socket`, and waits until it listens there. */
export async function startTarget(socket: string, ...args: string[]): Promise<AppProcess> {
  const target = new AppProcess(programs.spdkTs, ['tgt', '-r', socket, ...args]);
  await target.says(`listening on ${socket}`);
  return target;
}

/** A client of a target's RPC, closed by {@link cleanUp}. */
export async function client(socket: string): Promise<RpcClient> {
  const connected = await connectUnix(socket);
  clients.push(connected);
  return connected;
}

/** Ends and removes everything that a test made. */
export async function cleanUp(): Promise<void> {
  for (const connected of clients.splice(0)) connected.close();
  await Promise.all([...running].map((one) => one.stop('SIGKILL')));
  running.clear();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
}
