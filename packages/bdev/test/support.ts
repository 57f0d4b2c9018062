/** A reactor in virtual time with a module whose every move a test decides. */
import { type BufferPoolOptions, ManualClock } from '@spdk-ts/env';
import { LocalHost, type Reactor, type ReactorPlugin, type Thread } from '@spdk-ts/reactor';
import {
  type BdevChannel,
  type BdevDescription,
  type BdevIo,
  type BdevIoOwner,
  type BdevOptions,
  BdevRegistry,
  type BdevSpec,
  copyFromIo,
  copyToIo,
  getBdevService,
  IoStatus,
  IoType,
  ioEquals,
  ioTypeMask,
  type Memory,
  type ModuleChannel,
  registerReactorModule,
} from '../src/index.ts';
import bdevPlugin from '../src/reactor.ts';

/** By when a promise has settled on the slowest machine. */
const SETTLES_MS = 30_000;

export const RW = ioTypeMask(IoType.READ, IoType.WRITE, IoType.RESET, IoType.ABORT);

/** What the module does with I/O: shared by all its channels. */
export class Script {
  /** Completes I/O within submit. Else it stays in {@link held}. */
  immediate = true;
  /** More I/Os than this at once: NOMEM. */
  capacity = Number.POSITIVE_INFINITY;
  held: BdevIo[] = [];
  /** Everything that submit was given. */
  seen: BdevIo[] = [];
  resets = 0;
  resetStatus: number = IoStatus.SUCCESS;
  abortable = true;
  destroyed = 0;
  updates: number[] = [];
  failInstantiate: string | null = null;
  /** Sees each I/O that the module takes. */
  onSubmit: ((io: BdevIo) => void) | null = null;

  complete(status: number = IoStatus.SUCCESS, count = this.held.length): void {
    for (const io of this.held.splice(0, count)) io.complete(status);
  }
}

export const BLOCK = 512;
const DATA_REGION = 5000;
/** Memory of the tests' own, the same on all reactors: the layer takes no buffer from it. */
export const SCRATCH_REGION = 5001;
const SCRATCH_BYTES = 65_536;

class TestChannel implements ModuleChannel {
  private readonly script: Script;
  private readonly memory: Memory;
  private readonly block_size: number;

  constructor(script: Script, memory: Memory, block_size: number) {
    this.script = script;
    this.memory = memory;
    this.block_size = block_size;
  }

  submit(io: BdevIo): void {
    const { script } = this;
    script.seen.push(io);
    if (io.type === IoType.RESET) {
      script.resets++;
      io.complete(script.resetStatus);
      return;
    }
    if (script.held.length >= script.capacity) {
      io.complete(IoStatus.NOMEM);
      return;
    }
    const at = io.offset_blocks * this.block_size;
    const length = io.num_blocks * this.block_size;
    if (io.type === IoType.READ) copyToIo(this.memory, io, 0, DATA_REGION, at, length);
    if (io.type === IoType.WRITE) copyFromIo(this.memory, io, 0, DATA_REGION, at, length);
    if (io.type === IoType.WRITE_ZEROES || io.type === IoType.UNMAP)
      this.memory.clear(DATA_REGION, at, length);
    if (io.type === IoType.COPY)
      this.memory.copy(DATA_REGION, at, DATA_REGION, io.src_offset_blocks * this.block_size, length);
    script.onSubmit?.(io);
    if (io.type === IoType.COMPARE && !ioEquals(this.memory, io, 0, DATA_REGION, at, length)) {
      io.complete(IoStatus.MISCOMPARE);
      return;
    }
    if (script.immediate) io.complete(IoStatus.SUCCESS);
    else script.held.push(io);
  }
  abort(io: BdevIo): boolean {
    const { script } = this;
    if (!script.abortable || !script.held.includes(io)) return false;
    script.held = script.held.filter((other) => other !== io);
    io.complete(IoStatus.ABORTED);
    return true;
  }
  destroy(): void {}
}

/** Remembers how I/O ended, in order. */
export class Owner implements BdevIoOwner {
  done: { index: number; status: number; cdw0: number }[] = [];
  ios: BdevIo[] = [];
  keep = false;
  onDone: ((io: BdevIo) => void) | null = null;
  bdevIoDone(io: BdevIo): void {
    this.done.push({ index: io.ownerIndex, status: io.status, cdw0: io.cdw0 });
    if (this.keep) this.ios.push(io);
    this.onDone?.(io);
    if (!this.keep) io.free();
  }
  get order(): number[] {
    return this.done.map(({ index }) => index);
  }
  get statuses(): number[] {
    return this.done.map(({ status }) => status);
  }
}

