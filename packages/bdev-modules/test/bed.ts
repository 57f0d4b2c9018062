/** A module's control plugin on reactors in virtual time, driven through its RPCs. */
import {
  type BdevChannel,
  type BdevControlPlugin,
  BdevRegistry,
  bdevReactorEntry,
  getBdevService,
} from '@spdk-ts/bdev';
import { ManualClock } from '@spdk-ts/env';
import { LocalHost, type ReactorPlugin } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';

export async function loadReactorPlugin(url: string): Promise<ReactorPlugin> {
  return ((await import(url)) as { default: ReactorPlugin }).default;
}

export class ModuleBed {
  readonly clock = new ManualClock();
  readonly rpc = new RpcServer({ checkResults: true });
  host!: LocalHost;
  bdevs!: BdevRegistry;

  /** `reactor`: the module's reactor half (from its source). */
  static async start(control: BdevControlPlugin, reactor: ReactorPlugin): Promise<ModuleBed> {
    const bed = new ModuleBed();
    const plugins = [await loadReactorPlugin(bdevReactorEntry), reactor];
    bed.host = await LocalHost.start({ clock: bed.clock, plugins });
    bed.bdevs = new BdevRegistry(bed.host);
    await control.setup({ host: bed.host, bdevs: bed.bdevs, rpc: bed.rpc });
    return bed;
  }

  channel(name: string): BdevChannel {
    const reactor = this.host.local[0]!;
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
    for (let i = 0; !settled; i++) {
      if (i === 10_000) throw new Error('the promise does not settle');
      await this.poll();
    }
    return await promise;
  }
}
