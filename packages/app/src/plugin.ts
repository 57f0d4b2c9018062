import type { ReactorHost } from '@spdk-ts/reactor';
import type { Application } from './application.ts';
import type { Capability } from './capabilities.ts';

/** A call that, made again at start, restores a part of the configuration. */
export interface ConfigEntry {
  readonly method: string;
  readonly params?: Record<string, unknown>;
}

/** Part of the application with a configuration of its own, as framework_get_subsystems lists it. */
export interface Subsystem {
  readonly name: string;
  readonly depends_on: readonly string[];
  /** The calls that make the present configuration again, in order; null if there is nothing to say. */
  config(): ConfigEntry[] | null | Promise<ConfigEntry[] | null>;
  /** Called by framework_start_init, in order of dependency. */
  init?(): Promise<void> | void;
  /** Called at the end, of all subsystems before any is stopped: what might never come is not to be waited for any more. */
  ending?(): void;
  /** Called at the end, in the opposite order. */
  stop?(): Promise<void> | void;
}

/** Something that an application is made of. */
export interface AppPlugin {
  readonly name: string;
  /** URLs of its reactor halves: modules whose default export is a ReactorPlugin. */
  readonly reactorEntries: readonly string[];
  /** Called once, when the reactors run: adds subsystems and RPC methods. */
  setup(app: Application): Promise<void> | void;
  /** What it found on this machine. May be called before `setup`, and more than once. */
  capabilities?(host: ReactorHost): Promise<Capability[]>;
}
