import { fileURLToPath } from 'node:url';
import type { Side } from '../scenario/types.ts';
import type { Scope } from '../scope.ts';
import { Skip } from '../skip.ts';
import { Ours } from './ours.ts';
import type { Program } from './program.ts';
import { Spdk, type SpdkTarget } from './spdk.ts';
import { buildCommit } from './worktree.ts';

/** The checkout that this bench is part of. */
export const ownRoot = fileURLToPath(new URL('../../../../', import.meta.url));

/** The programs that sides name, each found or built once. */
export class Programs {
  readonly ours = new Ours(ownRoot);
  /** Null without --spdk. */
  readonly spdk: Spdk | null;
  readonly #scope: Scope;
  readonly #say: (line: string) => void;
  readonly #commits = new Map<string, Promise<Ours>>();

  /** `say` is told what takes long. Throws an Error if `spdkDirectory` holds no SPDK. */
  constructor(
    scope: Scope,
    spdkDirectory: string | null,
    spdkTarget: SpdkTarget,
    say: (line: string) => void,
  ) {
    this.#scope = scope;
    this.#say = say;
    this.spdk = spdkDirectory === null ? null : new Spdk(spdkDirectory, spdkTarget);
  }

  /** The target and bdevperf of a side. Throws Skip if there are none here. */
  async of({ program }: Side): Promise<Program> {
    if (program === 'ours') return this.ours;
    if (program === 'spdk') {
      if (this.spdk === null) throw new Skip('no SPDK: give its directory with --spdk DIR');
      return this.spdk;
    }
    const commit = /^commit:(.+)$/.exec(program)?.[1];
    if (commit === undefined) throw new Skip(`'${program}' has no target and no bdevperf`);
    let built = this.#commits.get(commit);
    if (built === undefined) {
      built = buildCommit(this.#scope, ownRoot, commit, this.#say);
      this.#commits.set(commit, built);
    }
    return await built;
  }
}