export interface BedOptions {
  readonly pool?: BufferPoolOptions;
  readonly options?: Partial<BdevOptions>;
  readonly spec?: Partial<BdevSpec>;
  readonly count?: number;
}

export class TestBed {
  readonly clock: ManualClock;
  readonly host: LocalHost;
  readonly bdevs: BdevRegistry;
  readonly script: Script;
  description!: BdevDescription;
  channel!: BdevChannel;
  /** Names of devices that the module's control half destroyed. */
  readonly destroyed: string[] = [];

  static async start({ pool, options, spec, count = 1 }: BedOptions = {}): Promise<TestBed> {
    const clock = new ManualClock();
    const script = new Script();
    // One for all reactors.
    const data = new Uint8Array(1024 * BLOCK);
    const scratch = new Uint8Array(SCRATCH_BYTES);
    const plugin: ReactorPlugin = {
      name: 'test',
      start(reactor: Reactor) {
        if (reactor.regions.get(DATA_REGION) === undefined) reactor.regions.add(DATA_REGION, data);
        reactor.regions.add(SCRATCH_REGION, scratch);
        registerReactorModule(reactor, {
          name: 'test',
          instantiate(description) {
            if (script.failInstantiate !== null) throw new Error(script.failInstantiate);
            return {
              createChannel: () =>
                new TestChannel(script, getBdevService(reactor).memory, description.block_size),
              update: ({ num_blocks }) => void script.updates.push(num_blocks),
              destroy: () => void script.destroyed++,
            };
          },
        });
        return {};
      },
    };
    const host = await LocalHost.start({
      clock,
      count,
      plugins: [bdevPlugin, plugin],
      ...(pool !== undefined && { pool }),
    });
    const bed = new TestBed(clock, host, new BdevRegistry(host, options), script);
    bed.bdevs.registerModule({
      name: 'test',
      destroy: ({ name }) => void bed.destroyed.push(name),
      config: ({ name }) => [{ method: 'test_create', params: { name } }],
    });
    bed.description = await bed.create({ name: 'Test0', ...spec });
    bed.channel = bed.open(bed.description);
    return bed;
  }

  private constructor(clock: ManualClock, host: LocalHost, bdevs: BdevRegistry, script: Script) {
    this.clock = clock;
    this.host = host;
    this.bdevs = bdevs;
    this.script = script;
  }

  create(spec: Partial<BdevSpec> & { name: string }): Promise<BdevDescription> {
    return this.bdevs.register('test', {
      product_name: 'Test disk',
      block_size: BLOCK,
      num_blocks: 1024,
      io_types: RW,
      context: null,
      ...spec,
    });
  }
  open(description: BdevDescription, thread: Thread = this.thread): BdevChannel {
    return getBdevService(this.reactor).getChannel(description.id, thread);
  }
  channelOn(reactor: number, thread: Thread): BdevChannel {
    return getBdevService(this.host.local[reactor]!).getChannel(this.description.id, thread);
  }
  get reactor(): Reactor {
    return this.host.local[0]!;
  }
  get thread(): Thread {
    return this.reactor.threads[0]!;
  }
  get region(): number {
    return this.reactor.buffers.region;
  }
  get scratch(): Uint8Array {
    return this.reactor.regions.bytes(SCRATCH_REGION);
  }
  get bytes(): Uint8Array {
    return this.reactor.buffers.bytes;
  }

  poll(times = 4): void {
    for (let i = 0; i < times; i++) this.host.poll();
  }
  advance(ticks: number): void {
    this.clock.advance(ticks);
    this.poll();
  }
  /** Polls until a promise has settled. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    const from = performance.now();
    while (!settled) {
      if (performance.now() - from > SETTLES_MS) throw new Error('the promise does not settle');
      this.host.poll();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return await promise;
  }
  /** Lets promises and polls have their way for a while. */
  async settle(times = 10): Promise<void> {
    for (let i = 0; i < times; i++) {
      this.host.poll();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** An I/O of a bed's channel, set up and not submitted, for `blocks` blocks of the bed's region from its beginning. */
export function prepare(
  bed: TestBed,
  owner: Owner,
  index: number,
  type: number,
  at: number,
  blocks: number,
): BdevIo {
  const io = bed.channel.getIo()!;
  io.type = type;
  io.offset_blocks = at;
  io.num_blocks = blocks;
  io.region = bed.region;
  io.offset = 0;
  io.length = blocks * BLOCK;
  io.owner = owner;
  io.ownerIndex = index;
  return io;
}
