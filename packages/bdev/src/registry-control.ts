import { Logger } from '@spdk-ts/log';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { BdevDescription, BdevSpec } from './description.ts';
import type { DeviceStat } from './device.ts';
import { type BdevDescriptor, BdevEntry, type BdevOpenOptions, type MediaEvent } from './entry-control.ts';
import { BdevError } from './errors.ts';
import { Examination } from './examine-control.ts';
import { defaultHistogram, Histogram, type HistogramOptions } from './histogram.ts';
import { type BdevInfo, bdevInfo } from './info.ts';
import { addIoStat, newIoStat, type StatResetMode } from './io-stat.ts';
import { Errno } from './io-status.ts';
import { ioTypeNames } from './io-type.ts';
import { IoWatchControl, type LateIo } from './io-watch-control.ts';
import type { BdevModule } from './module.ts';
import { checkNumber, describe, lookupKey } from './naming-control.ts';
import { type BdevConfiguration, type BdevOptions, defaultBdevOptions } from './options.ts';
import type { QueueDepthStat } from './queue-depth.ts';
import type { LbaRangeLock, RangeLockDescription } from './range-lock.ts';
import { RangeLocks } from './range-lock-control.ts';
import type { RateLimits } from './rate-limits.ts';
import { RateLimitControl } from './rate-limits-control.ts';
import { checkZoneId, noZonesToWear, type WornZoneState } from './zone-wear-control.ts';

/** What happens to bdevs, as notify_get_notifications names it. */
export type BdevNotification = 'bdev_register' | 'bdev_unregister' | 'bdev_resize';

/** A call that makes a part of the present state again. */
export interface ConfigCall {
  method: string;
  params?: Record<string, unknown>;
}

const MAX_POOL = 1 << 22;
const GRANULARITY_MAX = 20;

/**
 * The truth about bdevs, on the control thread: names, descriptors, claims, life and death. Reactors hold
 * instances of what is registered here. Refusals are {@link BdevError}s.
 */
export class BdevRegistry {
  readonly host: ReactorHost;
  private readonly log = new Logger('bdev');
  private readonly modules = new Map<string, BdevModule>();
  /** Every name, alias and UUID. */
  private readonly names = new Map<string, BdevEntry>();
  private readonly entries = new Map<number, BdevEntry>();
  /** Registrations under way. */
  private readonly registering = new Set<Promise<unknown>>();
  private readonly listeners = new Set<(type: BdevNotification, name: string) => void>();
  private readonly examination: Examination;
  private current: BdevOptions;
  private readonly pool = new Int32Array(new SharedArrayBuffer(4));
  private readonly zeroRegion: number;
  private configured: Promise<unknown>;
  private ids = 0;
  private readonly locks: RangeLocks;
  private readonly rates: RateLimitControl;
  private readonly watch: IoWatchControl;

  /** The reactors of `host` must have been started with the plugin `bdevReactorEntry`. */
  constructor(host: ReactorHost, options: Partial<BdevOptions> = {}) {
    this.host = host;
    this.examination = new Examination({
      log: this.log,
      modules: () => this.modules.values(),
      automatic: () => this.current.bdev_auto_examine,
    });
    this.zeroRegion = host.allocateRegionId();
    this.locks = new RangeLocks(host);
    this.rates = new RateLimitControl(host);
    this.watch = new IoWatchControl(host);
    this.current = this.checkOptions(options, defaultBdevOptions);
    host.provide('bdev', {
      reset: ({ id }: { id: number }) => this.resetEntry(this.byId(id)),
      late: (late: LateIo) => this.watch.late(late),
      lockRange: (range: Omit<RangeLockDescription, 'lock' | 'quiesce'>) =>
        this.locks.lock({ ...range, id: this.byId(range.id).description.id, quiesce: false }),
      unlockRange: ({ id, lock }: { id: number; lock: number }) => this.locks.unlock(id, lock),
    });
    this.configured = this.configure();
  }

