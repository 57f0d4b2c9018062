import { allocateSharedMemory, attachSharedMemory, releaseSharedMemory } from '@spdk-ts/env';
import type { Reactor, ReactorService, Thread } from '@spdk-ts/reactor';
import { BdevChannel } from './channel.ts';
import { type ReadRequest, readForControl } from './control-read.ts';
import type { BdevDescription } from './description.ts';
import { BdevDevice, type DeviceParts } from './device.ts';
import { BdevError } from './errors.ts';
import { HiddenMetadataInstance } from './hidden-metadata.ts';
import type { HistogramOptions } from './histogram.ts';
import type { StatResetMode } from './io-stat.ts';
import { Errno } from './io-status.ts';
import type { TimeoutMessage } from './io-watch-control.ts';
import { Memory } from './memory.ts';
import { hideMetadata } from './metadata.ts';
import { MetadataChannel } from './metadata-channel.ts';
import type { BdevReactorModule } from './module.ts';
import { type BdevConfiguration, defaultBdevOptions, ZERO_BYTES } from './options.ts';
import type { QueueDepthMessage } from './queue-depth.ts';
import type { RangeLockDescription } from './range-lock.ts';
import type { RateLimitMessage } from './rate-limits-control.ts';
import { ThreadContext } from './thread-context.ts';

const services = new WeakMap<Reactor, BdevService>();

/** The block device layer on a reactor. Throws if the plugin `bdev` was not started there. */
export function getBdevService(reactor: Reactor): BdevService {
  const service = services.get(reactor);
  if (service === undefined)
    throw new Error(`reactor ${reactor.index} has no bdev layer: start the plugin bdevReactorEntry first`);
  return service;
}

/** For a module's reactor plugin: offers the module's half on this reactor. */
export function registerReactorModule(reactor: Reactor, module: BdevReactorModule): void {
  getBdevService(reactor).registerModule(module);
}

/** The block device layer's half on one reactor: modules, bdevs, and each thread's channels. */
export class BdevService implements DeviceParts {
  readonly reactor: Reactor;
  /** Copies within this reactor's regions. */
  readonly memory: Memory;
  /** A region of {@link ZERO_BYTES} zeroes, or -1 until the control thread has said which. Never write to it. */
  zeroRegion = -1;
  private readonly modules = new Map<string, BdevReactorModule>();
  private readonly devices = new Map<number, BdevDevice>();
  private readonly contexts = new Map<Thread, ThreadContext>();
  private cache_size = defaultBdevOptions.bdev_io_cache_size;
  private pool = new Int32Array(new SharedArrayBuffer(4));

  constructor(reactor: Reactor) {
    this.reactor = reactor;
    this.memory = new Memory(reactor.regions);
    this.pool[0] = defaultBdevOptions.bdev_io_pool_size;
    services.set(reactor, this);
  }

  registerModule(module: BdevReactorModule): void {
    if (this.modules.has(module.name)) throw new Error(`bdev module ${module.name} is registered already`);
    this.modules.set(module.name, module);
  }

  /**
   * The thread's channel of a bdev: a new reference, given back with {@link BdevChannel.put}. With `hide_metadata` the
   * bdev is one without metadata, which the layer makes and checks. Throws BdevError ENODEV if there is no such bdev,
   * or it is being removed.
   */
  getChannel(bdevId: number, thread: Thread, hide_metadata = false): BdevChannel {
    const device = this.devices.get(bdevId);
    if (device === undefined || device.removed)
      throw new BdevError(Errno.ENODEV, `bdev ${bdevId} does not exist on reactor ${this.reactor.index}`);
    const hides = hide_metadata && device.description.md_size > 0;
    const held = thread.getIoChannel((hides ? this.hidden(device) : device).ioDevice);
    held.context.hold(held);
    return held.context;
  }

  private hidden(device: BdevDevice): BdevDevice {
    const hidden = device.hidden;
    if (hidden !== null) return hidden;
    const { description } = device;
    const instance = new HiddenMetadataInstance((thread) => this.getChannel(description.id, thread));
    const made = new BdevDevice(hideMetadata(description), instance, this);
    device.hide(made);
    return made;
  }

  /** The description of a bdev as this reactor knows it. */
  describe(bdevId: number): BdevDescription | undefined {
    return this.devices.get(bdevId)?.description;
  }

