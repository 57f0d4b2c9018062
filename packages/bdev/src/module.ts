import type { Reactor, ReactorHost, Thread } from '@spdk-ts/reactor';
import type { BdevIo } from './bdev-io.ts';
import type { BdevDescription, BdevSpec } from './description.ts';
import type { WornZoneState } from './zone-wear-control.ts';

/** A call that makes what a module has again, for save_config. */
export interface ModuleCall {
  method: string;
  params: Record<string, unknown>;
}

/** A module's half on the control thread: validates, opens files, allocates memory. */
export interface BdevModule {
  /** Name of both halves. */
  readonly name: string;
  /** Called when a device was unregistered and no reactor holds it any more: closes files, frees memory. */
  destroy(description: BdevDescription): Promise<void> | void;
  /** The RPC calls that make the device again, for save_config. None for one that examination finds again. */
  config(description: BdevDescription): ModuleCall[];
  /** The RPC calls that set the module's own options, for save_config: they come before all bdevs. */
  options?(): ModuleCall[];
  /** The RPC calls for devices that wait for others to come, for save_config. */
  pending?(): ModuleCall[];
  /**
   * A bdev was registered: the module takes it if it was configured to, without I/O. Claims must be made before the
   * first await; the promise is of the devices that it makes then.
   */
  examineConfig?(description: BdevDescription): Promise<void> | void;
  /**
   * The same for what can only be told from its contents, see {@link BdevRegistry.readBlocks}. Called after every
   * examineConfig, unless another module has claimed the bdev. Both log what is wrong and leave the bdev alone, or
   * reject with an Error that says it.
   */
  examineDisk?(description: BdevDescription): Promise<void>;
  /** The application is about to end: I/O that waits for what may never come is to fail. */
  ending?(): void;
  /**
   * For a module that has zones of its own: makes the one that starts at block `zone_id` read only or offline. Rejects with
   * BdevError. See wearZone.
   */
  wearZone?(description: BdevDescription, zone_id: number, state: WornZoneState): Promise<void>;
  /** `driver_specific` of bdev_get_bdevs. */
  info?(description: BdevDescription): Record<string, unknown>;
}

/** What a module's control half works with. */
export interface BdevModuleContext {
  readonly host: ReactorHost;
  register(module: BdevModule): void;
}

export type { BdevSpec };

/** A module's half on a reactor: a plain object that its package registers when it is loaded there. */
export interface BdevReactorModule {
  readonly name: string;
  /** Builds a device's instance on this reactor. Throws if it cannot: the device is then refused. */
  instantiate(description: BdevDescription, reactor: Reactor): BdevInstance;
}

/** A device on one reactor. */
export interface BdevInstance {
  createChannel(thread: Thread): ModuleChannel;
  /** The device changed (resize): called before I/O to the new blocks is let through. */
  update?(description: BdevDescription): void;
  /** The device is being removed and gets no I/O any more: what is held back on purpose is to end. */
  retire?(): void;
  /** The device is gone: its last channel has been destroyed. */
  destroy?(): void;
}

/** A device's channel on one logical thread: where I/O goes. */
export interface ModuleChannel {
  /**
   * Starts an I/O that has passed the layer's checks, and ends it with {@link BdevIo.complete}, now or later.
   * Status NOMEM (not of a ZCOPY's end) puts it back at the head of the channel's queue. It must not throw. A RESET comes to every
   * channel of the device, on all reactors, while no other I/O does: what is outstanding then is to end soon.
   */
  submit(io: BdevIo): void;
  /** Tries to abort an I/O that it was given: true if that will complete as ABORTED (or has completed). */
  abort?(io: BdevIo): boolean;
  /** Called once everything that was submitted has completed. */
  destroy(): void;
}