  // --- options ---

  get options(): Readonly<BdevOptions> {
    return this.current;
  }

  /** Changes options; for use before there are bdevs. Throws BdevError EINVAL for sizes that cannot be. */
  async setOptions(options: Partial<BdevOptions>): Promise<void> {
    this.current = this.checkOptions(options, this.current);
    this.configured = this.configure();
    await this.configured;
  }

  private checkOptions(change: Partial<BdevOptions>, base: BdevOptions): BdevOptions {
    const options = { ...base, ...change };
    checkNumber('bdev_io_pool_size', options.bdev_io_pool_size, 1, MAX_POOL);
    checkNumber('bdev_io_cache_size', options.bdev_io_cache_size, 1, MAX_POOL);
    const smallest = options.bdev_io_cache_size * (this.host.reactors.length + 1);
    if (options.bdev_io_pool_size < smallest)
      throw new BdevError(
        Errno.EINVAL,
        `Pool size ${options.bdev_io_pool_size} too small for cache size ${options.bdev_io_cache_size}: ` +
          `give a bdev_io_pool_size of at least ${smallest} for ${this.host.reactors.length} reactors`,
      );
    return options;
  }

  private configure(): Promise<unknown> {
    Atomics.store(this.pool, 0, this.current.bdev_io_pool_size);
    const configuration: BdevConfiguration = {
      options: this.current,
      pool: this.pool.buffer as SharedArrayBuffer,
      zeroRegion: this.zeroRegion,
    };
    const done = this.host.broadcast('bdev', 'configure', configuration);
    // Whoever waits for it learns of a failure; without anybody waiting it must not end the process.
    done.catch((error: Error) => this.log.error(`the bdev layer was not configured: ${error.message}`));
    return done;
  }

  // --- modules, names ---

  registerModule(module: BdevModule): void {
    if (this.modules.has(module.name)) throw new Error(`bdev module ${module.name} is registered already`);
    this.modules.set(module.name, module);
  }

  /** The bdev of that name, alias or UUID. */
  get(name: string): BdevDescription | undefined {
    return this.names.get(lookupKey(name))?.description;
  }

  /** Every bdev, in the order of registration. */
  list(): BdevDescription[] {
    return [...this.entries.values()].map((entry) => entry.description);
  }

  private entry(name: string): BdevEntry {
    const entry = this.names.get(lookupKey(name));
    if (entry === undefined || !this.entries.has(entry.description.id))
      throw new BdevError(
        Errno.ENODEV,
        `no bdev has the name, alias or UUID "${name}"; bdev_get_bdevs lists those that exist`,
      );
    return entry;
  }

  private byId(id: number): BdevEntry {
    const entry = this.entries.get(id);
    if (entry === undefined) throw new BdevError(Errno.ENODEV, `there is no bdev with id ${id}`);
    return entry;
  }