  /** For devices only. */
  makeChannel(device: BdevDevice, thread: Thread): BdevChannel {
    const known = this.contexts.get(thread);
    const context = known ?? new ThreadContext(thread, this.memory, this.pool, this.cache_size);
    this.contexts.set(thread, context);
    context.channels++;
    try {
      return device.description.md_size > 0
        ? new MetadataChannel(device, thread, context)
        : new BdevChannel(device, thread, context);
    } catch (error) {
      this.releaseContext(thread);
      throw error;
    }
  }

  /**
   * Tells the owners of what has completed on a thread, which the layer's own poller would do in its turn: for a
   * poller on that thread that wants the answers to what it has just submitted. Returns how many it told.
   */
  settle(thread: Thread): number {
    const context = this.contexts.get(thread);
    return context === undefined ? 0 : context.drain();
  }

  /** For devices only. */
  channelGone(channel: BdevChannel): void {
    this.releaseContext(channel.thread);
  }

  private releaseContext(thread: Thread): void {
    const context = this.contexts.get(thread)!;
    if (--context.channels > 0) return;
    context.destroy();
    this.contexts.delete(thread);
  }

  private device(id: number): BdevDevice {
    const device = this.devices.get(id);
    if (device === undefined)
      throw new BdevError(Errno.ENODEV, `bdev ${id} does not exist on reactor ${this.reactor.index}`);
    return device;
  }

  private configure({ options, pool, zeroRegion }: BdevConfiguration): void {
    this.cache_size = options.bdev_io_cache_size;
    this.pool = new Int32Array(pool);
    if (this.zeroRegion >= 0) return;
    this.zeroRegion = zeroRegion;
    // Memory of its own, not of the heap: it is aligned for any device.
    const memory = allocateSharedMemory(ZERO_BYTES);
    this.reactor.regions.add(zeroRegion, attachSharedMemory(memory));
    releaseSharedMemory(memory);
  }

  private create(description: BdevDescription): void {
    const module = this.modules.get(description.module);
    if (module === undefined)
      throw new BdevError(
        Errno.ENODEV,
        `bdev module ${description.module} was not loaded on reactor ${this.reactor.index}`,
      );
    const instance = module.instantiate(description, this.reactor);
    this.devices.set(description.id, new BdevDevice(description, instance, this));
  }

  private async remove(id: number): Promise<void> {
    const device = this.devices.get(id);
    if (device === undefined) return;
    await Promise.all([device.hidden?.remove(), device.remove()]);
    this.devices.delete(id);
    device.instance.destroy?.();
    this.memory.trim();
  }

  /** What the control thread may ask of this reactor: see BdevRegistry. */
  calls(): ReactorService {
    const each = (id: number | undefined): BdevDevice[] =>
      id === undefined ? [...this.devices.values()] : [this.device(id)];
    return {
      configure: (configuration: BdevConfiguration) => this.configure(configuration),
      create: (description: BdevDescription) => this.create(description),
      update: (description: BdevDescription) => {
        this.device(description.id).update(description);
        this.memory.trim();
      },
      retire: ({ id }: { id: number }) => this.device(id).retire(),
      remove: ({ id }: { id: number }) => this.remove(id),
      read: (request: ReadRequest) => readForControl(this, request),
      freeze: ({ id }: { id: number }) => this.device(id).freeze(),
      moduleReset: ({ id }: { id: number }) => this.device(id).moduleReset(),
      unfreeze: ({ id }: { id: number }) => this.device(id).unfreeze(),
      drain: ({ id, timeout_us }: { id: number; timeout_us: number }) => this.device(id).drain(timeout_us),
      setSampling: (message: QueueDepthMessage) => this.device(message.id).setSampling(message),
      watchLate: (message: TimeoutMessage) => this.devices.get(message.id)?.watchLate(message),
      setRateLimits: (message: RateLimitMessage) => this.device(message.id).setRateLimits(message),
      lockRange: (lock: RangeLockDescription) => this.device(lock.id).lockRange(lock),
      unlockRange: ({ id, lock }: { id: number; lock: number }) => this.devices.get(id)?.unlockRange(lock),
      iostat: ({ id, reset }: { id?: number; reset: StatResetMode }) => each(id).map((d) => d.stat(reset)),
      resetIostat: ({ id, mode }: { id?: number; mode: StatResetMode }) => {
        for (const device of each(id)) device.resetStat(mode);
      },
      setHistogram: ({ id, options }: { id: number; options: HistogramOptions | null }) =>
        this.device(id).setHistogram(options),
      latencies: ({ id }: { id: number }) => this.device(id).latencies(),
    };
  }
}
