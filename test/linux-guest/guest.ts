/**
 * Runs of the guest tool: a virtual machine with a real Debian kernel that works through a list of bash scripts,
 * and tells of each when it ends. While they run, they may ask the host for things (`host NAME` in prelude.sh).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const tool = fileURLToPath(new URL('guest', import.meta.url));
const prelude = fileURLToPath(new URL('prelude.sh', import.meta.url));

/** Answers to `host NAME ARGUMENT` of a script; what it returns is printed there, if it is not undefined. */
export type Handlers = Record<string, (argument: string) => unknown>;

export interface Script {
  bash: string;
  host?: Handlers;
}

export interface GuestOptions {
  scripts: Script[];
  /** Shell variables that all scripts see. */
  variables: Record<string, string | number>;
  cpus?: number;
  memoryMiB?: number;
  /** Ports of the host's 127.0.0.1 that lead to ports of the guest. */
  forward?: Readonly<Record<number, number>>;
  /** More arguments of QEMU, split at spaces. */
  qemu?: string[];
  /** Devices, as the guest tool's -d has them. */
  devices?: readonly string[];
  /** The guest is killed after this long. */
  seconds?: number;
}

/** How one script ended. */
export interface Result {
  status: number;
  /** Standard output and standard error. */
  output: string;
  /** What its handlers on the host threw. */
  hostErrors: unknown[];
}

/** How the guest ended. */
export interface End {
  status: number;
  /** The guest tool's own words. */
  output: string;
  dmesg: string;
}

let ready: Promise<void> | undefined;

/** Downloads and builds what a guest needs, if that is not here yet. */
export function prepareGuest(): Promise<void> {
  ready ??= new Promise((resolve, reject) => {
    const child = spawn(tool, ['build'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        output += chunk;
      });
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve();
      else
        reject(
          new Error(
            'No guest can be built on this machine, so nothing here was tested. It takes a Debian with apt, its ' +
              `archive keys and a mirror that answers (test/linux-guest/guest, \`guest build\`):\n${output}`,
          ),
        );
    });
  });
  return ready;
}

/** A guest that runs. */
export class Guest {
  /** The job folder, which the guest sees as /job. */
  readonly folder: string;
  readonly ended: Promise<End>;
  #child: ChildProcess;
  #scripts: Script[];
  #results = new Map<number, Result>();
  #waiting = new Map<number, () => void>();
  #calls = new Set<string>();
  #hostErrors: unknown[][];
  #watch: NodeJS.Timeout;
  #over = false;

  private constructor(folder: string, options: GuestOptions) {
    const seconds = options.seconds ?? 480;
    this.folder = folder;
    this.#scripts = options.scripts;
    this.#hostErrors = options.scripts.map(() => []);
    const args = ['run', '-l', '-j', folder, '-t', String(seconds), '-c', String(options.cpus ?? 2)];
    if (options.memoryMiB) args.push('-m', String(options.memoryMiB));
    for (const [from, to] of Object.entries(options.forward ?? {})) args.push('-f', `${from}:${to}`);
    for (const more of options.qemu ?? []) args.push('-q', more);
    for (const device of options.devices ?? []) args.push('-d', device);
    // a process group of its own, so that it can be stopped as a whole
    this.#child = spawn(tool, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    const variables = { limit: seconds, ...options.variables };
    this.#child.stdin!.end(
      [
        ...Object.entries(variables).map(([name, value]) => `${name}='${value}'`),
        `. '${prelude}'`,
        `for n in {1..${options.scripts.length}}; do run_check $n; done`,
        '',
      ].join('\n'),
    );
    let output = '';
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.on('data', (chunk) => {
        output += chunk;
      });
    this.ended = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', async (status) => {
        clearInterval(this.#watch);
        await this.#look().catch(() => {});
        this.#over = true;
        for (const wake of this.#waiting.values()) wake();
        const log = ['dmesg.log', 'dmesg.live'].map((name) => join(folder, name)).find(existsSync);
        resolve({ status: status ?? 125, output, dmesg: log ? readFileSync(log, 'utf8') : '' });
      });
    });
    this.ended.catch(() => {});
    let looking = false;
    this.#watch = setInterval(async () => {
      if (looking) return;
      looking = true;
      await this.#look().catch(() => {});
      looking = false;
    }, 50);
  }

  static async start(options: GuestOptions): Promise<Guest> {
    await prepareGuest();
    const folder = await mkdtemp(join(tmpdir(), 'spdk-ts-guest-job-'));
    for (const [i, { bash }] of options.scripts.entries())
      await writeFile(join(folder, `check.${i + 1}.sh`), `${bash}\n`);
    return new Guest(folder, options);
  }

  /** Resolves when the script of this index has ended, or the guest has without it. */
  async result(index: number): Promise<Result> {
    if (!this.#results.has(index) && !this.#over)
      await new Promise<void>((resolve) => this.#waiting.set(index, resolve));
    const result = this.#results.get(index);
    if (result) return result;
    const { status, output, dmesg } = await this.ended;
    const soFar = await readFile(join(this.folder, `check.${index + 1}.out`), 'utf8').catch(
      () => '(not begun)',
    );
    throw new Error(
      `The guest ended (${status}) before this script did.\n${output}\nThe script so far: ${soFar}\n` +
        `Its kernel's last words:\n${dmesg.split('\n').slice(-60).join('\n')}`,
    );
  }

  /** What the script of this index left as $out/NAME. */
  read(index: number, name: string): string {
    return readFileSync(join(this.folder, `out.${index + 1}`, name), 'utf8');
  }

  /** Stops all of the virtual machine, as a host that hangs, until `thaw`. */
  freeze(): void {
    process.kill(-this.#child.pid!, 'SIGSTOP');
  }

  thaw(): void {
    process.kill(-this.#child.pid!, 'SIGCONT');
  }

  /** Ends it if it still runs, and removes the job folder. */
  async dispose(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.thaw();
      process.kill(-this.#child.pid!, 'SIGTERM');
    }
    await this.ended;
    await rm(this.folder, { recursive: true, force: true });
  }

  async #look(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      const [kind, number, ...more] = name.split('.');
      const index = Number(number) - 1;
      if (kind === 'check' && more.join() === 'rc' && !this.#results.has(index)) {
        this.#results.set(index, {
          status: Number(await readFile(join(this.folder, name), 'utf8')),
          output: await readFile(join(this.folder, `check.${number}.out`), 'utf8'),
          hostErrors: this.#hostErrors[index]!,
        });
        this.#waiting.get(index)?.();
      } else if (kind === 'call' && more.length === 2 && !this.#calls.has(name)) {
        this.#calls.add(name);
        this.#answer(name, index);
      }
    }
  }

  async #answer(name: string, index: number): Promise<void> {
    const path = join(this.folder, name);
    const [handler, argument] = (await readFile(path, 'utf8')).split('\n');
    let answer = '0\n';
    try {
      const handle = this.#scripts[index]?.host?.[handler!];
      if (!handle) throw new Error(`the guest asks for ${handler}, which the test has no handler for`);
      const value = await handle(argument!);
      if (value !== undefined) answer += `${value}\n`;
    } catch (error) {
      this.#hostErrors[index]!.push(error);
      answer = '1\n';
    }
    await writeFile(`${path}.new`, answer);
    await rename(`${path}.new`, `${path}.answer`);
  }
}
