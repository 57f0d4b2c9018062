import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Scope, withScope } from './scope.ts';

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe('a scope', () => {
  it('ends processes, what they started, and removes its directory', async () => {
    const scope = new Scope();
    const child = scope.spawn({ argv: ['/bin/sh', '-c', 'sleep 60 & echo $!; trap "" INT; wait'] });
    while (!child.stdout.includes('\n')) await new Promise((resolve) => setTimeout(resolve, 10));
    const grandchild = Number(child.stdout);
    const { directory } = scope;
    expect([existsSync(directory), alive(child.pid), alive(grandchild)]).toEqual([true, true, true]);
    scope.closeNow();
    await child.exited;
    expect(existsSync(directory)).toBe(false);
    expect(alive(child.pid)).toBe(false);
  });

  it('closes when what runs in it fails', async () => {
    let directory = '';
    let undone = 0;
    const failing = withScope(undefined, async (scope) => {
      directory = scope.directory;
      scope.defer(
        async () => void undone++,
        () => {},
      );
      throw new Error('failed');
    });
    await expect(failing).rejects.toThrow('failed');
    expect([existsSync(directory), undone]).toEqual([false, 1]);
  });

  it('says how a program ended, with the end of its output', async () => {
    const scope = new Scope();
    const child = scope.spawn({ argv: ['/bin/sh', '-c', 'echo one; echo two >&2; exit 7'] });
    await expect(child.success('no luck')).rejects.toThrow(/no luck \(exit code 7\)[\s\S]*one[\s\S]*two/);
    const missing = scope.spawn({ argv: ['/no/such/program'] });
    await expect(missing.success('no luck')).rejects.toThrow('ENOENT');
    await scope.close();
  });
});