  /** Calls back for every notification from now on. Returns what ends that. */
  onNotification(listener: (type: BdevNotification, name: string) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  private notify(type: BdevNotification, name: string): void {
    for (const listener of this.listeners) listener(type, name);
  }

  // --- life ---

  /**
   * Registers a bdev, makes it on every reactor, and lets modules examine it: what was configured to stack on it is
   * there when this resolves. Rejects with BdevError: EEXIST if the name, an alias or the UUID is taken, EINVAL for
   * what the spec cannot be, or what a reactor's half said; the module then frees what it has allocated (destroy is
   * not called).
   */
  register(module: string, spec: BdevSpec): Promise<BdevDescription> {
    const done = this.registerNow(module, spec);
    this.registering.add(done);
    const forget = (): void => void this.registering.delete(done);
    done.then(forget, forget);
    return done;
  }

  private async registerNow(module_name: string, spec: BdevSpec): Promise<BdevDescription> {
    const module = this.modules.get(module_name);
    if (module === undefined) throw new Error(`bdev module ${module_name} is not registered`);
    const description = describe(++this.ids, module_name, spec);
    const entry = new BdevEntry(description, module, this.watch);
    const keys = [description.name, ...description.aliases].map(lookupKey);
    for (const key of keys) {
      const other = this.names.get(key);
      if (other !== undefined)
        throw new BdevError(
          Errno.EEXIST,
          `"${key}" is a name, alias or UUID of bdev ${other.description.name} already; choose another`,
        );
    }
    for (const key of keys) this.names.set(key, entry);
    try {
      await this.configured;
      await this.host.broadcast('bdev', 'create', description);
    } catch (error) {
      await this.host.broadcast('bdev', 'remove', { id: description.id });
      for (const key of keys) this.names.delete(key);
      throw BdevError.from(error);
    }
    this.entries.set(description.id, entry);
    this.notify('bdev_register', description.name);
    await this.examination.begin(entry);
    return description;
  }

  /**
   * Takes a bdev away: refuses new I/O, tells everyone who has it open, waits until they have closed it, and
   * destroys it. Resolves when it is gone. With `module`, only a bdev of that module. Rejects with BdevError
   * ENODEV, or EBUSY if it is being removed already.
   */
  async unregister(name: string, module?: string): Promise<void> {
    const entry = this.entry(name);
    if (module !== undefined && entry.description.module !== module)
      throw new BdevError(
        Errno.ENODEV,
        `bdev ${entry.description.name} belongs to module ${entry.description.module}, not ${module}`,
      );
    if (entry.removal !== null)
      throw new BdevError(Errno.EBUSY, `bdev ${entry.description.name} is being removed already`);
    entry.removal = this.remove(entry);
    await entry.removal;
  }

  private async remove(entry: BdevEntry): Promise<void> {
    const { id, name, aliases } = entry.description;
    await this.host.broadcast('bdev', 'retire', { id });
    entry.tell('remove');
    await entry.unused();
    await this.host.broadcast('bdev', 'remove', { id });
    this.entries.delete(id);
    this.rates.forget(id);
    this.watch.forget(id);
    for (const key of [name, ...aliases].map(lookupKey)) this.names.delete(key);
    await entry.module.destroy(entry.description);
    this.examination.forget(entry.description);
    this.notify('bdev_unregister', name);
  }

  /** The application is about to end: see {@link BdevModule.ending}. */
  ending(): void {
    for (const module of this.modules.values()) module.ending?.();
  }

  /**
   * Takes every bdev away: first those that nothing stands on, so that what they still have to write finds the bdevs
   * below them.
   */
  async stop(): Promise<void> {
    await this.waitForExamine();
    while (this.entries.size > 0) {
      const all = [...this.entries.values()];
      const tops = all.filter(({ removal, claims }) => removal !== null || claims.type === 'not_claimed');
      await Promise.all(
        (tops.length > 0 ? tops : all).map((e) => e.removal ?? this.unregister(e.description.name)),
      );
    }
  }

  /** Opens a bdev. Throws BdevError ENODEV, or EPERM if it is claimed and to be opened for writing. */
  open(name: string, options: BdevOpenOptions): BdevDescriptor {
    return this.entry(name).open(options);
  }

  /**
   * Changes the number of blocks, and with `context` what the module's halves need. Tells everyone who has it
   * open. Rejects with BdevError EBUSY if it would shrink while it is open.
   */
  async resize(name: string, num_blocks: number, context?: unknown): Promise<BdevDescription> {
    const entry = this.entry(name);
    const before = entry.description;
    checkNumber('num_blocks', num_blocks, 1, Math.floor(Number.MAX_SAFE_INTEGER / before.block_size));
    if (entry.removal !== null) throw new BdevError(Errno.ENODEV, `bdev ${before.name} is being removed`);
    if (num_blocks < before.num_blocks && entry.descriptors.size > 0)
      throw new BdevError(
        Errno.EBUSY,
        `bdev ${before.name} cannot shrink from ${before.num_blocks} to ${num_blocks} blocks while it is open by ` +
          [...entry.descriptors].map((d) => d.owner.name).join(', '),
      );
    entry.description = Object.freeze({ ...before, num_blocks, context: context ?? before.context });
    await this.host.broadcast('bdev', 'update', entry.description);
    if (num_blocks !== before.num_blocks) {
      entry.tell('resize');
      this.notify('bdev_resize', before.name);
    }
    return entry.description;
  }

  /**
   * For modules: tells everyone who has a bdev open, and wants to know, of ranges of blocks whose medium needs attention;
   * bdevs that stand on it tell their own users of what is theirs. Throws BdevError: ENODEV, EINVAL for blocks that it
   * does not have.
   */
  reportMedia(name: string, events: readonly MediaEvent[]): void {
    const entry = this.entry(name);
    const { num_blocks } = entry.description;
    for (const event of events) {
      checkNumber('offset_blocks', event.offset_blocks, 0, num_blocks - 1);
      checkNumber('num_blocks', event.num_blocks, 1, num_blocks - event.offset_blocks);
    }
    entry.tellMedia(events);
  }

  /**
   * Lets the medium of a zone fail: makes the one that starts at block `zone_id` read only or offline, and tells of it
   * as of a media event. Rejects with BdevError: ENODEV, ENOTSUP where the zones are not the module's own, EINVAL, EPERM.
   */
  async wearZone(name: string, zone_id: number, state: WornZoneState): Promise<void> {
    const { description, module } = this.entry(name);
    checkZoneId(description, zone_id);
    if (module.wearZone === undefined) throw noZonesToWear(description);
    await module.wearZone(description, zone_id, state);
    this.reportMedia(name, [{ offset_blocks: zone_id, num_blocks: description.zone_size }]);
  }

  /**
   * Resets a bdev: new I/O ends ABORTED on every reactor, queued I/O is aborted, what is outstanding ends, the
   * module resets. Resets that overlap are one. Rejects with BdevError EIO if the module's failed.
   */
  async reset(name: string): Promise<void> {
    await this.resetEntry(this.entry(name));
  }

  private resetEntry(entry: BdevEntry): Promise<void> {
    entry.reset ??= this.resetNow(entry).finally(() => {
      entry.reset = null;
    });
    return entry.reset;
  }

  private async resetNow({ description }: BdevEntry): Promise<void> {
    const { id, name, reset_io_drain_timeout } = description;
    await this.host.broadcast('bdev', 'freeze', { id });
    try {
      if (reset_io_drain_timeout > 0) {
        const timeout_us = reset_io_drain_timeout * 1_000_000;
        const drained = await this.host.broadcast('bdev', 'drain', { id, timeout_us });
        if (!drained.includes(false)) return;
      }
      const ok = await this.host.broadcast('bdev', 'moduleReset', { id });
      if (ok.includes(false)) throw new BdevError(Errno.EIO, `the reset of bdev ${name} failed`);
    } finally {
      await this.host.broadcast('bdev', 'unfreeze', { id });
    }
  }

  /**
   * Quiesces a bdev, or a range of its blocks: new I/O there waits, on every reactor. Resolves once none is under
   * way. What is returned ends it; so does removal.
   */
  async quiesce(name: string, offset_blocks = 0, num_blocks?: number): Promise<LbaRangeLock> {
    const { id, num_blocks: size } = this.entry(name).description;
    checkNumber('offset_blocks', offset_blocks, 0, size - 1);
    const blocks = num_blocks ?? size - offset_blocks;
    checkNumber('num_blocks', blocks, 1, size - offset_blocks);
    const range = { id, offset_blocks, num_blocks: blocks, quiesce: true, reactor: -1, holder: -1 };
    const lock = await this.locks.lock(range);
    return { release: () => this.locks.unlock(id, lock) };
  }

  // --- examination ---

  /** Resolves when every registration and every examination that is under way has ended. */
  async waitForExamine(): Promise<void> {
    while (this.registering.size > 0 || this.examination.busy) {
      await Promise.allSettled([...this.registering]);
      await this.examination.settled();
    }
  }

  /**
   * Examines a bdev although auto examine is off: now, and if it is not there yet, when it comes. Rejects with
   * BdevError EINVAL if auto examine is on, EEXIST if the name was given before.
   */
  async examine(name: string): Promise<void> {
    this.examination.allow(name);
    const entry = this.names.get(lookupKey(name));
    if (entry === undefined || entry.removal !== null || !this.entries.has(entry.description.id)) return;
    const done = this.examination.begin(entry);
    this.registering.add(done);
    await done;
    this.registering.delete(done);
  }

  /**
   * Reads blocks of a bdev on behalf of the control thread, for a module that examines it. Rejects with BdevError
   * ENODEV, EINVAL for blocks that it does not have, EIO if the read failed.
   */
  async readBlocks(name: string, offset_blocks: number, num_blocks: number): Promise<Uint8Array> {
    const owner = { name: 'examine', onEvent: () => {} };
    const descriptor = this.open(name, { write: false, owner });
    try {
      const { id } = descriptor.description;
      return (await this.host.call(0, 'bdev', 'read', { id, offset_blocks, num_blocks })) as Uint8Array;
    } catch (error) {
      throw BdevError.from(error);
    } finally {
      await descriptor.close();
    }
  }

  // --- what is told of bdevs ---

  /** A bdev as bdev_get_bdevs shows it. */
  info({ id }: BdevDescription): BdevInfo {
    const { description, module, claims } = this.byId(id);
    return bdevInfo(description, claims.type, module.info?.(description) ?? {}, this.rates.of(id));
  }

  /** The bdev, once it is there; or undefined after so many milliseconds. */
  waitFor(name: string, timeout_ms: number): Promise<BdevDescription | undefined> {
    const found = (): BdevDescription | undefined => {
      const entry = this.names.get(lookupKey(name));
      return entry !== undefined && this.entries.has(entry.description.id) ? entry.description : undefined;
    };
    const already = found();
    if (already !== undefined || timeout_ms <= 0) return Promise.resolve(already);
    return new Promise((resolve) => {
      const end = (result: BdevDescription | undefined): void => {
        clearTimeout(timer);
        stopListening();
        resolve(result);
      };
      const timer = setTimeout(() => end(undefined), Math.min(timeout_ms, 0x7fff_ffff));
      const stopListening = this.onNotification(() => {
        const now = found();
        if (now !== undefined) end(now);
      });
    });
  }

  /** Counters of one bdev, or of all, over all channels and reactors. */
  async iostat(
    name: string | undefined,
    reset: StatResetMode = 'none',
  ): Promise<{ name: string; stat: Float64Array }[]> {
    const wanted = name === undefined ? [...this.entries.values()] : [this.entry(name)];
    const answers = (await this.host.broadcast('bdev', 'iostat', {
      ...(name !== undefined && { id: wanted[0]!.description.id }),
      reset,
    })) as DeviceStat[][];
    const totals = new Map(wanted.map((e) => [e.description.id, newIoStat()]));
    for (const { id, gone, channels } of answers.flat()) {
      const total = totals.get(id);
      if (total === undefined) continue;
      addIoStat(total, gone);
      for (const { stat } of channels) addIoStat(total, stat);
    }
    return wanted.map((e) => ({ name: e.description.name, stat: totals.get(e.description.id)! }));
  }

  /** Counters of each channel of a bdev. */
  async channelIostat(
    name: string,
    reset: StatResetMode = 'none',
  ): Promise<{ thread_id: number; stat: Float64Array }[]> {
    const { id } = this.entry(name).description;
    const answers = (await this.host.broadcast('bdev', 'iostat', { id, reset })) as DeviceStat[][];
    return answers.flat().flatMap((device) => device.channels);
  }

  async resetIostat(name: string | undefined, mode: StatResetMode): Promise<void> {
    const which = name === undefined ? {} : { id: this.entry(name).description.id };
    await this.host.broadcast('bdev', 'resetIostat', { ...which, mode });
  }

  /** Samples a bdev's queue depth every so many microseconds; 0: no longer. Rejects with BdevError EINVAL. */
  async setQueueDepthPeriod(name: string, period_us: number): Promise<void> {
    await this.watch.setPeriod(this.entry(name).description.id, period_us);
  }
  /** What the samples of a bdev's queue depth say, or null if none are taken. */
  queueDepth(name: string): QueueDepthStat | null {
    return this.watch.queueDepth(this.entry(name).description.id);
  }

  /** Changes a bdev's rate limits: see {@link RateLimitControl.set}. */
  async setRateLimits(name: string, change: Partial<RateLimits>): Promise<void> {
    const { id, name: full } = this.entry(name).description;
    await this.rates.set(id, full, change);
  }

  /** Starts counting latencies (missing options: the defaults), or stops (null). */
  async setHistogram(name: string, options: Partial<HistogramOptions> | null): Promise<void> {
    const entry = this.entry(name);
    const full = options === null ? null : { ...defaultHistogram, ...options };
    if (full !== null) {
      checkNumber('granularity', full.granularity, 1, GRANULARITY_MAX);
      checkNumber('min_nsec', full.min_nsec, 0, Number.MAX_SAFE_INTEGER);
      checkNumber('max_nsec', full.max_nsec, full.min_nsec + 1, Number.MAX_SAFE_INTEGER);
    }
    entry.histogram = full;
    await this.host.broadcast('bdev', 'setHistogram', { id: entry.description.id, options: full });
  }

  /** The latencies of a bdev over all channels, or null if they are not counted. */
  async histogram(name: string): Promise<Histogram | null> {
    const { description, histogram: options } = this.entry(name);
    if (options === null) return null;
    const total = new Histogram(options);
    const answers = await this.host.broadcast('bdev', 'latencies', { id: description.id });
    for (const buckets of answers as (Float64Array | null)[])
      buckets?.forEach((count, at) => {
        total.buckets[at] = total.buckets[at]! + count;
      });
    return total;
  }

  /**
   * The calls that make this state again: the layer's options, the modules', the bdevs in the order of their
   * registration (so that each comes after those it stands on), and what waits for bdevs that are to come.
   */
  config(): ConfigCall[] {
    const calls: ConfigCall[] = [{ method: 'bdev_set_options', params: { ...this.current } }];
    for (const name of this.examination.names) calls.push({ method: 'bdev_examine', params: { name } });
    for (const module of this.modules.values()) calls.push(...(module.options?.() ?? []));
    for (const { description, module, histogram, removal } of this.entries.values()) {
      if (removal !== null) continue;
      const made = module.config(description);
      const settings: ConfigCall[] = this.rates.config(description.id, description.name);
      if (histogram !== null) settings.push(histogramCall(description.name, histogram));
      // One that examination makes is there when that has ended.
      if (made.length === 0 && settings.length > 0) calls.push({ method: 'bdev_wait_for_examine' });
      calls.push(...made, ...settings);
    }
    for (const module of this.modules.values()) calls.push(...(module.pending?.() ?? []));
    calls.push({ method: 'bdev_wait_for_examine' });
    return calls;
  }
}

/** SPDK saves no limits; those that are not the defaults would be lost, so they are added. */
function histogramCall(name: string, options: HistogramOptions): ConfigCall {
  const params: Record<string, unknown> = { name, enable: true };
  if (options.type >= 0) params['opc'] = ioTypeNames[options.type];
  for (const key of ['granularity', 'min_nsec', 'max_nsec'] as const)
    if (options[key] !== defaultHistogram[key]) params[key] = options[key];
  return { method: 'bdev_enable_histogram', params };
}
