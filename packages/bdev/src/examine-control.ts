import type { Logger } from '@spdk-ts/log';
import type { BdevDescription } from './description.ts';
import type { BdevEntry } from './entry-control.ts';
import { BdevError } from './errors.ts';
import { Errno } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { BdevModule } from './module.ts';
import { lookupKey } from './naming-control.ts';

/** What an examination asks of the registry. */
export interface ExamineParts {
  readonly log: Logger;
  /** Every module, in the order of their registration. */
  modules(): Iterable<BdevModule>;
  /** True while bdevs are examined without being asked for. */
  automatic(): boolean;
}

/**
 * Lets modules look into new bdevs: first every module's examineConfig, which may claim, then examineDisk of those
 * that may. A module that fails is logged and is in nobody's way.
 */
export class Examination {
  private readonly parts: ExamineParts;
  /** Names that were given to bdev_examine. */
  private readonly allowed: string[] = [];
  private readonly inFlight = new Set<Promise<void>>();

  constructor(parts: ExamineParts) {
    this.parts = parts;
  }

  /** The names that bdev_examine was given, for save_config. */
  get names(): readonly string[] {
    return this.allowed;
  }

  /** Takes a name for bdev_examine. Throws BdevError EINVAL while auto examine is on, EEXIST for a name it has. */
  allow(name: string): void {
    if (this.parts.automatic())
      throw new BdevError(
        Errno.EINVAL,
        `manual examine of "${name}" is not allowed while auto examine is on; ` +
          'call bdev_set_options with bdev_auto_examine false first',
      );
    if (this.allowed.includes(name))
      throw new BdevError(Errno.EEXIST, `"${name}" was given to bdev_examine already; once is enough`);
    this.allowed.push(name);
  }

  /** A bdev is gone: one that later has its name is another. */
  forget({ name, aliases }: BdevDescription): void {
    const keys = [name, ...aliases].map(lookupKey);
    for (let at = this.allowed.length - 1; at >= 0; at--)
      if (keys.includes(lookupKey(this.allowed[at]!))) this.allowed.splice(at, 1);
  }

  /** True if a bdev is to be looked into. SPDK leaves out those that cannot be read; so do we. */
  private wanted({ io_types, name, aliases }: BdevDescription): boolean {
    if ((io_types & (1 << IoType.READ)) === 0) return false;
    if (this.parts.automatic()) return true;
    const keys = [name, ...aliases].map(lookupKey);
    return this.allowed.some((allowed) => keys.includes(lookupKey(allowed)));
  }

  /**
   * Examines a bdev. Resolves when what examineConfig began has ended: bdevs that were configured beforehand are
   * there then. What examineDisk finds comes later; see {@link settled}. Never rejects.
   */
  async begin(entry: BdevEntry): Promise<void> {
    if (!this.wanted(entry.description)) return;
    const begun: Promise<void>[] = [];
    for (const module of this.parts.modules())
      if (module.examineConfig !== undefined) begun.push(this.guard(module, entry, 'examineConfig'));
    const claimers = entry.claims.modules;
    await Promise.all(begun);
    for (const module of this.parts.modules()) {
      // A key-value bdev has no blocks to look into.
      if (module.examineDisk === undefined || entry.description.kv !== null) continue;
      if (claimers.length > 0 && !claimers.includes(module.name)) continue;
      const done = this.guard(module, entry, 'examineDisk');
      this.inFlight.add(done);
      done.then(() => this.inFlight.delete(done));
    }
  }

  private async guard(
    module: BdevModule,
    { description }: BdevEntry,
    step: 'examineConfig' | 'examineDisk',
  ): Promise<void> {
    try {
      await module[step]!(description);
    } catch (error) {
      const { message } = error as Error;
      this.parts.log.error(`module ${module.name} could not examine bdev ${description.name}: ${message}`);
    }
  }

  get busy(): boolean {
    return this.inFlight.size > 0;
  }

  /** Resolves when what is in flight now has ended. */
  async settled(): Promise<void> {
    await Promise.all([...this.inFlight]);
  }
}
