import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Scope } from '../scope.ts';
import { Ours } from './ours.ts';

/** The commit that a reference names, in short. Throws an Error if there is none. */
export function resolveCommit(root: string, reference: string): string {
  try {
    const args = ['rev-parse', '--short', '--verify', '--quiet', `${reference}^{commit}`];
    return execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  } catch {
    throw new Error(`commit:${reference}: git knows no such commit here`);
  }
}

/**
 * Checks a commit of our own out beside this one, installs and builds it. It is removed with the scope. `say` is
 * told what goes on. Throws an Error with the end of the output of what failed.
 */
export async function buildCommit(
  scope: Scope,
  root: string,
  reference: string,
  say: (line: string) => void,
): Promise<Ours> {
  const commit = resolveCommit(root, reference);
  const directory = join(scope.directory, `commit-${commit}`);
  const git = (...args: string[]) => ({ argv: ['git', ...args], cwd: root, stopSignal: 'SIGTERM' as const });
  scope.defer(
    async () => await scope.spawn(git('worktree', 'remove', '--force', directory)).exited,
    () => {
      rmSync(directory, { recursive: true, force: true });
      execFileSync('git', ['worktree', 'prune'], { cwd: root, stdio: 'ignore' });
    },
  );
  await scope.spawn(git('worktree', 'add', '--detach', directory, commit)).success('git worktree failed');
  for (const args of [
    ['ci', '--no-audit', '--no-fund'],
    ['run', 'build'],
  ]) {
    say(`${reference} (${commit}): npm ${args.join(' ')}`);
    await scope
      .spawn({ argv: ['npm', ...args], cwd: directory, stopSignal: 'SIGTERM' })
      .success(`commit:${reference} cannot be built`);
  }
  return new Ours(directory);
}
