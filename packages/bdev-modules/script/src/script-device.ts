import { type BdevInstance, type BdevIo, IoStatus, type ModuleChannel } from '@spdk-ts/bdev';
import type { Logger } from '@spdk-ts/log';
import type { Reactor } from '@spdk-ts/reactor';
import type { Script, ScriptContext } from './api.ts';
import type { OpenParams } from './calls.ts';
import { endFailed } from './failure.ts';
import { Operation, type OperationOwner } from './operation.ts';
import { PieceViews } from './piece-views.ts';
import { explain, functionNames, loadScript, memoryBytes, type OpenScript, openScript } from './script.ts';

/** Failures without a reason that are logged for each version of a script. */
const LOGGED_MAX = 5;

/** A script bdev on one reactor: the instance that serves I/O, and during a reload the one that is to follow it. */
export class ScriptDevice implements ModuleChannel, OperationOwner {
  private readonly reactor: Reactor;
  private readonly log: Logger;
  private readonly params: OpenParams;
  private readonly views: PieceViews;
  private readonly block_size: number;
  private current: OpenScript;
  private next: Script | null = null;
  private prepared: OpenScript | null = null;
  private readonly free: Operation[] = [];
  /** I/Os whose promises have not settled. */
  private pending = 0;
  private paused = false;
  private waiting: BdevIo[] = [];
  private drained: (() => void) | null = null;
  private logged = 0;

  static async open(params: OpenParams, reactor: Reactor, log: Logger): Promise<ScriptDevice> {
    const script = await loadScript(params.url);
    const opened = await openScript(script, contextOf(params, reactor, log, undefined));
    return new ScriptDevice(params, reactor, log, opened);
  }

  private constructor(params: OpenParams, reactor: Reactor, log: Logger, opened: OpenScript) {
    this.params = params;
    this.reactor = reactor;
    this.log = log;
    this.views = new PieceViews(reactor.regions);
    this.block_size = params.options.block_size;
    this.current = opened;
  }

  get io_types(): number {
    return this.current.io_types;
  }

  // --- I/O: every channel of the bdev on this reactor is this object ---

  submit(io: BdevIo): void {
    if (this.paused) {
      this.waiting.push(io);
      return;
    }
    const { instance, byType } = this.current;
    const operation = this.free.pop() ?? new Operation(this);
    operation.begin(io, this.block_size, this.views);
    try {
      const result = byType[io.type]!.call(instance, operation);
      if (typeof result?.then === 'function') {
        this.pending++;
        result.then(operation.done, operation.failed);
        return;
      }
    } catch (thrown) {
      this.free.push(operation);
      this.fail(io, thrown);
      return;
    }
    this.free.push(operation);
    io.complete(IoStatus.SUCCESS);
  }

  /** In the event loop, not on a poll: the reactor may sleep. */
  settled(operation: Operation, failed: boolean, thrown: unknown): void {
    const io = operation.io!;
    operation.io = null;
    this.free.push(operation);
    if (failed) this.fail(io, thrown);
    else io.complete(IoStatus.SUCCESS);
    this.reactor.wake();
    if (--this.pending === 0) this.drained?.();
  }

  private fail(io: BdevIo, thrown: unknown): void {
    if (endFailed(io, thrown) || this.logged >= LOGGED_MAX) return;
    this.logged++;
    const more = this.logged === LOGGED_MAX ? '; more such are not logged' : '';
    this.log.error(`bdev ${this.params.options.name}: its script threw ${explain(thrown)}${more}`);
  }

  abort(io: BdevIo): boolean {
    if (!this.waiting.includes(io)) return false;
    this.waiting = this.waiting.filter((other) => other !== io);
    io.complete(IoStatus.ABORTED);
    return true;
  }

  // --- reload: the control thread takes these steps on every reactor, one after the other ---

  /** Loads the next version. */
  async load(url: string): Promise<void> {
    const { options, memory } = this.params;
    const script = await loadScript(url);
    const bytes = memoryBytes(script, options);
    if (bytes > memory.byteLength)
      throw new Error(
        `its memory_bytes is ${bytes}, and the bdev was made with ${memory.byteLength}; delete and create the bdev`,
      );
    this.next = script;
  }

  /** Holds I/O back. Resolves when none is at work. */
  pause(): Promise<void> {
    this.paused = true;
    if (this.pending === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.drained = () => {
        this.drained = null;
        resolve();
      };
    });
  }

  /** While paused: opens the next version with what the present one hands over. */
  async prepare(): Promise<void> {
    let state: unknown;
    try {
      state = this.current.instance.handOver?.();
    } catch (error) {
      throw new Error(`handOver of the version before failed: ${explain(error)}`);
    }
    const opened = await openScript(this.next!, contextOf(this.params, this.reactor, this.log, state));
    const missing = this.io_types & ~opened.io_types;
    if (missing !== 0) {
      this.close(opened);
      throw new Error(
        `it lacks ${functionNames(missing)}, which the bdev offers; delete and create the bdev`,
      );
    }
    this.prepared = opened;
  }

  commit(): void {
    if (this.prepared === null) return;
    this.close(this.current);
    // What the first version has no function for, users of the bdev do not know of.
    this.current = { ...this.prepared, io_types: this.io_types };
    this.prepared = null;
    this.logged = 0;
  }

  discard(): void {
    if (this.prepared !== null) this.close(this.prepared);
    this.prepared = null;
    this.next = null;
  }

  resume(): void {
    this.drained?.();
    this.paused = false;
    const held = this.waiting;
    this.waiting = [];
    for (const io of held) this.submit(io);
    this.reactor.wake();
  }

  private close({ instance }: OpenScript): void {
    try {
      instance.close?.();
    } catch (error) {
      this.log.error(`bdev ${this.params.options.name}: close of its script failed: ${explain(error)}`);
    }
  }

  /** Of a channel: there is nothing to let go. */
  destroy(): void {}

  /** The bdev is gone. */
  end(): void {
    this.discard();
    this.close(this.current);
  }
}

function contextOf(
  { options, memory }: OpenParams,
  reactor: Reactor,
  log: Logger,
  state: unknown,
): ScriptContext {
  return {
    ...options,
    ...{ memory, state },
    reactor: reactor.index,
    log: (text) => log.notice(`bdev ${options.name}: ${text}`),
  };
}

/** A device as the layer holds it on a reactor. */
export function instanceOf(device: ScriptDevice, gone: () => void): BdevInstance {
  return { createChannel: () => device, destroy: gone };
}
