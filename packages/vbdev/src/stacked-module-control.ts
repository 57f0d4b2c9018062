import {
  type BdevDescription,
  BdevError,
  type BdevModule,
  type BdevRegistry,
  type BdevSpec,
  Errno,
  type ModuleCall,
  noZonesToWear,
  type WornZoneState,
} from '@spdk-ts/bdev';
import { type LogFlag, Logger } from '@spdk-ts/log';
import type { StackedContext } from './derived.ts';
import { Stack } from './stack-control.ts';

/** What distinguishes one kind of stacked bdev that is configured by RPC from another. `P`: its configuration. */
export interface StackedKind<P> {
  readonly module: string;
  readonly flag: LogFlag;
  /** Name, alias or UUID of the base. */
  base(params: P): string;
  /** What no two configurations may share: the name of the bdev, or of the base. */
  key(params: P): string;
  /** What a configuration makes of its base, which it has for itself. Throws BdevError for what cannot be made of this one. */
  specs(
    params: P,
    base: BdevDescription,
    context: StackedContext,
  ): readonly BdevSpec[] | Promise<readonly BdevSpec[]>;
  /** One of its bdevs is gone from all reactors; the base is let go of once this has resolved. Must not reject. */
  gone?(description: BdevDescription): Promise<void>;
  /** The calls that make it again; `parts`: the bdevs as they are, empty while the base is missing. */
  calls(params: P, parts: readonly BdevDescription[]): readonly ModuleCall[];
  /** The value of `driver_specific`. */
  info(description: BdevDescription): Record<string, unknown>;
  /** Where the zones are its own: see BdevModule. */
  wearZone?(description: BdevDescription, zone_id: number, state: WornZoneState): Promise<void>;
  /** True if its bdevs are as large as the base at any time. */
  readonly follows_size: boolean;
}

interface Configuration<P> {
  params: P;
  readonly stack: Stack;
}

/**
 * Control half of a stacked module. It remembers each configuration until it is deleted: the bdevs are there
 * whenever the base is, and come back with it.
 */
export class StackedModule<P> implements BdevModule {
  readonly name: string;
  private readonly kind: StackedKind<P>;
  private readonly bdevs: BdevRegistry;
  private readonly log: Logger;
  private readonly configurations: Configuration<P>[] = [];
  /** By number; one that was deleted stays until its last bdev is gone. */
  private readonly stacks = new Map<number, Stack>();

  constructor(bdevs: BdevRegistry, kind: StackedKind<P>) {
    this.name = kind.module;
    this.kind = kind;
    this.bdevs = bdevs;
    this.log = new Logger(kind.flag);
  }

  /**
   * Makes what is configured, or remembers it until the base is there. Resolves with the names of the bdevs, none
   * in the second case. Rejects with BdevError: EEXIST if there is such a configuration, or why it cannot be made.
   */
  async create(params: P): Promise<readonly string[]> {
    const key = this.kind.key(params);
    if (this.find(key) !== undefined)
      throw new BdevError(
        Errno.EEXIST,
        `${this.name} "${key}" is configured already; choose another, or delete it first`,
      );
    const stack = new Stack(this.bdevs, this.name, this.kind.flag, this.kind.base(params));
    const configuration: Configuration<P> = { params, stack };
    if (this.kind.follows_size) stack.onResize = (base) => this.follow(stack, base);
    this.configurations.push(configuration);
    this.stacks.set(stack.number, stack);
    try {
      if (this.open(configuration)) await this.build(configuration);
      else this.log.notice(`${this.name} "${key}" waits for its base bdev ${stack.base_name}`);
    } catch (error) {
      this.forget(configuration);
      throw error;
    }
    return stack.names;
  }

  /** False if there is no such base. */
  private open({ stack }: Configuration<P>): boolean {
    try {
      stack.open();
    } catch (error) {
      if ((error as BdevError).code === Errno.ENODEV) return false;
      throw error;
    }
    return true;
  }

  private build({ params, stack }: Configuration<P>): Promise<void> {
    return stack.build((base, context) => this.kind.specs(params, base, context));
  }

  private async follow(stack: Stack, { num_blocks }: BdevDescription): Promise<void> {
    for (const name of stack.names)
      if (this.bdevs.get(name)?.num_blocks !== num_blocks) await this.bdevs.resize(name, num_blocks);
  }

  private find(key: string): Configuration<P> | undefined {
    return this.configurations.find(({ params }) => this.kind.key(params) === key);
  }

  private forget(configuration: Configuration<P>): void {
    this.configurations.splice(this.configurations.indexOf(configuration), 1);
    if (!configuration.stack.standing) this.stacks.delete(configuration.stack.number);
  }

  /** Forgets a configuration and takes its bdevs away. Resolves when they are gone; rejects with `missing` if there is none. */
  async delete(key: string, missing: Error): Promise<void> {
    const configuration = this.find(key);
    if (configuration === undefined) throw missing;
    this.forget(configuration);
    await configuration.stack.takeDown();
  }

  /** Changes a configuration, and the contexts of its bdevs. Rejects with `missing` if there is none. */
  async change(
    key: string,
    params: (before: P) => P,
    context: (before: StackedContext) => StackedContext,
    missing: Error,
  ): Promise<void> {
    const configuration = this.find(key);
    if (configuration === undefined) throw missing;
    configuration.params = params(configuration.params);
    for (const name of configuration.stack.names) {
      const description = this.bdevs.get(name);
      if (description === undefined) continue;
      await this.bdevs.resize(name, description.num_blocks, context(description.context as StackedContext));
    }
  }

  // --- for the registry ---

  async examineConfig({ id }: BdevDescription): Promise<void> {
    const found = this.configurations.filter(
      ({ stack }) => !stack.standing && this.bdevs.get(stack.base_name)?.id === id,
    );
    await Promise.all(
      found.map(async (configuration) => {
        if (this.open(configuration)) await this.build(configuration);
      }),
    );
  }

  async destroy(description: BdevDescription): Promise<void> {
    await this.kind.gone?.(description);
    const { name, context } = description;
    const { stack: number } = context as StackedContext;
    const stack = this.stacks.get(number)!;
    stack.gone(name);
    if (!stack.standing && !this.configurations.some((other) => other.stack === stack))
      this.stacks.delete(number);
  }

  /** With the first of a configuration's bdevs. */
  config({ name, context }: BdevDescription): ModuleCall[] {
    const { stack: number } = context as StackedContext;
    const found = this.configurations.find(({ stack }) => stack.number === number);
    return found === undefined || found.stack.names[0] !== name ? [] : this.callsOf(found);
  }

  pending(): ModuleCall[] {
    return this.configurations
      .filter(({ stack }) => stack.names.length === 0)
      .flatMap((configuration) => this.callsOf(configuration));
  }

  private callsOf({ params, stack }: Configuration<P>): ModuleCall[] {
    const parts = stack.names.flatMap((name) => this.bdevs.get(name) ?? []);
    return [...this.kind.calls(params, parts)];
  }

  async wearZone(description: BdevDescription, zone_id: number, state: WornZoneState): Promise<void> {
    if (this.kind.wearZone === undefined) throw noZonesToWear(description);
    await this.kind.wearZone(description, zone_id, state);
  }

  info(description: BdevDescription): Record<string, unknown> {
    return this.kind.info(description);
  }
}
