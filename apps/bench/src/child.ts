import { type ChildProcess, spawn } from 'node:child_process';

/** A program to start. */
export interface Launch {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** CPUs that it and its threads may run on; absent: all. */
  readonly cores?: readonly number[];
  /** The signal that asks it to end. */
  readonly stopSignal?: NodeJS.Signals;
}

const OUTPUT_KEPT_MAX = 8 * 2 ** 20;
const STOP_MS_MAX = 8000;

/** Output as it comes, of which the end is kept. */
class Tail {
  #text = '';
  add(chunk: string): void {
    this.#text += chunk;
    if (this.#text.length > 2 * OUTPUT_KEPT_MAX) this.#text = this.#text.slice(-OUTPUT_KEPT_MAX);
  }
  get text(): string {
    return this.#text;
  }
}

/** A process that this program has started: the leader of a process group of its own, ended with all its members. */
export class Child {
  /** Resolves when it has ended and its output is read; never rejects. */
  readonly exited: Promise<void>;
  readonly pid: number;
  #process: ChildProcess;
  readonly #out = new Tail();
  readonly #err = new Tail();
  readonly #launch: Launch;
  #ended = false;
  #failure: string | null = null;

  /** Throws nothing: a program that cannot be started is one that has ended with a failure. */
  constructor(launch: Launch) {
    this.#launch = launch;
    const [file, ...args] = pinned(launch);
    this.#process = spawn(file!, args, {
      ...(launch.cwd !== undefined && { cwd: launch.cwd }),
      env: { ...process.env, ...launch.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.pid = this.#process.pid ?? -1;
    this.#process.stdout!.setEncoding('utf8').on('data', (chunk: string) => this.#out.add(chunk));
    this.#process.stderr!.setEncoding('utf8').on('data', (chunk: string) => this.#err.add(chunk));
    this.exited = new Promise((resolve) => {
      const end = (failure: string | null): void => {
        this.#ended = true;
        this.#failure ??= failure;
        resolve();
      };
      this.#process.on('error', (error) => end(error.message));
      this.#process.on('close', (code, signal) => {
        if (code === 0) end(null);
        else end(signal === null ? `exit code ${code}` : `signal ${signal}`);
      });
    });
  }

  get running(): boolean {
    return !this.#ended;
  }
  get stdout(): string {
    return this.#out.text;
  }

  /** What it was started with, as a shell would take it. */
  get commandLine(): string {
    return shellWords(this.#launch.argv);
  }

  /** An Error that says how it ended and shows the end of what it printed. */
  error(what: string): Error {
    const printed = `${this.#out.text}\n${this.#err.text}`.split('\n').filter((line) => line.trim() !== '');
    const how = this.#ended ? (this.#failure ?? 'exit code 0') : 'still running';
    const end = printed.slice(-8).map((line) => `  ${line.trimEnd().slice(0, 300)}`);
    return new Error(`${what} (${how}): ${this.commandLine}\n${end.join('\n') || '  (it printed nothing)'}`);
  }

  /** Waits for its end. Throws if it failed. */
  async success(what: string): Promise<void> {
    await this.exited;
    if (this.#failure !== null) throw this.error(what);
  }

  /** Asks it to end and waits; after some seconds, makes it. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    this.#signal(this.#launch.stopSignal ?? 'SIGINT');
    const timer = setTimeout(() => this.kill(), STOP_MS_MAX);
    await this.exited;
    clearTimeout(timer);
    // What the leader left of its group, such as the children of a shell.
    this.#signal('SIGKILL');
  }

  kill(): void {
    this.#signal('SIGKILL');
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.pid <= 0) return;
    try {
      process.kill(-this.pid, signal);
    } catch {
      // It has gone already.
    }
  }
}

function pinned({ argv, cores }: Launch): readonly string[] {
  return cores === undefined ? argv : ['taskset', '-c', cores.join(','), ...argv];
}

/** Words as a shell would take them. */
export const shellWords = (words: readonly string[]): string =>
  words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
