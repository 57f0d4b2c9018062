import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Launch } from '../child.ts';
import { Skip } from '../skip.ts';
import { cpuMask, type Program, type StartOptions } from './program.ts';

/** This project, in a checkout that is built. */
export class Ours implements Program {
  readonly #root: string;
  readonly version: string;

  /** `root`: the directory of the checkout. */
  constructor(root: string) {
    this.#root = root;
    this.version = `spdk-ts ${describeCommit(root)}`;
  }

  target(options: StartOptions): Launch {
    return this.#launch('apps/spdk-ts', 'spdk-ts.js', ['tgt'], options);
  }

  bdevperf(options: StartOptions): Launch {
    return this.#launch('apps/bdevperf', 'bdevperf.js', ['-z', '-l', '-l'], options);
  }

  #launch(app: string, script: string, first: readonly string[], options: StartOptions): Launch {
    const { cores, socket, args, config } = options;
    if (!existsSync(join(this.#root, app, 'dist/main.js')))
      throw new Skip(`${app} is not built: run \`npm run build\``);
    const given = ['-m', cpuMask(cores), '-r', socket, ...(config === undefined ? [] : ['-c', config])];
    return { argv: [process.execPath, join(this.#root, app, 'bin', script), ...first, ...given, ...args] };
  }
}

/** `1a2b3c4`, or `1a2b3c4 with changes`; the empty text outside of git. */
export function describeCommit(root: string): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`;
  } catch {
    return '';
  }
}
