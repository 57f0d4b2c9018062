import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, type Launch } from './child.ts';

/** What has to be undone: `now` is the hasty way, for a process that is about to end. */
interface Undo {
  readonly calmly: () => Promise<void>;
  readonly now: () => void;
}

/**
 * Everything that a run leaves behind while it runs: processes, a temporary directory, worktrees. All of it is
 * undone when the run ends, fails or is interrupted.
 */
export class Scope {
  readonly #undo = new Set<Undo>();
  readonly #children = new Set<Child>();
  #directory: string | null = null;
  readonly #base: string;

  /** `base`: where the temporary directory is made. */
  constructor(base = tmpdir()) {
    this.#base = base;
  }

  /** A directory that lives as long as the scope. Its name is short: Unix sockets' paths have to be. */
  get directory(): string {
    this.#directory ??= mkdtempSync(join(this.#base, 'spdk-bench-'));
    return this.#directory;
  }

  spawn(launch: Launch): Child {
    const child = new Child(launch);
    this.#children.add(child);
    void child.exited.then(() => this.#children.delete(child));
    return child;
  }

  /** Has something undone at the end. Both ways may be called; neither may count on the other. */
  defer(calmly: () => Promise<void>, now: () => void): void {
    this.#undo.add({ calmly, now });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#children].map((child) => child.stop()));
    for (const undo of [...this.#undo].reverse()) {
      this.#undo.delete(undo);
      await undo.calmly();
    }
    this.#removeDirectory();
  }

  closeNow(): void {
    for (const child of this.#children) child.kill();
    for (const { now } of [...this.#undo].reverse()) now();
    this.#removeDirectory();
  }

  #removeDirectory(): void {
    if (this.#directory !== null) rmSync(this.#directory, { recursive: true, force: true });
    this.#directory = null;
  }
}

export const INTERRUPTED = 130;

/** Runs with a scope and closes it in any case; on SIGINT, SIGTERM and SIGHUP it closes and exits with 130. */
export async function withScope<T>(base: string | undefined, run: (scope: Scope) => Promise<T>): Promise<T> {
  const scope = new Scope(base);
  const atExit = (): void => scope.closeNow();
  let interrupted = false;
  const onSignal = (): void => {
    if (interrupted) process.exit(INTERRUPTED);
    interrupted = true;
    process.stderr.write('\ninterrupted: ending what was started (again: at once)\n');
    void scope.close().finally(() => process.exit(INTERRUPTED));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  process.on('exit', atExit);
  try {
    const result = await run(scope);
    await scope.close();
    return result;
  } catch (error) {
    // After a signal, everything fails because everything ends: the handler has the last word.
    if (interrupted) await new Promise(() => {});
    await scope.close();
    throw error;
  } finally {
    process.removeListener('exit', atExit);
    for (const signal of signals) process.removeListener(signal, onSignal);
  }
}
