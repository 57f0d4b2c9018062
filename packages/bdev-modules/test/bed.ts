/** A module's control plugin on reactors in virtual time, driven through its RPCs. */
import {
  type BdevChannel,
  type BdevControlPlugin,
  type BdevOptions,
  BdevRegistry,
  bdevReactorEntry,
  getBdevService,
  registerBdevRpcs,
} from '@spdk-ts/bdev';
import { ManualClock } from '@spdk-ts/env';
import { native, nativeUnavailable } from '@spdk-ts/native';
import { LocalHost, type ReactorPlugin, Uring } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';

/** By when a promise has settled on the slowest machine. */
const SETTLES_MS = 30_000;

/** Why there can be no io_uring here; empty if there can. */
export const uringUnavailable: string = (() => {
  if (native === null) return nativeUnavailable;
  try {
    new Uring(native, () => {}, null, { entries: 8, cq_entries: 16 });
    return '';
  } catch (error) {
    return (error as Error).message;
  }
})();

export async function loadReactorPlugin(url: string): Promise<ReactorPlugin> {
  return ((await import(url)) as { default: ReactorPlugin }).default;
}

export class ModuleBed {
  readonly clock = new ManualClock();
  readonly rpc = new RpcServer({ checkResults: true });
  host!: LocalHost;
  bdevs!: BdevRegistry;

  /** `reactor`: the module's reactor half (from its source). `uring`: the reactors have rings. */
  static async start(
    control: BdevControlPlugin,
    reactor: ReactorPlugin,
    { uring = false, count = 1 }: { uring?: boolean; count?: number } = {},
  ): Promise<ModuleBed> {
    return await ModuleBed.startAll([[control, reactor]], { uring, count });
  }

  /** Several modules, for stacks: both halves of each. With the layer's RPCs. */
  static async startAll(
    modules: readonly (readonly [BdevControlPlugin, ReactorPlugin])[],
    { options = {}, ...host }: { uring?: boolean; count?: number; options?: Partial<BdevOptions> } = {},
  ): Promise<ModuleBed> {
    const bed = new ModuleBed();
    const plugins = [await loadReactorPlugin(bdevReactorEntry), ...modules.map(([, reactor]) => reactor)];
    bed.host = await LocalHost.start({ clock: bed.clock, plugins, ...host });
    bed.bdevs = new BdevRegistry(bed.host, options);
    registerBdevRpcs(bed.rpc, bed.bdevs, bed.host, bed.clock);
    for (const [control] of modules) {
      registerSchema(...(control.methods ?? []));
      await control.setup({ host: bed.host, bdevs: bed.bdevs, rpc: bed.rpc });
    }
    return bed;
  }

  /** The bdev's channel on a reactor: with a thread of its own, save on the first. */
  channel(name: string, index = 0): BdevChannel {
    const reactor = this.host.local[index]!;
    if (reactor.threads.length === 0) reactor.createThread(`test_${index}`);
    return getBdevService(reactor).getChannel(this.bdevs.get(name)!.id, reactor.threads[0]!);
  }

  /** A few iterations, and the event loop's turn. */
  readonly poll = async (): Promise<void> => {
    for (let i = 0; i < 4; i++) this.host.poll();
    await new Promise((resolve) => setImmediate(resolve));
  };

  async until<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    const from = performance.now();
    while (!settled) {
      if (performance.now() - from > SETTLES_MS) throw new Error('the promise does not settle');
      await this.poll();
    }
    return await promise;
  }
}
