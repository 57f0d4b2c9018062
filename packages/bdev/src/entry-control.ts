import { type ClaimHolder, type ClaimOptions, Claims, type ClaimType } from './claim-control.ts';
import type { BdevDescription } from './description.ts';
import { BdevError } from './errors.ts';
import type { HistogramOptions } from './histogram.ts';
import { Errno } from './io-status.ts';
import type { IoWatchControl, LateIo } from './io-watch-control.ts';
import { hideMetadata } from './metadata.ts';
import type { BdevModule } from './module.ts';

/** What a bdev's users are told. `remove`: give back channels and close the descriptor. `resize`: see its description. */
export type BdevEvent = 'remove' | 'resize';

/** Blocks of a bdev whose medium has changed, or should be looked after: what they hold may be lost. */
export interface MediaEvent {
  readonly offset_blocks: number;
  readonly num_blocks: number;
}

export interface BdevOpenOptions {
  readonly write: boolean;
  /**
   * The bdev is to be one without metadata: the layer makes them at writes, and checks them at reads. The description
   * then says hides_metadata, which {@link BdevService.getChannel} is to be told.
   */
  readonly hide_metadata?: boolean;
  readonly owner: {
    readonly name: string;
    onEvent(event: BdevEvent): void;
    /** Media events: see {@link BdevRegistry.reportMedia}. */
    onMedia?(events: readonly MediaEvent[]): void;
  };
}

/** The right to use a bdev: while one is open, the bdev stays. Channels must be put before it is closed. */
export interface BdevDescriptor {
  /** No other descriptor has the same: what the owners of its I/O may name. */
  readonly number: number;
  /** As it is now: another object after a resize. */
  readonly description: BdevDescription;
  readonly writable: boolean;
  /** Throws BdevError EPERM if somebody else's claim or descriptor is in the way. Given up by close. */
  claim(type: ClaimType, options: ClaimOptions): void;
  releaseClaim(): void;
  /**
   * Reports each I/O, on every reactor, that takes longer than so many seconds: once, and nothing else is done about
   * it. It concerns I/O whose owner names this descriptor, or none. Looks every second. 0: no longer, as after close.
   * Rejects with BdevError EINVAL.
   */
  setTimeout(timeout_s: number, report?: (late: LateIo) => void): Promise<void>;
  close(): Promise<void>;
}

/** A bdev as the registry keeps it. */
export class BdevEntry {
  description: BdevDescription;
  readonly module: BdevModule;
  readonly watch: IoWatchControl;
  readonly claims = new Claims();
  readonly descriptors = new Set<OpenDescriptor>();
  histogram: HistogramOptions | null = null;
  /** Set once unregistration has begun: resolves when the bdev is gone. */
  removal: Promise<void> | null = null;
  /** The reset that is under way. */
  reset: Promise<void> | null = null;
  /** Told when the last descriptor is closed. */
  onUnused: (() => void) | null = null;

  constructor(description: BdevDescription, module: BdevModule, watch: IoWatchControl) {
    this.description = description;
    this.module = module;
    this.watch = watch;
  }

  open(options: BdevOpenOptions): OpenDescriptor {
    const name = this.description.name;
    if (this.removal !== null) throw new BdevError(Errno.ENODEV, `bdev ${name} is being removed`);
    if (options.write && this.claims.claimed)
      throw new BdevError(
        Errno.EPERM,
        `bdev ${name} cannot be opened for writing by ${options.owner.name}: it is claimed (${this.claims.type}) by ${this.claims.modules.join(', ')}`,
      );
    const descriptor = new OpenDescriptor(this, options);
    this.descriptors.add(descriptor);
    return descriptor;
  }

  tell(event: BdevEvent): void {
    for (const descriptor of [...this.descriptors]) descriptor.owner.onEvent(event);
  }

  tellMedia(events: readonly MediaEvent[]): void {
    for (const { owner } of [...this.descriptors]) owner.onMedia?.(events);
  }

  /** Resolves when no descriptor is open. */
  unused(): Promise<void> {
    if (this.descriptors.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.onUnused = resolve;
    });
  }
}

let numbers = 0;

export class OpenDescriptor implements BdevDescriptor, ClaimHolder {
  readonly number = ++numbers;
  write: boolean;
  readonly owner: BdevOpenOptions['owner'];
  private readonly entry: BdevEntry;
  private readonly hide_metadata: boolean;
  /** What ends the watch for late I/O, once it has begun: one change after another. */
  private watching: Promise<(() => Promise<void>) | null> = Promise.resolve(null);

  constructor(entry: BdevEntry, { write, owner, hide_metadata = false }: BdevOpenOptions) {
    this.entry = entry;
    this.hide_metadata = hide_metadata;
    this.write = write;
    this.owner = owner;
  }

  get description(): BdevDescription {
    return this.hide_metadata ? hideMetadata(this.entry.description) : this.entry.description;
  }
  get writable(): boolean {
    return this.write;
  }

  claim(type: ClaimType, options: ClaimOptions): void {
    const why = this.entry.claims.claim(this, type, options, this.entry.descriptors);
    if (why !== null)
      throw new BdevError(
        Errno.EPERM,
        `${options.module} cannot claim bdev ${this.description.name} (${type}): ${why}`,
      );
  }

  releaseClaim(): void {
    this.entry.claims.release(this);
  }

  async setTimeout(timeout_s: number, report: (late: LateIo) => void = () => {}): Promise<void> {
    const { entry, number: descriptor } = this;
    const change = this.watching.then(async (end) => {
      await end?.();
      const wanted = timeout_s !== 0 && entry.descriptors.has(this);
      return wanted
        ? await entry.watch.watch({ id: entry.description.id, descriptor }, timeout_s, report)
        : null;
    });
    this.watching = change.catch(() => null);
    await change;
  }

  async close(): Promise<void> {
    const { entry } = this;
    if (!entry.descriptors.delete(this)) return;
    this.releaseClaim();
    const unwatched = this.setTimeout(0);
    if (entry.descriptors.size === 0) {
      entry.onUnused?.();
      entry.onUnused = null;
    }
    await unwatched;
  }
}
