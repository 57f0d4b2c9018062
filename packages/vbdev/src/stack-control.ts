import {
  type BdevDescription,
  type BdevDescriptor,
  BdevError,
  type BdevEvent,
  type BdevRegistry,
  type BdevSpec,
  Errno,
  type MediaEvent,
} from '@spdk-ts/bdev';
import { type LogFlag, Logger } from '@spdk-ts/log';
import type { StackedContext } from './derived.ts';

/** Makes the specs of what stands on a base. `context`: the common part, to be completed. Throws BdevError. */
export type SpecMaker = (
  base: BdevDescription,
  context: StackedContext,
) => readonly BdevSpec[] | Promise<readonly BdevSpec[]>;

let numbers = 0;

/**
 * One base and the bdevs that a module has put on it: opens and claims the base, registers the parts, takes them
 * down when the base goes, and lets go of the base when the last of them is gone.
 */
export class Stack {
  /** Told when the base has changed its size. */
  onResize: ((base: BdevDescription) => Promise<void>) | null = null;
  readonly module: string;
  readonly base_name: string;
  readonly number = ++numbers;
  private readonly bdevs: BdevRegistry;
  private readonly log: Logger;
  private descriptor: BdevDescriptor | null = null;
  /** Names of its bdevs, registered or about to be. */
  private readonly parts = new Set<string>();
  private building = false;
  private going = false;
  private waiting: (() => void)[] = [];
  /** Resizes, one after another. */
  private resizing: Promise<void> = Promise.resolve();

  constructor(bdevs: BdevRegistry, module: string, flag: LogFlag, base_name: string) {
    this.bdevs = bdevs;
    this.module = module;
    this.log = new Logger(flag);
    this.base_name = base_name;
  }

  /** For the descriptor of the base: who has it open. */
  get name(): string {
    return this.module;
  }
  /** True from the moment it has its base until it has let go of it. */
  get standing(): boolean {
    return this.descriptor !== null;
  }
  /** The base as it is now. */
  get base(): BdevDescription | null {
    return this.descriptor?.description ?? null;
  }
  get names(): readonly string[] {
    return [...this.parts];
  }

  /** The common part of the context of its bdevs. */
  context(base: BdevDescription): StackedContext {
    return { base_id: base.id, base_name: base.name, offset_blocks: 0, stack: this.number };
  }

  /** Opens and claims the base. Throws BdevError: ENODEV if it is not there, EPERM if it is claimed, EINVAL if it has no blocks. */
  open(): void {
    const descriptor = this.bdevs.open(this.base_name, { write: true, owner: this });
    try {
      if (descriptor.description.kv !== null)
        throw new BdevError(
          Errno.EINVAL,
          `bdev ${this.base_name} is a key-value bdev; ${this.module} stands on bdevs with blocks`,
        );
      descriptor.claim('exclusive_write', { module: this.module });
    } catch (error) {
      void descriptor.close();
      throw error;
    }
    this.descriptor = descriptor;
    this.building = true;
    this.going = false;
  }

  /**
   * After open: registers what `make` says, all of it or nothing; with `onFailure`, what can be, and it is told of
   * the rest. Rejects with BdevError, and the base is free.
   */
  async build(make: SpecMaker, onFailure?: (part: string, error: Error) => void): Promise<void> {
    const base = this.descriptor!.description;
    try {
      for (const spec of await make(base, this.context(base)))
        await this.add(spec).catch((error: Error) => {
          if (onFailure === undefined) throw error;
          onFailure(spec.name, error);
        });
    } catch (error) {
      await this.unregisterParts();
      throw error;
    } finally {
      this.building = false;
      this.letGo();
    }
    if (this.going) await this.unregisterParts();
    else if (this.base?.num_blocks !== base.num_blocks) this.onEvent('resize');
  }

  /** Registers one more part. Rejects with BdevError. */
  async add(spec: BdevSpec): Promise<void> {
    if (this.going)
      throw new BdevError(Errno.ENODEV, `bdev ${this.base_name} is being removed, and ${spec.name} with it`);
    if (this.parts.has(spec.name))
      throw new BdevError(Errno.EEXIST, `bdev ${this.base_name} has a part ${spec.name} already`);
    this.parts.add(spec.name);
    try {
      await this.bdevs.register(this.module, spec);
    } catch (error) {
      this.parts.delete(spec.name);
      throw error;
    }
    // The base went while the part was not there yet to be removed with it.
    if (this.going && !this.building) await this.unregisterParts();
  }

  /** What happens to the base. */
  onEvent(event: BdevEvent): void {
    if (event === 'remove') {
      this.going = true;
      if (!this.building) void this.unregisterParts();
      return;
    }
    this.resizing = this.resizing.then(async () => {
      if (this.building || this.going || this.descriptor === null) return;
      try {
        await this.onResize?.(this.descriptor.description);
      } catch (error) {
        this.log.error(`after bdev ${this.base_name} has changed its size: ${(error as Error).message}`);
      }
    });
  }

  /** What happens to the base's medium happens to that of its parts. */
  onMedia(events: readonly MediaEvent[]): void {
    for (const name of this.parts) {
      const part = this.bdevs.get(name);
      if (part === undefined) continue;
      const { offset_blocks } = part.context as StackedContext;
      const own: MediaEvent[] = [];
      for (const event of events) {
        const first = Math.max(0, event.offset_blocks - offset_blocks);
        const end = Math.min(part.num_blocks, event.offset_blocks + event.num_blocks - offset_blocks);
        if (end > first) own.push({ offset_blocks: first, num_blocks: end - first });
      }
      if (own.length > 0) this.bdevs.reportMedia(name, own);
    }
  }

  private async unregisterParts(): Promise<void> {
    const ended = [...this.parts].map(async (name) => {
      try {
        await this.bdevs.unregister(name, this.module);
      } catch (error) {
        // It is being removed already, or not there yet: then add removes it.
        const { code } = error as BdevError;
        if (code === Errno.EBUSY || code === Errno.ENODEV) return;
        this.log.error(`bdev ${name} was not removed: ${(error as Error).message}`);
      }
    });
    await Promise.all(ended);
  }

  /** Takes its bdevs away. Resolves when they are gone and the base is free. */
  async takeDown(): Promise<void> {
    if (this.descriptor === null) return;
    this.going = true;
    const down = new Promise<void>((resolve) => this.waiting.push(resolve));
    if (!this.building) await this.unregisterParts();
    await down;
  }

  /** For the module's `destroy`: a part is gone. */
  gone(name: string): void {
    this.parts.delete(name);
    this.letGo();
  }

  private letGo(): void {
    if (this.building || this.parts.size > 0 || this.descriptor === null) return;
    const descriptor = this.descriptor;
    this.descriptor = null;
    void descriptor.close();
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
