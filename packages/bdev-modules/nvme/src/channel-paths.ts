import { newIoStat } from '@spdk-ts/bdev';
import type { NvmeRequest } from '@spdk-ts/nvme';
import { type BdevPathsMessage, PathAccess, PathPolicy } from './context.ts';
import type { PathUser, ReactorPath } from './path.ts';

/** A channel's way over one path. */
export class IoPath {
  readonly queue: ReactorPath;
  /** Of {@link PathAccess}. */
  access: number;
  /** It has answered with an ANA error: not used until the ANA log has been read. */
  outdated = false;
  /** Counters, or null: nobody wants them. */
  readonly stat: Float64Array | null;

  constructor(queue: ReactorPath, access: number, counts: boolean) {
    this.queue = queue;
    this.access = access;
    this.stat = counts ? newIoStat() : null;
  }

  get usable(): boolean {
    return this.queue.qpair !== null && !this.outdated && this.access <= PathAccess.NON_OPTIMIZED;
  }

  /** It can be used, or may be able to be without anybody doing anything about it. */
  get hopeful(): boolean {
    return this.queue.hope && this.access !== PathAccess.LOST;
  }
}

/** Told when there are other paths, or they are in another state. */
export interface PathsOwner {
  pathsChanged(): void;
}

/** Which path a channel's I/O takes: the policy, applied to what can be used at the moment. */
export class ChannelPathChoice implements PathUser {
  /** All paths, those to be used first in front. */
  all: IoPath[] = [];
  /** The path of all I/O, unless {@link rotates}; null: there is none now. */
  current: IoPath | null = null;
  /** Each I/O asks {@link choose}. */
  rotates = false;
  /** Why {@link submitToAny} found none: of `SubmitError`, or 0. */
  refusal = 0;
  /** Those that I/O may take: optimized ones, or if there is none, the others. */
  private usable: IoPath[] = [];
  private policy: number = PathPolicy.ACTIVE_PASSIVE;
  private min_io = 1;
  private failback = true;
  private preference = 0;
  /** ROUND_ROBIN: where it is, and I/Os since it went there. */
  private turn = 0;
  private taken = 0;
  private readonly owner: PathsOwner;
  private readonly counts: boolean;

  constructor(owner: PathsOwner, counts: boolean) {
    this.owner = owner;
    this.counts = counts;
  }

  /** Takes the present paths. Returns those that are there no more. */
  apply(message: BdevPathsMessage, find: (controller: number) => ReactorPath): IoPath[] {
    const before = this.all;
    this.all = message.paths.map(({ controller, access }) => {
      const known = before.find(({ queue }) => queue.controller === controller);
      if (known === undefined) return new IoPath(find(controller), access, this.counts);
      known.access = access;
      known.outdated = false;
      return known;
    });
    this.policy = message.policy;
    this.min_io = message.min_io;
    this.failback = message.failback;
    if (message.preference !== this.preference) this.current = null;
    this.preference = message.preference;
    const gone = before.filter((path) => !this.all.includes(path));
    // A path may tell of itself at once.
    for (const { queue } of this.all) queue.use(this);
    for (const { queue } of gone) queue.leave(this);
    this.pathChanged();
    return gone;
  }

  /** Leaves all paths. */
  leave(): IoPath[] {
    const { all } = this;
    this.all = [];
    this.usable = [];
    this.current = null;
    this.rotates = false;
    for (const { queue } of all) queue.leave(this);
    return all;
  }

  pathChanged(): void {
    this.refresh();
    this.owner.pathsChanged();
  }

  private refresh(): void {
    const usable = this.all.filter((path) => path.usable);
    const best = usable.filter(({ access }) => access === PathAccess.OPTIMIZED);
    this.usable = best.length > 0 ? best : usable;
    this.rotates = this.policy !== PathPolicy.ACTIVE_PASSIVE && this.usable.length > 1;
    const stays = !this.failback && this.current !== null && this.usable.includes(this.current);
    if (!stays) this.current = this.usable[0] ?? null;
  }

  /** The path answers with ANA errors: others are taken until {@link apply} tells its state. */
  outdate(path: IoPath): void {
    path.outdated = true;
    this.refresh();
  }

  /** The next I/O's path, where there are several to choose from. */
  choose(): IoPath {
    return this.policy === PathPolicy.ROUND_ROBIN ? this.nextInTurn() : this.leastBusy();
  }

  private nextInTurn(): IoPath {
    if (this.taken >= this.min_io) {
      this.taken = 0;
      this.turn++;
    }
    if (this.turn >= this.usable.length) this.turn = 0;
    this.taken++;
    return this.usable[this.turn]!;
  }

  private leastBusy(): IoPath {
    const { usable } = this;
    let found = usable[0]!;
    let least = found.queue.qpair!.outstanding;
    for (let i = 1; i < usable.length; i++) {
      const path = usable[i]!;
      const outstanding = path.queue.qpair!.outstanding;
      if (outstanding >= least) continue;
      least = outstanding;
      found = path;
    }
    return found;
  }

  /** Gives a request to any path that takes it, other than `avoid` if there is another. Null: none does. */
  submitToAny(request: NvmeRequest, avoid: IoPath | null): IoPath | null {
    this.refusal = 0;
    const first = this.rotates ? this.choose() : this.current;
    if (first !== null && first !== avoid && this.takes(first, request)) return first;
    for (const path of this.usable)
      if (path !== avoid && path !== first && this.takes(path, request)) return path;
    return avoid?.usable && this.takes(avoid, request) ? avoid : null;
  }

  private takes(path: IoPath, request: NvmeRequest): boolean {
    const refusal = path.queue.qpair!.submit(request);
    if (refusal !== 0) this.refusal = refusal;
    return refusal === 0;
  }

  /** True if I/O takes this path at the moment, perhaps among others. */
  uses(path: IoPath): boolean {
    return this.rotates ? this.usable.includes(path) : this.current === path;
  }

  /** True if I/O that finds no path may find one later. */
  get mayCome(): boolean {
    for (const path of this.all) if (path.hopeful) return true;
    return false;
  }
}
